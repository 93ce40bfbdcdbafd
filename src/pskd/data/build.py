"""Making a store: trials are read by all cores and written as they come, in bounded memory.

What is written is noted in a journal. A build that was killed is taken up behind its last note and
ends with the same bytes as one that was left alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, Self

from pskd.data.archive import file_digest
from pskd.data.cache import CacheError, part_of, put_in_place, writing
from pskd.data.index import RecordingInfo, describe, write_index
from pskd.data.npy import NpyWriter
from pskd.data.recording import Recording, SetAside
from pskd.data.skeleton import SkeletonLayout
from pskd.data.worker import Trials
from pskd.data.workers import Workers
from pskd.errors import DataError, UsageError

FORMAT = 3
"""Version of the format of stores."""

Progress = Callable[[int, int], None]
"""Is told how many trials are done, and of how many."""

_NOTE_SECONDS = 2.0  # of work may be lost to a kill


class Source(Trials, Protocol):
    """What a store needs of a dataset."""

    @property
    def version(self) -> int:
        """Version of its reader."""

    @property
    def layout(self) -> SkeletonLayout:
        """Layout of its skeletons."""

    def key(self) -> str:
        """Return the sha256 of all that the recordings depend on."""


def build(source: Source, folder: Path, key: str, progress: Progress | None) -> None:
    """Read all trials of a source and write them as a store. The caller holds the lock.

    Raises:
        DataError: The sources cannot be used, or the cache cannot be written.
        PskdError: The reader failed.
    """
    part = part_of(folder)
    unpacked = part / "unpacked"
    try:
        with Workers(source, unpacked=unpacked) as workers:
            trials = workers.trials()
            with Making(part, source, key, trials) as making:
                tell = progress or (lambda done, total: None)
                tell(making.done, len(trials))
                for _, result in workers.parse(trials[making.done :]):
                    making.add(result)
                    tell(making.done, len(trials))
                making.finish()
    except (CacheError, UsageError):
        raise  # what is there may stay, for when there is space, or PSKD_WORKERS is a number
    except Exception:
        shutil.rmtree(part, ignore_errors=True)
        raise
    shutil.rmtree(unpacked, ignore_errors=True)
    put_in_place(folder)


class Making:
    """A store in the making: arrays that grow, and the journal of what is in them.

    Args:
        part: Folder to make it in; what an earlier process left of the same store is taken up.
        source: What is read.
        key: Key of the store.
        trials: All that is to be read, in order.

    Attributes:
        done: How many of the trials are in it.

    Raises:
        DataError: The cache cannot be written. Of `add` and `finish` also: recordings that make no
            store.
    """

    def __init__(self, part: Path, source: Source, key: str, trials: Sequence[str]) -> None:
        self._part, self._source, self._key = part, source, key
        listing = hashlib.sha256(json.dumps(trials).encode()).hexdigest()
        self._first = [FORMAT, key, listing]
        self._noted = time.monotonic()
        self._pending: list[object] = []
        self._arrays: dict[str, NpyWriter] = {}
        with writing(part):
            part.mkdir(parents=True, exist_ok=True)
            try:
                self._open(*_read_journal(part / "journal", self._first))
            except (ValueError, TypeError, FileNotFoundError):  # it speaks of other arrays
                self._close_arrays()
                self._open([], 0)

    def _open(self, notes: list[Any], length: int) -> None:
        self.done = len(notes)
        self._infos = [RecordingInfo(*note) for note in notes if isinstance(note, list)]
        self._set_aside = [SetAside(**note) for note in notes if isinstance(note, dict)]
        self._ids = {info.id for info in self._infos}
        layout = self._source.layout
        self._joints = (len(layout.joints), layout.dims)
        samples = sum(info.samples for info in self._infos)
        frames = sum(info.frames for info in self._infos)
        for name, row, rows in (
            ("acceleration", (3,), samples),
            ("skeleton", self._joints, frames),
        ):
            self._arrays[name] = NpyWriter(self._part / f"{name}.npy", row, rows)
        self._journal = (self._part / "journal").open("ab")
        self._journal.truncate(length)
        if not length:
            self._pending = [self._first]

    def add(self, result: Recording | SetAside) -> None:
        """Append what the next trial gave."""
        if isinstance(result, SetAside):
            self._set_aside.append(result)
            note: object = asdict(result)
        else:
            if result.id in self._ids:
                raise DataError(
                    "two recordings have this name", where=f"{self._source.name} {result.id}"
                )
            skeleton = result.skeleton
            if skeleton is not None and skeleton.shape[1:] != self._joints:
                raise DataError(
                    f"skeleton has shape {skeleton.shape}, not that of {self._source.layout.name}",
                    where=result.id,
                )
            with writing(self._part):
                self._arrays["acceleration"].append(result.acceleration)
                if skeleton is not None:
                    self._arrays["skeleton"].append(skeleton)
            info = describe(result)
            self._infos.append(info)
            self._ids.add(info.id)
            note = list(vars(info).values())
        self.done += 1
        self._pending.append(note)
        if time.monotonic() - self._noted > _NOTE_SECONDS:
            self._note()

    def _note(self) -> None:
        """Bring everything to disk, arrays first: the journal never speaks of what is not there."""
        with writing(self._part):
            for array in self._arrays.values():
                array.sync()
            self._journal.write("".join(json.dumps(n) + "\n" for n in self._pending).encode())
            self._journal.flush()
            os.fsync(self._journal.fileno())
        self._pending, self._noted = [], time.monotonic()

    def finish(self) -> None:
        """Write what makes it a whole store."""
        if not self._infos:
            torn = self._set_aside[:1]
            first = "".join(f"; {trial.id}: {trial.reason}" for trial in torn)
            raise DataError(f"no recording of {self._source.name} can be used{first}")
        self._note()
        with writing(self._part):
            arrays = {}
            for name, array in self._arrays.items():
                array.finish()
                digest = file_digest(self._part / f"{name}.npy")
                arrays[name] = {"shape": array.shape, "sha256": digest}
            content = {
                "format": FORMAT,
                "key": self._key,
                "dataset": self._source.name,
                "reader": self._source.version,
                "arrays": arrays,
                "set_aside": [asdict(trial) for trial in self._set_aside],
            }
            write_index(self._part / "index.json", content, self._infos)
            (self._part / "journal").unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # of a full disk, which was told of
            self._journal.close()
        self._close_arrays()

    def _close_arrays(self) -> None:
        for array in self._arrays.values():
            with suppress(OSError):
                array.close()


def _read_journal(path: Path, first: list[object]) -> tuple[list[Any], int]:
    """Return the notes of a journal that begins with `first`, and the bytes that they take."""
    with suppress(OSError, ValueError):
        content = path.read_bytes()
        content = content[: content.rfind(b"\n") + 1]  # the last note may be torn
        notes = [json.loads(line) for line in content.splitlines()]
        if notes[:1] == [first]:
            return notes[1:], len(content)
    return [], 0
