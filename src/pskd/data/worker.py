"""The inside of a worker: a process that reads the trials of one source, within limits.

`pskd.data.workers` starts it. Both speak in frames: eight bytes with the length, then a pickle.
This module must not import torch: a worker is to start at once, and its memory is limited.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import cloudpickle

from pskd.data.archive import unpacked_into
from pskd.data.recording import Recording, SetAside
from pskd.errors import PskdError

OPENING_SECONDS = 1800.0
"""Time for what a worker does once: to open the sources and list their trials."""

OUT_OF_MEMORY = 77
"""Exit code of a worker that asked for more memory than it may have."""

_SIZE = struct.Struct("<Q")


class Trials(Protocol):
    """What is read: a dataset, or anything that names trials and reads them."""

    @property
    def name(self) -> str:
        """Name of the dataset."""

    def trials(self) -> Sequence[str]:
        """Return the name of every trial."""

    def load(self, trial: str) -> Recording | SetAside:
        """Read one trial, or say why it cannot be used."""


class Order(NamedTuple):
    """What a worker is told first, before the source."""

    seconds: float
    memory: int
    unpacked: Path | None


def main() -> None:
    """Answer questions on standard input until it ends: first which trials there are."""
    import resource

    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a reader prints must not mix with the answers
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    order = Order(*pickle.loads(receive(inbox)))
    pickled = receive(inbox)
    source: Trials

    def opened() -> list[str]:
        nonlocal source
        source = pickle.loads(pickled)
        _limit_memory(order.memory)
        return list(source.trials())

    # The pipes close when the process that asks is killed.
    with unpacked_into(order.unpacked), suppress(EOFError, BrokenPipeError):
        send(outbox, _answer(opened, OPENING_SECONDS))
        while True:
            trial = pickle.loads(receive(inbox))
            send(outbox, _answer(partial(load, source, trial), order.seconds))


def load(source: Trials, trial: str) -> Recording | SetAside:
    """Read a trial; TypeError if the reader gives anything else."""
    loaded = source.load(trial)
    if not isinstance(loaded, Recording | SetAside):
        raise TypeError(f"load gave {type(loaded).__name__}, neither Recording nor SetAside")
    return loaded


def send(stream: IO[bytes], frame: bytes) -> None:
    """Write one frame."""
    stream.write(_SIZE.pack(len(frame)) + frame)
    stream.flush()


def receive(stream: IO[bytes], at_most: int = sys.maxsize) -> bytes:
    """Read one frame; EOFError where the stream ends, OverflowError if it is too large."""
    head = stream.read(_SIZE.size)
    if len(head) < _SIZE.size:
        raise EOFError
    (size,) = _SIZE.unpack(head)
    if size > at_most:
        raise OverflowError
    frame = stream.read(size)
    if len(frame) < size:
        raise EOFError
    return frame


def _answer(job: Callable[[], object], seconds: float) -> bytes:
    """Do a job; the process ends, without a word, where it takes too much time or memory."""
    signal.setitimer(signal.ITIMER_REAL, seconds)  # its signal ends what hangs in C, too
    try:
        return pickle.dumps(("result", job(), ""))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except PskdError as error:
        return bytes(cloudpickle.dumps(("error", error, "")))
    except Exception as error:
        summary = traceback.format_exception_only(error)[-1].strip()
        return pickle.dumps(("fault", summary, traceback.format_exc()))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _limit_memory(most: int) -> None:
    """Limit the address space to what there is and `most` bytes, where that can be measured."""
    import resource

    table = Path("/proc/self/statm")
    if table.exists():
        limit = int(table.read_text().split()[0]) * resource.getpagesize() + most
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
