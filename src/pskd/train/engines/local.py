"""Processes of this machine, through joblib's loky."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress

import joblib
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

from pskd.errors import UsageError
from pskd.train.engines.base import (
    THREADS,
    Notice,
    Outcome,
    Pool,
    Result,
    Task,
    attempt,
    pass_on,
)


@contextmanager
def pool(workers: int | None, address: str | None, notice: Notice) -> Iterator[Pool]:
    """Open processes of one thread each; a single one is this process itself.

    Raises:
        UsageError: An address was given.
    """
    if address is not None:
        raise UsageError(
            "the engine 'joblib' knows no other machines",
            where=address,
            remedy="Use the engine 'ray' or 'dask' with an address",
        )
    workers = workers or joblib.cpu_count()
    if workers == 1:
        yield Here()
        return
    processes = Processes(workers)
    try:
        yield processes
    finally:
        processes.close()


class Here:
    """This process, one task after the other."""

    def size(self) -> int:
        """Return 1."""
        return 1

    def submit(self, function: Callable[[Task], Result], task: Task) -> Future[Outcome[Result]]:
        """Run the task before returning."""
        future: Future[Outcome[Result]] = Future()
        future.set_result(attempt(function, task))
        return future


class Processes:
    """As many pools as workers, of one process each.

    A pool of several, as `joblib.Parallel` uses it, kills all its processes when one is lost: hours
    of training that had nothing to do with it, and no telling which task was the cause.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._idle: list[ProcessPoolExecutor] = []
        self._all: list[ProcessPoolExecutor] = []

    def size(self) -> int:
        """Return the number of processes."""
        return self._workers

    def submit(self, function: Callable[[Task], Result], task: Task) -> Future[Outcome[Result]]:
        """Give the task to an idle process, or to a new one."""
        while self._idle:
            executor = self._idle.pop()
            # One that was killed while it was idle says so only now.
            with suppress(BrokenProcessPool):
                return self._give(executor, function, task)
        return self._give(self._start(), function, task)

    def close(self) -> None:
        """End all processes, whatever they are at."""
        for executor in self._all:
            executor.shutdown(wait=True, kill_workers=True)

    def _give(
        self, executor: ProcessPoolExecutor, function: Callable[[Task], Result], task: Task
    ) -> Future[Outcome[Result]]:
        future: Future[Outcome[Result]] = Future()

        def settle(remote: Future[Outcome[Result]]) -> None:
            if not isinstance(remote.exception(), BrokenProcessPool):
                self._idle.append(executor)
            pass_on(remote, future, lost=(TerminatedWorkerError,))

        executor.submit(attempt, function, task).add_done_callback(settle)
        return future

    def _start(self) -> ProcessPoolExecutor:
        env = THREADS | {key: os.environ[key] for key in THREADS if key in os.environ}
        executor = ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(),), env=env)
        self._all.append(executor)
        return executor


def _begin(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when it is gone, so that no lock is held by an orphan."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
