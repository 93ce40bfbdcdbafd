"""Trials read in processes of their own, within limits.

What a file holds is not trusted: it may make a parser crash, hang, or ask for all memory. So each
trial is read in a process that may die of it, and is then set aside. The pools of joblib and
multiprocessing have no limit a task, break as a whole when one process dies, and the latter imports
the user's script again. The limits need POSIX; elsewhere everything is read in this process.
"""

from __future__ import annotations

import io
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import cloudpickle

from pskd.data.recording import Recording, SetAside
from pskd.data.worker import OPENING_SECONDS, OUT_OF_MEMORY, Order, Trials, load, receive, send
from pskd.errors import DataError, PskdError, UsageError

SECONDS = 60.0
"""Time that reading one trial may take."""

MEMORY = 2 << 30
"""Bytes that a worker may add to what it has when it starts."""

_ANSWER_BYTES = 256 << 20

Result = tuple[str, Recording | SetAside]


def worker_count() -> int:
    """Return PSKD_WORKERS, or one for each core that this process may use; 0 means none."""
    if sys.platform == "win32":
        return 0
    given = os.environ.get("PSKD_WORKERS")
    if given is None:
        cores = getattr(os, "sched_getaffinity", None)
        return len(cores(0)) if cores else os.cpu_count() or 1
    if not given.isdecimal():
        raise UsageError(f"PSKD_WORKERS is {given!r}, not a number of processes")
    return int(given)


def parse(
    source: Trials,
    trials: Iterable[str],
    *,
    workers: int | None = None,
    seconds: float = SECONDS,
    memory: int = MEMORY,
) -> Iterator[Result]:
    """Read trials, in order, each within limits; see `Workers`."""
    with Workers(source, workers, seconds=seconds, memory=memory) as pool:
        yield from pool.parse(trials)


class Workers:
    """Processes that read the trials of a source. Use it as a context manager.

    A trial at which a worker crashes, or runs out of time or memory, and then another one again, is
    set aside. Only a few more trials than there are workers are held in memory at a time.

    Args:
        source: What to read. Its class may be defined in a script or a notebook.
        count: How many processes; none for all in this one, without limits. Default:
            `worker_count()`.
        seconds: Time that a trial may take.
        memory: Bytes that a worker may add to what it has when it starts, on Linux.
        unpacked: Folder in which the workers share what they unpack; the caller deletes it.

    Raises:
        PskdError: From `trials` and `parse`: what the source raises; or it fails in another way,
            which is a fault of its reader.
    """

    def __init__(
        self,
        source: Trials,
        count: int | None = None,
        *,
        seconds: float = SECONDS,
        memory: int = MEMORY,
        unpacked: Path | None = None,
    ) -> None:
        self._source = source
        self._count = worker_count() if count is None else count
        self._workers: list[_Worker] = []
        if self._count:
            pickled, order = _pickled(source), Order(seconds, memory, unpacked)
            self._workers = [_Worker(source.name, pickled, order) for _ in range(self._count)]
            self._threads = ThreadPoolExecutor(self._count)
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()
        if self._count:
            self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.reap()

    def trials(self) -> list[str]:
        """Return the names of all trials; a worker lists them, since that opens the files."""
        if not self._count:
            return list(self._source.trials())
        worker = self._idle.get()
        try:
            return worker.start()
        finally:
            self._idle.put(worker)

    def parse(self, trials: Iterable[str]) -> Iterator[Result]:
        """Read trials; yield the name of each with what it gave, in order."""
        waiting: deque[tuple[str, Future[Recording | SetAside]]] = deque()
        for trial in trials:
            if not self._count:
                yield trial, load(self._source, trial)
                continue
            waiting.append((trial, self._threads.submit(self._load, trial)))
            if len(waiting) == 4 * self._count:
                first, loading = waiting.popleft()
                yield first, loading.result()
        for trial, loading in waiting:
            yield trial, loading.result()

    def _load(self, trial: str) -> Recording | SetAside:
        worker = self._idle.get()
        try:
            for _ in range(2):  # a machine may have been short of time or memory for a moment
                try:
                    return worker.load(trial)
                except _Died as died:
                    reason = f"reading it {died}, twice"
            return SetAside(trial, reason)
        finally:
            self._idle.put(worker)


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
    """Also takes classes of scripts and notebooks that have a cached property."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, cached_property):  # it holds a lock before Python 3.12
            return _cached_property, (obj.func, obj.attrname)
        return super().reducer_override(obj)


def _cached_property(function: Callable[[Any], Any], name: str) -> cached_property[Any]:
    made = cached_property(function)
    made.__set_name__(object, name)
    return made


def _pickled(source: Trials) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream).dump(source)
    return stream.getvalue()


class _Died(Exception):
    """A worker ended before it answered; says what it did."""


class _Worker:
    """One process, seen from outside; started when it is first needed and after it died."""

    def __init__(self, dataset: str, source: bytes, order: Order) -> None:
        self._dataset, self._source, self._order = dataset, source, order
        self._process: subprocess.Popen[bytes] | None = None
        self._closed, self._changing = False, threading.Lock()

    def start(self) -> list[str]:
        """Start the process, anew if need be; return the names of all trials."""
        self.reap()
        # Not by -m, and with the path of this process, so that it finds all that this one found.
        code = f"import sys; sys.path[:] = {sys.path!r}; from pskd.data.worker import main; main()"
        with self._changing:
            if self._closed:
                raise _Died("was stopped")
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for this process, which ends its workers
            )
        try:
            order = pickle.dumps(tuple(self._order))
            trials: list[str] = self._ask([order, self._source], "trials", OPENING_SECONDS)
        except _Died as died:
            raise DataError(f"opening its files {died}", where=self._dataset) from died
        return trials

    def load(self, trial: str) -> Recording | SetAside:
        """Read a trial; _Died if the process did not survive it."""
        if self._process is None:
            self.start()
        loaded: Recording | SetAside = self._ask([pickle.dumps(trial)], trial, self._order.seconds)
        return loaded

    def kill(self) -> None:
        """End the process for good, whatever another thread asks of it."""
        with self._changing:
            self._closed = True
            if self._process is not None:
                self._process.kill()

    def reap(self) -> None:
        """Leave nothing of the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]

    def _ask(self, frames: list[bytes], what: str, seconds: float) -> Any:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            for frame in frames:
                send(process.stdin, frame)
            kind, answer, trace = pickle.loads(receive(process.stdout, _ANSWER_BYTES))
        except OverflowError as error:
            self.reap()
            raise _Died(f"gave more than {_ANSWER_BYTES >> 20} MiB") from error
        except (EOFError, OSError) as error:
            code = process.wait()
            self.reap()
            raise _Died(self._reason(code, seconds)) from error
        if kind == "result":
            return answer
        if kind == "error":
            raise answer
        fault = PskdError(
            f"its reader failed ({answer})",
            where=f"{self._dataset} {what}",
            remedy="Mend the reader; with PSKD_WORKERS=0 it runs in one process, for a debugger",
        )
        fault.add_note(trace)
        raise fault

    def _reason(self, code: int, seconds: float) -> str:
        if code == -signal.SIGALRM:
            return f"took longer than {seconds:g} s"
        if code == OUT_OF_MEMORY:
            return f"needed more than {self._order.memory >> 20} MiB of memory"
        if code < 0:
            return f"crashed ({signal.Signals(-code).name})"
        return f"ended the process (exit code {code})"
