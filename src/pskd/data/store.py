"""Recordings parsed once and kept as memory-mapped arrays.

A store is a folder `<dataset>-<key>`: `acceleration.npy` [sum of T, 3] and `skeleton.npy`
[sum of F, J, C], float32, and `index.json` with the metadata, the lengths, the trials set aside,
the sha256 of both arrays and one of itself. The key covers the sources, the version of the reader
and the version of this format, so a change of any of them makes another folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from pskd.data.archive import digests_remembered, file_digest
from pskd.data.build import FORMAT, Progress, Source, build
from pskd.data.cache import locked
from pskd.data.index import RecordingInfo, read_index
from pskd.data.npy import map_npy
from pskd.data.recording import Recording, SetAside
from pskd.errors import DataError

__all__ = ["RecordingInfo", "Source", "Store", "open_store", "store_key"]

_FORGET = 256  # recordings, after which what was read no longer counts as memory in use


class Store:
    """A finished store, opened: a sequence of Recordings whose signals stay on disk until used.

    Attributes:
        folder: Where it lies.
        key: sha256 over sources, reader and format.
        dataset: Name of the dataset.
        layout: Layout of the skeletons.
        info: What is known of each recording, in the order of the store.
        set_aside: Trials that were left out, and why.
    """

    def __init__(self, folder: Path, key: str, source: Source) -> None:
        """Open the store in `folder`.

        Raises:
            DataError: It is missing, damaged or of another key.
        """
        self.folder, self.key, self._source = folder, key, source
        self.dataset, self.layout = source.name, source.layout
        try:
            index, self.info = read_index(folder / "index.json")
            if index["key"] != key:
                raise ValueError("it is of another key")
            self._arrays = index["arrays"]
            self._map()
            self.set_aside = [SetAside(**entry) for entry in index["set_aside"]]
            self._samples = np.cumsum([0, *(i.samples for i in self.info)])
            self._frames = np.cumsum([0, *(i.frames for i in self.info)])
        except Exception as error:  # numpy raises nearly anything on a torn file
            raise _damaged(folder, str(error)) from error

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.folder, self.key, self._source)  # not the arrays themselves

    def __len__(self) -> int:
        return len(self.info)

    def _map(self) -> None:
        self._acceleration, self._skeleton = (
            map_npy(self.folder / f"{name}.npy", tuple(self._arrays[name]["shape"]))
            for name in ("acceleration", "skeleton")
        )

    def __iter__(self) -> Iterator[Recording]:
        for i in range(len(self)):
            if i and not i % _FORGET:
                self._map()
            yield self[i]

    def __getitem__(self, index: int) -> Recording:
        """Return a recording whose arrays are read-only views of the files."""
        index = range(len(self))[index]
        info = self.info[index]
        acceleration = self._acceleration[self._samples[index] : self._samples[index + 1]]
        skeleton = self._skeleton[self._frames[index] : self._frames[index + 1]]
        return Recording(
            id=info.id,
            dataset=self.dataset,
            label=info.label,
            subject=info.subject,
            trial=info.trial,
            session=info.session,
            scene=info.scene,
            view=info.view,
            take=info.take,
            start=info.start,
            side=info.side,
            aligned=info.aligned,
            acceleration=acceleration,
            rate=info.rate,
            skeleton=skeleton if info.has_skeleton else None,
        )

    def verify(self) -> None:
        """Read both arrays whole and compare their sha256; DataError if one differs."""
        for name, array in self._arrays.items():
            if file_digest(self.folder / f"{name}.npy") != array["sha256"]:
                raise _damaged(self.folder, f"the sha256 of {name}.npy differs")


def open_store(
    source: Source, cache: Path, *, verify: bool = False, progress: Progress | None = None
) -> Store:
    """Open the store of a dataset, building it first where it is missing or damaged.

    Two processes may do this at once: one builds, the other waits for it. The store appears under
    its name only when it is complete; a build that was stopped goes on where it was.

    Args:
        source: The dataset, opened on its files.
        cache: Folder in which stores lie; made if missing.
        verify: Also read the sources and the arrays whole and compare their sha256; of sources
            whose sizes and time stamps are the same, the last sha256 is believed otherwise.
        progress: Called during a build with the number of trials done and that of all.

    Raises:
        DataError: The sources cannot be used, or the cache cannot be written.
    """
    with nullcontext() if verify else digests_remembered(cache / ".digests"):
        key = store_key(source)
    folder = cache / f"{source.name}-{key[:16]}"

    def opened() -> Store | None:
        try:
            store = Store(folder, key, source)
            if verify:
                store.verify()
        except DataError:
            return None
        return store

    store = opened()
    if store is None:
        with locked(folder):
            store = opened()  # another process may have built it meanwhile
            if store is None:
                build(source, folder, key, progress)
                store = Store(folder, key, source)
    return store


def store_key(source: Source) -> str:
    """Return the sha256 over the sources, the version of the reader and that of the format."""
    parts = [FORMAT, source.name, source.version, source.key()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _damaged(folder: Path, why: str) -> DataError:
    return DataError(
        f"is no complete store ({why})", where=folder, remedy="Delete it; it is built again"
    )
