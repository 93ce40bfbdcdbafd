"""`Clips`: recordings of any length made into tensors of one length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pskd.data.skeleton import SkeletonLayout
from pskd.data.store import Store
from pskd.errors import DataError
from pskd.signal.align import stretch


@dataclass(frozen=True)
class Clips:
    """N recordings, both signals of each stretched over the same span.

    Attributes:
        acceleration: [N, 3, S], float32, in g.
        skeleton: [N, F, J, C], float32, normalised; zeros where a recording has none.
        has_skeleton: [N], bool.
        labels: [N], int64, class indices.
        ids: Names of the recordings.
        subjects: Who moved.
        seconds: [N], float32, duration before stretching.
    """

    acceleration: Tensor
    skeleton: Tensor
    has_skeleton: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    subjects: tuple[str, ...]
    seconds: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, indices: Sequence[int]) -> Clips:
        """Return some of the clips, in the order of `indices`."""
        chosen = torch.as_tensor(indices, dtype=torch.long)
        return Clips(
            acceleration=self.acceleration[chosen],
            skeleton=self.skeleton[chosen],
            has_skeleton=self.has_skeleton[chosen],
            labels=self.labels[chosen],
            ids=tuple(self.ids[i] for i in chosen.tolist()),
            subjects=tuple(self.subjects[i] for i in chosen.tolist()),
            seconds=self.seconds[chosen],
        )


def make_clips(store: Store, indices: Sequence[int], samples: int, frames: int) -> Clips:
    """Make clips of some recordings of a store.

    Args:
        store: The store.
        indices: Which recordings, in order.
        samples: Accelerometer samples of a clip, S.
        frames: Skeleton frames of a clip, F.

    Raises:
        DataError: A skeleton without extent, which cannot be scaled.
    """
    layout = store.layout
    infos = [store.info[i] for i in indices]
    acceleration = np.zeros((len(infos), 3, samples), np.float32)
    skeleton = np.zeros((len(infos), frames, len(layout.joints), layout.dims), np.float32)
    for n, index in enumerate(indices):
        recording = store[index]
        acceleration[n] = stretch(recording.acceleration, samples).T
        if recording.skeleton is not None:
            skeleton[n] = stretch(recording.skeleton, frames)
    has_skeleton = torch.tensor([i.has_skeleton for i in infos], dtype=torch.bool)
    joints = torch.from_numpy(skeleton)
    flat = torso_length(joints, layout) <= 0
    for n in (flat & has_skeleton).nonzero().flatten().tolist():
        raise DataError(
            "skeleton has a torso of no length", where=infos[n].id, remedy="Leave the trial out"
        )
    joints[has_skeleton] = normalise(joints[has_skeleton], layout)
    return Clips(
        acceleration=torch.from_numpy(acceleration),
        skeleton=joints,
        has_skeleton=has_skeleton,
        labels=torch.tensor([i.label for i in infos], dtype=torch.long),
        ids=tuple(i.id for i in infos),
        subjects=tuple(i.subject for i in infos),
        seconds=torch.tensor([i.seconds for i in infos], dtype=torch.float32),
    )


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
