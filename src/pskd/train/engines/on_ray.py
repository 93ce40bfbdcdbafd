"""Ray: workers on this machine, or those of a cluster that runs already.

`ray start --head` on one machine and `ray start --address=HOST:6379` on the others make a cluster;
its address is HOST:6379 on any machine that has joined it, or `auto`. All must see the same files
at the same paths and have the same version of this package.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

import joblib
import ray
from ray import exceptions

from pskd.errors import UsageError
from pskd.train.engines.base import (
    Notice,
    Outcome,
    Pool,
    Result,
    Task,
    attempt,
    pass_on,
)

LOST = (
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.LocalRayletDiedError,
    exceptions.OutOfMemoryError,
    exceptions.ObjectLostError,
)
STORE = 100 * 2**20
"""Bytes of shared memory for results, which are small; Ray would take a third of the machine."""


@contextmanager
def pool(workers: int | None, address: str | None, notice: Notice) -> Iterator[Pool]:
    """Start Ray here, or join the cluster at an address.

    Raises:
        UsageError: Nothing answers at the address, or what does is not Ray.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A task that asks for no GPU would otherwise not see any, which no other engine does.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address is None:
        workers = workers or joblib.cpu_count()
        ray.init(
            "local",
            num_cpus=workers,
            include_dashboard=False,
            object_store_memory=STORE,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    else:
        _join(address)
    try:
        yield Cluster(workers)
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    try:
        if address != "auto":
            # Ray itself tries for two minutes and then ends the whole process.
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, ValueError, RuntimeError, SystemExit) as error:
        raise UsageError(
            f"no Ray cluster answers there ({error})",
            where=address,
            remedy="Give HOST:PORT of a cluster that this machine has joined, or 'auto'",
        ) from None


class Cluster:
    """Processors of a Ray cluster, one for each task."""

    def __init__(self, workers: int | None) -> None:
        self._workers = workers
        # Ray would try again without a word; who runs the tasks counts and tells.
        self._attempt = ray.remote(num_cpus=1, max_retries=0)(attempt)

    def size(self) -> int:
        """Return the number asked for, or all processors that the cluster has now."""
        return self._workers or max(1, int(ray.cluster_resources().get("CPU", 0)))

    def submit(self, function: Callable[[Task], Result], task: Task) -> Future[Outcome[Result]]:
        """Start the task where a processor is free."""
        future: Future[Outcome[Result]] = Future()

        remote = self._attempt.remote(function, task).future()
        remote.add_done_callback(partial(pass_on, future=future, lost=LOST))
        return future
