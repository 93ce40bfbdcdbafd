"""What every engine gives: a pool that starts tasks and says which were lost with their worker."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from pskd.errors import PskdError

Task = TypeVar("Task")
Result = TypeVar("Result")
Outcome = tuple[Result | None, str | None]
Notice = Callable[[str], None]

PATIENCE = 3
"""Times that a task may be lost with its worker before it counts as failed."""

THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Environment of a worker where the user has set no other: trainings must not fight for cores."""


class LostWorker(Exception):
    """The worker of a task ended before the task did; `times` if that happened repeatedly."""

    def __init__(self, times: int = 1) -> None:
        super().__init__(times)
        self.times = times


class Pool(Protocol):
    """Workers that a task can be given to."""

    def size(self) -> int:
        """Return how many tasks may run at the same time, which may change on a cluster."""

    def submit(self, function: Callable[[Task], Result], task: Task) -> Future[Outcome[Result]]:
        """Start a task; its future gives an outcome or raises `LostWorker`."""


def attempt(function: Callable[[Task], Result], task: Task) -> Outcome[Result]:
    """Return the result of a task, or what went wrong. It runs in the worker."""
    try:
        return function(task), None
    except Exception as error:
        return None, describe(error)


def describe(error: BaseException) -> str:
    """Return what a user should read of an error."""
    return str(error) if isinstance(error, PskdError) else f"{type(error).__name__}: {error}"


def told(name: object, times: int) -> str:
    """Return the sentence that says that a task was lost."""
    return f"{name}: its worker was lost (time {times} of {PATIENCE})"


def pass_on(
    remote: Future[Outcome[Result]],
    future: Future[Outcome[Result]],
    lost: tuple[type[Exception], ...],
) -> None:
    """Settle a future as the engine's own was settled; errors of type `lost` mean a lost worker."""
    error = remote.exception()
    if isinstance(error, lost):
        future.set_exception(LostWorker())
    elif error is not None:
        future.set_exception(error)
    else:
        future.set_result(remote.result())
