"""An exported student in a process of its own: what a runtime does there cannot hurt us.

A runtime may crash, hang, print, or take memory that must not be mistaken for that of another. Both
sides speak in the frames of `pskd.data.worker`, over pipes that no print reaches.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple, Self

import cloudpickle
import numpy as np
from numpy.typing import NDArray

from pskd.data.worker import receive, send
from pskd.edge.material import Windows
from pskd.edge.targets import TARGETS, Runner
from pskd.errors import PskdError, UsageError, nearest

SECONDS = 300.0
"""Time that a worker has to open an export, or for one thing that it is asked."""

AT_ONCE = 256
"""Windows that it is asked to answer at a time."""

WARM_UP = 20
"""Calls before those that are timed: caches are cold where another process had its turn."""

_ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "VECLIB", "NUMEXPR")
}


class Answers(NamedTuple):
    """What a student says of N windows."""

    logits: NDArray[np.float32]
    """[N, K]"""
    probabilities: NDArray[np.float32]
    """[N, K]"""


class Memory(NamedTuple):
    """Memory in bytes: peaks of the resident pages of a worker, as Linux counts them.

    Each is a peak less what was resident before: what fits into pages that were freed before does
    not show. Processes that a runtime starts are not in it.
    """

    export: int
    """What one more copy of the export takes, opened and run once, where one runs already."""
    first: int
    """What the first copy took, the modules that the target names being imported: this holds what
    the runtime sets up for all that it opens."""
    process: int
    """Peak of the whole process: Python, PyTorch and the runtime with it."""


class Worker:
    """A process that runs one export. Use it as a context manager.

    Args:
        name: Of the target.
        path: Of the export.
        seconds: Time that it has to open the export, or for one thing that it is asked.

    Raises:
        UsageError: The target is not known, or its runtime is not installed.
        PskdError: The export cannot be opened; or, from any method, the runtime failed, crashed or
            took too long. It names the target.
    """

    def __init__(self, name: str, path: Path, *, seconds: float = SECONDS) -> None:
        self._name, self._path, self._seconds = name, path, seconds
        if name not in TARGETS:
            raise UsageError(f"unknown target {name!r}", remedy=nearest(name, TARGETS))
        self._target = TARGETS[name]
        self._target.require()

    def __enter__(self) -> Self:
        # Not by -m, and with the path of this process, so that it finds all that this one found.
        code = f"import sys; sys.path[:] = {sys.path!r}; from pskd.edge.worker import main; main()"
        self._log = TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | _ONE_THREAD,
            start_new_session=True,  # Ctrl-C is for this process, which ends its workers
        )
        try:
            self._ask("open", cloudpickle.dumps(self._target), self._path.resolve())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()  # it ends at that, and tidies up after itself
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._kill()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def answers(self, windows: Windows) -> Answers:
        """Answer windows [N, 3, S], one at a time."""
        starts = range(0, len(windows), AT_ONCE)
        parts: list[Answers] = [self._ask("answers", windows[k : k + AT_ONCE]) for k in starts]
        return Answers(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def latencies(self, windows: Windows, calls: int) -> NDArray[np.int64]:
        """Time calls in nanoseconds, window after window, after some that are not counted.

        A call goes from a window in Python to its answer in Python.
        """
        times: NDArray[np.int64] = self._ask("latencies", windows, calls)
        return times

    def peak_memory(self, window: Windows) -> Memory | None:
        """Measure memory on a window [1, 3, S]; None where the system does not tell.

        What the worker did before is in `first`: for that, ask this before anything else.
        """
        memory: Memory | None = self._ask("peak_memory", window)
        return memory

    def _ask(self, job: str, *arguments: object) -> Any:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            self._kill()

        timer = threading.Timer(self._seconds, end)
        timer.start()
        try:
            send(process.stdin, pickle.dumps((job, arguments)))
            kind, answer, trace = pickle.loads(receive(process.stdout))
        except (EOFError, OSError):
            reason = f"took longer than {self._seconds:g} s" if late.is_set() else self._death()
            raise PskdError(reason, where=f"{self._name}, {self._path}", remedy=_AGAIN) from None
        finally:
            timer.cancel()
        if kind == "result":
            return answer
        if kind == "error":
            raise answer
        fault = PskdError(f"failed ({answer})", where=f"{self._name}, {self._path}", remedy=_AGAIN)
        fault.add_note(trace)
        raise fault

    def _death(self) -> str:
        code = self._process.wait()
        end = f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended (exit code {code})"
        self._log.seek(0)
        words = self._log.read().decode(errors="replace").strip().splitlines()
        return f"{end}; its last words: {words[-1][:300]}" if words else end

    def _kill(self) -> None:
        with suppress(ProcessLookupError):  # with all that the runtime started
            os.killpg(self._process.pid, signal.SIGKILL)


_AGAIN = "Export the student again, or install another version of the runtime"


class _Inside:
    """The other side: what a worker does."""

    def open(self, pickled: bytes, path: Path) -> None:
        self._target, self._path = pickle.loads(pickled), path
        for module in self._target.needs:
            importlib.import_module(module)
        self._before = _start_anew()
        self._run: Runner = self._target.load(path)

    def answers(self, windows: Windows) -> Answers:
        answers = [self._run(window[None]) for window in windows]
        return Answers(
            np.stack([answer.logits for answer in answers]),
            np.stack([answer.probabilities for answer in answers]),
        )

    def latencies(self, windows: Windows, calls: int) -> NDArray[np.int64]:
        run, ready = self._run, [window[None].copy() for window in windows]
        for k in range(WARM_UP):
            run(ready[k % len(ready)])
        times = np.empty(calls, np.int64)
        gc.collect()
        gc.disable()
        try:
            for k in range(calls):
                window = ready[k % len(ready)]
                start = time.perf_counter_ns()
                run(window)
                times[k] = time.perf_counter_ns() - start
        finally:
            gc.enable()
        return times

    def peak_memory(self, window: Windows) -> Memory | None:
        self._run(window)
        first = _resident_and_peak()
        between = _start_anew()
        self._target.load(self._path)(window)
        second = _resident_and_peak()
        if not (self._before and first and between and second):
            return None
        return Memory(
            export=second.peak - between.resident,
            first=first.peak - self._before.resident,
            process=max(self._before.peak, first.peak, second.peak),
        )


class _Pages(NamedTuple):
    """Bytes of this process in memory, now and at most."""

    resident: int
    peak: int


def _start_anew() -> _Pages | None:
    gc.collect()
    before = _resident_and_peak()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident
    except OSError:
        return None
    return before


def _resident_and_peak() -> _Pages | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        fields = {key: rest for key, _, rest in (line.partition(":") for line in lines)}
        return _Pages(*(int(fields[key].split()[0]) << 10 for key in ("VmRSS", "VmHWM")))
    except (OSError, KeyError):
        return None


def main() -> None:
    """Do what is asked on standard input until it ends."""
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a runtime prints must not mix with the answers
    inside = _Inside()
    with suppress(EOFError, BrokenPipeError):
        while True:
            job, arguments = pickle.loads(receive(inbox))
            send(outbox, pickle.dumps(_answer(inside, job, arguments)))


def _answer(inside: _Inside, job: str, arguments: Sequence[Any]) -> tuple[str, Any, str]:
    try:
        return "result", getattr(inside, job)(*arguments), ""
    except PskdError as error:
        return "error", error, ""
    except Exception as error:
        summary = traceback.format_exception_only(error)[-1].strip()
        return "fault", summary, traceback.format_exc()
