"""Recordings parsed once and kept as memory-mapped arrays.

A store is a folder `<dataset>-<key>`: `acceleration.npy` [sum of T, 3] and `skeleton.npy`
[sum of F, J, C], float32, and `index.json` with the metadata, the lengths, the trials set aside,
the sha256 of both arrays and one of itself. The key covers the sources, the version of the reader
and the version of this format, so a change of any of them makes another folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from pskd.data.archive import file_digest
from pskd.data.recording import Recording, SetAside
from pskd.data.skeleton import SkeletonLayout
from pskd.errors import DataError

FORMAT = 2
_ARRAYS = ("acceleration", "skeleton")


class Source(Protocol):
    """What a store needs of a dataset."""

    @property
    def name(self) -> str:
        """Name of the dataset."""

    @property
    def version(self) -> int:
        """Version of its reader."""

    @property
    def layout(self) -> SkeletonLayout:
        """Layout of its skeletons."""

    def key(self) -> str:
        """Return the sha256 of all that the recordings depend on."""

    def trials(self) -> Sequence[str]:
        """Return the name of every trial."""

    def load(self, trial: str) -> Recording | SetAside:
        """Read one trial, or say why it cannot be used."""


@dataclass(frozen=True)
class RecordingInfo:
    """What is known of a recording without touching its signals."""

    id: str
    label: int
    subject: str
    trial: str
    session: str
    rate: float
    samples: int
    frames: int
    scene: str = ""
    view: str = ""
    take: str = ""
    start: float = 0.0
    side: str = ""
    aligned: bool = True

    @property
    def seconds(self) -> float:
        """Duration of the accelerometer signal."""
        return self.samples / self.rate

    @property
    def has_skeleton(self) -> bool:
        """Whether there is a skeleton."""
        return self.frames > 0


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
        self.folder, self.key = folder, key
        self.dataset, self.layout = source.name, source.layout
        try:
            index = json.loads((folder / "index.json").read_bytes())
            if index.pop("sha256") != _index_digest(index) or index["key"] != key:
                raise ValueError("index.json is not as it was written")
            self._digests: dict[str, str] = {n: index["arrays"][n]["sha256"] for n in _ARRAYS}
            self._acceleration, self._skeleton = (
                _map(folder / f"{n}.npy", index["arrays"][n]["shape"]) for n in _ARRAYS
            )
        except Exception as error:  # numpy raises nearly anything on a torn file
            raise _damaged(folder, str(error)) from error
        self.info = [RecordingInfo(**entry) for entry in index["recordings"]]
        self.set_aside = [SetAside(**entry) for entry in index["set_aside"]]
        self._samples = np.cumsum([0, *(i.samples for i in self.info)])
        self._frames = np.cumsum([0, *(i.frames for i in self.info)])

    def __len__(self) -> int:
        return len(self.info)

    def __iter__(self) -> Iterator[Recording]:
        return (self[i] for i in range(len(self)))

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
        for name, digest in self._digests.items():
            if file_digest(self.folder / f"{name}.npy") != digest:
                raise _damaged(self.folder, f"the sha256 of {name}.npy differs")


def open_store(source: Source, cache: Path, *, verify: bool = False) -> Store:
    """Open the store of a dataset, building it first where it is missing or damaged.

    Two processes may do this at once: one builds, the other waits for it. The store appears under
    its name only when it is complete.

    Args:
        source: The dataset, opened on its files.
        cache: Folder in which stores lie; made if missing.
        verify: Also compare the sha256 of the arrays; sizes alone are compared otherwise.

    Raises:
        DataError: The sources cannot be used, or the cache cannot be written.
    """
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
        with _writing(cache):
            cache.mkdir(parents=True, exist_ok=True)
            lock = FileLock(cache / f".{folder.name}.lock").acquire()
        with lock:
            store = opened()  # another process may have built it meanwhile
            if store is None:
                _build(source, map(source.load, source.trials()), folder, key)
                store = Store(folder, key, source)
    return store


def store_key(source: Source) -> str:
    """Return the sha256 over the sources, the version of the reader and that of the format."""
    parts = [FORMAT, source.name, source.version, source.key()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _build(source: Source, trials: Iterable[Recording | SetAside], folder: Path, key: str) -> None:
    """Read all trials, then write them as one store."""
    recordings: dict[str, Recording] = {}
    set_aside: list[SetAside] = []
    for trial in trials:
        if isinstance(trial, SetAside):
            set_aside.append(trial)
            continue
        if trial.id in recordings:
            raise DataError("two recordings have this name", where=f"{source.name} {trial.id}")
        recordings[trial.id] = trial
    if not recordings:
        first = f"; {set_aside[0].id}: {set_aside[0].reason}" if set_aside else ""
        raise DataError(f"no recording of {source.name} can be used{first}")
    _write(
        folder,
        _arrays(source.layout, recordings.values()),
        {
            "format": FORMAT,
            "key": key,
            "dataset": source.name,
            "reader": source.version,
            "recordings": [asdict(_info(r)) for r in recordings.values()],
            "set_aside": [asdict(s) for s in set_aside],
        },
    )


def _arrays(
    layout: SkeletonLayout, recordings: Collection[Recording]
) -> dict[str, NDArray[np.float32]]:
    joints = (len(layout.joints), layout.dims)
    skeletons = [np.empty((0, *joints), np.float32)]  # so that none at all is fine, too
    for recording in recordings:
        if recording.skeleton is not None:
            if recording.skeleton.shape[1:] != joints:
                raise DataError(
                    f"skeleton has shape {recording.skeleton.shape}, not that of {layout.name}",
                    where=recording.id,
                )
            skeletons.append(recording.skeleton)
    arrays = ([r.acceleration for r in recordings], skeletons)
    return {n: np.concatenate(a, dtype=np.float32) for n, a in zip(_ARRAYS, arrays, strict=True)}


def _info(recording: Recording) -> RecordingInfo:
    return RecordingInfo(
        id=recording.id,
        label=int(recording.label),
        subject=recording.subject,
        trial=recording.trial,
        session=recording.session,
        scene=recording.scene,
        view=recording.view,
        take=recording.take,
        start=float(recording.start),
        side=recording.side,
        aligned=bool(recording.aligned),
        rate=float(recording.rate),
        samples=len(recording.acceleration),
        frames=0 if recording.skeleton is None else len(recording.skeleton),
    )


def _write(folder: Path, arrays: dict[str, NDArray[np.float32]], index: dict[str, Any]) -> None:
    """Write a store beside its place, then move it there. The caller holds the lock."""
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    with _writing(folder.parent):
        shutil.rmtree(new, ignore_errors=True)  # left by a process that was killed
        try:
            new.mkdir()
            index["arrays"] = {}
            for name, array in arrays.items():
                with (new / f"{name}.npy").open("wb") as stream:
                    np.save(stream, array, allow_pickle=False)
                    os.fsync(stream.fileno())
                digest = file_digest(new / f"{name}.npy")
                index["arrays"][name] = {"shape": list(array.shape), "sha256": digest}
            with (new / "index.json").open("w", encoding="utf-8") as stream:
                json.dump({"sha256": _index_digest(index), **index}, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            if folder.exists():  # damaged, or it would have been opened
                shutil.rmtree(old, ignore_errors=True)
                folder.rename(old)
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def _map(path: Path, shape: list[int]) -> NDArray[np.float32]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    size = path.stat().st_size - array.offset
    if array.dtype != np.float32 or list(array.shape) != shape or size != array.nbytes:
        raise ValueError(f"{path.name} is not as it was written")
    return np.asarray(array)


def _index_digest(index: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()


def _damaged(folder: Path, why: str) -> DataError:
    return DataError(
        f"is no complete store ({why})", where=folder, remedy="Delete it; it is built again"
    )


@contextmanager
def _writing(cache: Path) -> Iterator[None]:
    """Turn an error of the file system into one that says what to do."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"the cache cannot be written ({error})",
            where=cache,
            remedy="Free some space there, or choose a cache folder that can be written",
        ) from error
