"""Engines that run many independent tasks: processes of this machine, Ray or Dask.

`joblib` starts processes on this machine; with one worker it runs in this process. `ray` and `dask`
start workers on this machine too, or use those of a cluster whose address they are given
(`pskd.train.engines.on_ray` and `.on_dask` say how one gets an address, on SLURM among others).
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Generic, Literal, get_args

from pskd.errors import UsageError, nearest
from pskd.train.engines.base import (
    PATIENCE,
    LostWorker,
    Notice,
    Outcome,
    Pool,
    Result,
    Task,
    describe,
    told,
)

log = logging.getLogger(__name__)

Engine = Literal["joblib", "ray", "dask"]
MODULES = {"joblib": "local", "ray": "on_ray", "dask": "on_dask"}
PACKAGES = {"ray": "ray", "dask": "distributed"}
LOOK_AGAIN = 5.0
"""Seconds after which a cluster that grows gets more tasks, though none has ended."""


@dataclass(frozen=True)
class Done(Generic[Task, Result]):
    """A task that has ended: with its result, or with an error to show."""

    task: Task
    result: Result | None
    error: str | None


def run(
    name: Engine,
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int | None,
    address: str | None = None,
    notice: Notice = log.warning,
) -> Generator[Done[Task, Result], None, None]:
    """Run a function on every task and yield each as it ends.

    Tasks start in their order, at most one a worker. They must be idempotent: a task whose worker
    is lost (killed, out of memory, its node gone) is started again on another, before those that
    have not begun, and is an error only when that has happened three times. A task that ended is
    not run again, except on Dask if its worker is lost before its result has been fetched.

    Closing the iterator, as Ctrl-C in it does, ends the workers; those of a Dask cluster that was
    here before finish the task they are at. Wrap it in `contextlib.closing`.

    Args:
        name: The engine.
        function: Importable or otherwise pickleable; it should set its own number of threads.
        tasks: Pickleable; `str(task)` names one in notices.
        workers: Tasks at the same time; None for all processors of this machine or the cluster.
        address: A Ray or Dask cluster that runs already; None starts workers on this machine.
        notice: Told of every lost worker, possibly from another thread.

    Raises:
        UsageError: No such engine, it is not installed, or nothing answers at its address.
    """
    if name not in get_args(Engine):
        raise UsageError(f"there is no engine {name!r}", remedy=nearest(name, get_args(Engine)))
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers cannot run anything", remedy="Ask for one or more")
    with _open(name, workers, address, notice) as pool:
        yield from _drive(pool, function, tasks, notice)


def _open(
    name: Engine, workers: int | None, address: str | None, notice: Notice
) -> AbstractContextManager[Pool]:
    try:
        module = import_module(f"pskd.train.engines.{MODULES[name]}")
    except ModuleNotFoundError as error:
        if error.name != PACKAGES.get(name):
            raise
        raise UsageError(
            f"the engine {name!r} is not installed",
            remedy=f"Install it with: pip install 'pskd[{name}]'",
        ) from None
    pool: AbstractContextManager[Pool] = module.pool(workers, address, notice)
    return pool


def _drive(
    pool: Pool, function: Callable[[Task], Result], tasks: Sequence[Task], notice: Notice
) -> Generator[Done[Task, Result], None, None]:
    waiting = deque(range(len(tasks)))
    running: dict[Future[Outcome[Result]], int] = {}
    losses: Counter[int] = Counter()
    while waiting or running:
        while waiting and len(running) < pool.size():
            place = waiting.popleft()
            running[pool.submit(function, tasks[place])] = place
        ended, _ = wait(running, timeout=LOOK_AGAIN, return_when=FIRST_COMPLETED)
        for future in ended:
            place = running.pop(future)
            task = tasks[place]
            try:
                result, error = future.result()
            except LostWorker as lost:
                losses[place] += lost.times
                if losses[place] < PATIENCE:
                    notice(told(task, losses[place]))
                    # First in the queue: later tasks may need what it makes.
                    waiting.appendleft(place)
                    continue
                result, error = None, f"its worker was lost {losses[place]} times"
            except Exception as broken:
                result, error = None, describe(broken)
            yield Done(task, result, error)
