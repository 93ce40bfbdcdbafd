"""`Clips`: recordings of any length made into tensors of one length.

The signals of all recordings of a store are stretched once, for each length, into a folder
`clips-<version>-<samples>x<frames>` of the store: `acceleration.npy` [M, 3, S], `skeleton.npy`
[M, F, J, C], float32, and `has_skeleton.npy` [M], bool. From there they are read a batch at a time.

Acceleration goes through the filter that streams and recordings of users go through: what a clip's
rate cannot hold would fold back into slow movements. Version 1 had no filter.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pskd.data.cache import locked, part_of, put_in_place, writing
from pskd.data.npy import NpyWriter, map_npy
from pskd.data.skeleton import SkeletonLayout
from pskd.data.store import Store
from pskd.signal.align import stretch
from pskd.signal.resample import stretch_filtered

VERSION = 2
"""Of what is written; models that were trained on other clips are not mixed with these."""

_BLOCK = 256  # recordings in memory at a time


@dataclass(frozen=True)
class Clips:
    """N recordings, both signals of each stretched over the same span; the signals stay on disk.

    Attributes:
        signals: `acceleration` [M, 3, S] in g and `skeleton` [M, F, J, C], normalised, zeros where
            there is none: float32, of all recordings of the store. See `read`.
        rows: [N], int64, which of the M these are.
        has_skeleton: [N], bool; false also where the skeleton cannot be scaled, for its torso has
            no length.
        aligned: [N], bool, whether both signals go together moment by moment.
        labels: [N], int64, class indices.
        ids: Names of the recordings.
        subjects: Who moved.
        moments: What was recorded at once: those of one take that begin together, such as of
            several cameras, have one acceleration. The recording itself where it is alone.
        seconds: [N], float32, duration before stretching.
    """

    signals: Mapping[str, NDArray[np.float32]]
    rows: Tensor
    has_skeleton: Tensor
    aligned: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    subjects: tuple[str, ...]
    moments: tuple[str, ...]
    seconds: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, name: str, index: Tensor, first: int | None = None) -> Tensor:
        """Return the `acceleration` or the `skeleton` of some clips, or its beginning.

        Args:
            name: Which signal.
            index: Which of these clips [n].
            first: How many entries of the first axis of each to read (frames of a skeleton); all
                where there is none.
        """
        return torch.from_numpy(self.signals[name][:, :first][self.rows[index].numpy()])

    def select(self, indices: Sequence[int]) -> Clips:
        """Return some of the clips, in the order of `indices`."""
        chosen = torch.as_tensor(indices, dtype=torch.long)
        return Clips(
            signals=self.signals,
            rows=self.rows[chosen],
            has_skeleton=self.has_skeleton[chosen],
            aligned=self.aligned[chosen],
            labels=self.labels[chosen],
            ids=tuple(self.ids[i] for i in chosen.tolist()),
            subjects=tuple(self.subjects[i] for i in chosen.tolist()),
            moments=tuple(self.moments[i] for i in chosen.tolist()),
            seconds=self.seconds[chosen],
        )


def make_clips(store: Store, indices: Sequence[int], samples: int, frames: int) -> Clips:
    """Make clips of some recordings of a store.

    Args:
        store: The store; its folder keeps the clips of all its recordings.
        indices: Which recordings, in order.
        samples: Accelerometer samples of a clip, S.
        frames: Skeleton frames of a clip, F.

    Raises:
        DataError: The clips cannot be written.
        UsageError: A length below 2.
    """
    arrays = _stretched(store, samples, frames)
    infos = [store.info[i] for i in indices]
    rows = torch.as_tensor(indices, dtype=torch.long)
    return Clips(
        signals=arrays,
        rows=rows,
        has_skeleton=torch.from_numpy(arrays["has_skeleton"][rows.numpy()]),
        aligned=torch.tensor([i.aligned for i in infos], dtype=torch.bool),
        labels=torch.tensor([i.label for i in infos], dtype=torch.long),
        ids=tuple(i.id for i in infos),
        subjects=tuple(i.subject for i in infos),
        moments=tuple(f"{i.take} {i.start}" if i.take else i.id for i in infos),
        seconds=torch.tensor([i.seconds for i in infos], dtype=torch.float32),
    )


class _Mapped(dict[str, NDArray[Any]]):
    """The arrays of a folder of clips; another process gets their place, not their contents."""

    def __init__(self, folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.place = folder, shapes
        kinds = {"has_skeleton": np.bool_}
        for name, shape in shapes.items():
            self[name] = map_npy(folder / f"{name}.npy", shape, kinds.get(name, np.float32))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.place


def _stretched(store: Store, samples: int, frames: int) -> _Mapped:
    """Map the clips of all recordings; write them first where they are missing or torn."""
    folder = store.folder / f"clips-{VERSION}-{samples}x{frames}"
    shapes = {
        "acceleration": (len(store), 3, samples),
        "skeleton": (len(store), frames, len(store.layout.joints), store.layout.dims),
        "has_skeleton": (len(store),),
    }

    with suppress(OSError, ValueError):  # not there, or torn
        return _Mapped(folder, shapes)
    with locked(folder):
        with suppress(OSError, ValueError):  # another process may have written them meanwhile
            return _Mapped(folder, shapes)
        part = part_of(folder)
        try:
            with writing(folder):
                _write(store, part, shapes)
            put_in_place(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return _Mapped(folder, shapes)


def _write(store: Store, folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # left by a process that was killed
    folder.mkdir()
    samples, has_skeleton = shapes["acceleration"][2], []
    with (
        closing(NpyWriter(folder / "acceleration.npy", shapes["acceleration"][1:])) as wrist,
        closing(NpyWriter(folder / "skeleton.npy", shapes["skeleton"][1:])) as body,
    ):
        everything = iter(store)
        while block := list(islice(everything, _BLOCK)):
            acceleration = np.zeros((len(block), *shapes["acceleration"][1:]), np.float32)
            skeleton = np.zeros((len(block), *shapes["skeleton"][1:]), np.float32)
            for n, recording in enumerate(block):
                acceleration[n] = stretch_filtered(recording.acceleration, samples).T
                if recording.skeleton is not None:
                    skeleton[n] = stretch(recording.skeleton, skeleton.shape[1])
            normal = normalise(torch.from_numpy(skeleton), store.layout).numpy()
            usable = np.isfinite(normal).all(axis=(1, 2, 3))  # else no skeleton, or no torso
            normal[~usable] = 0
            has_skeleton.append(usable)
            wrist.append(acceleration)
            body.append(normal)
        wrist.finish()
        body.finish()
    np.save(folder / "has_skeleton.npy", np.concatenate(has_skeleton))


def normalise(skeleton: Tensor, layout: SkeletonLayout) -> Tensor:
    """Move each clip's mean root to the origin and scale its mean torso length to 1.

    Where somebody stood and how tall they are goes; how they moved and turned stays.

    Args:
        skeleton: [N, F, J, C].
        layout: Its layout, which names the root and the torso.
    """
    origin = skeleton[:, :, layout.root].mean(1)[:, None, None]
    return (skeleton - origin) / torso_length(skeleton, layout)[:, None, None, None]


def torso_length(skeleton: Tensor, layout: SkeletonLayout) -> Tensor:
    """Mean distance of the two ends of the torso over each clip [N] of [N, F, J, C]."""
    upper, lower = layout.torso
    length: Tensor = torch.linalg.vector_norm(skeleton[:, :, upper] - skeleton[:, :, lower], dim=-1)
    return length.mean(1)
