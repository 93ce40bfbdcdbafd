"""Dask: workers on this machine, or those of a cluster that runs already.

`dask scheduler` prints its address (tcp://HOST:8786), and `dask worker ADDRESS --nthreads 1` joins
it on any machine that sees the same files at the same paths and has the same version of this
package. On SLURM, `dask-jobqueue` starts both; keep this open, and give the address that it prints:

    from dask_jobqueue import SLURMCluster
    cluster = SLURMCluster(cores=1, processes=1, memory="4GB", walltime="08:00:00")
    cluster.scale(jobs=32)
    print(cluster.scheduler_address)

Workers that are started by hand train twice as fast with this in ~/.config/dask/pskd.yaml (see
`KEEP_MEMORY`):

    distributed: {nanny: {pre-spawn-environ: {
      MALLOC_TRIM_THRESHOLD_: 1073741824, MALLOC_MMAP_THRESHOLD_: 1073741824}}}

A scheduler that was here before counts lost workers by its own setting
`distributed.scheduler.allowed-failures`, and its workers finish the tasks that they are at when the
command is stopped.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import Any

import dask
import joblib
from distributed import Client, KilledWorker, LocalCluster

from pskd.errors import UsageError
from pskd.train.engines.base import (
    PATIENCE,
    LostWorker,
    Notice,
    Outcome,
    Pool,
    Result,
    Task,
    attempt,
    told,
)

# Dask has its workers give memory back after every release of 64 KB, which made a training step
# twice as long: nearly all of its tensors are that large.
KEEP_MEMORY = {
    f"distributed.nanny.pre-spawn-environ.MALLOC_{name}_THRESHOLD_": 2**30
    for name in ("TRIM", "MMAP")
}

ANSWER = 10.0
"""Seconds that a scheduler has to answer."""


@contextmanager
def pool(workers: int | None, address: str | None, notice: Notice) -> Iterator[Pool]:
    """Start Dask here, or join the cluster at an address.

    Raises:
        UsageError: Nothing answers at the address, or what does is not Dask.
    """
    with ExitStack() as stack:
        if address is None:
            workers = workers or joblib.cpu_count()
            settings = {"distributed.scheduler.allowed-failures": PATIENCE - 1, **KEEP_MEMORY}
            stack.enter_context(dask.config.set(settings))
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                # Dask ends a worker that takes more than its even share of the memory.
                memory_limit=None,
                dashboard_address="127.0.0.1:0",  # a port of its own for each cluster
                silence_logs=logging.CRITICAL,
            )
            stack.enter_context(cluster)
            client = Client(cluster)
        else:
            try:
                client = Client(address, timeout=ANSWER)
            except (OSError, ValueError) as error:
                raise UsageError(
                    f"no Dask scheduler answers there ({error})",
                    where=address,
                    remedy="Give the address that `dask scheduler` prints, as tcp://HOST:8786",
                ) from None
        stack.enter_context(client)
        threads = Cluster(client, workers, notice)
        client.subscribe_topic("all", threads.hear)
        stack.callback(client.unsubscribe_topic, "all")
        yield threads


class Cluster:
    """Threads of a Dask cluster, one for each task."""

    def __init__(self, client: Client, workers: int | None, notice: Notice) -> None:
        self._client, self._workers, self._notice = client, workers, notice
        self._names: dict[str, str] = {}
        self._losses: Counter[str] = Counter()

    def size(self) -> int:
        """Return the number asked for, or all threads that the cluster has now."""
        return self._workers or max(1, sum(self._client.nthreads().values()))

    def submit(self, function: Callable[[Task], Result], task: Task) -> Future[Outcome[Result]]:
        """Hand the task to the scheduler, which gives it to another worker if one is lost."""
        future: Future[Outcome[Result]] = Future()

        def pass_on(remote: Any) -> None:
            try:
                future.set_result(remote.result())
            except KilledWorker as error:
                future.set_exception(LostWorker(error.allowed_failures + 1))
            except Exception as error:
                future.set_exception(error)
            finally:
                # The scheduler makes again what it still holds when a worker is lost.
                remote.release()

        remote = self._client.submit(attempt, function, task, pure=False)
        self._names[remote.key] = str(task)
        remote.add_done_callback(pass_on)
        return future

    def hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Tell of the tasks of a worker that was lost."""
        _, message = event
        if message["action"] != "remove-worker" or message["expected"]:
            return
        for key in message["processing-tasks"]:
            if key in self._names:
                self._losses[key] += 1
                self._notice(told(self._names[key], self._losses[key]))
