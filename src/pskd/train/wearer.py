"""Testing a student that has adapted to each test subject by recordings without labels."""

from __future__ import annotations

import torch
from torch import Tensor

from pskd.data.clips import Clips
from pskd.models import Model, Output
from pskd.models.adapt import adapt
from pskd.train.fit import predict
from pskd.train.stream import draw_seed


def predict_adapted(model: Model, clips: Clips, recordings: int, seed: int) -> Output:
    """As `predict`, each clip by a student that has adapted to others of the same subject.

    A subject's clips are shuffled and cut into groups; each is predicted by a student that has
    adapted to the clips before it, the first to the last ones. So every clip is tested once, and
    never by a student that has seen it.

    Args:
        model: A student: it sees the accelerometer alone.
        clips: What is tested.
        recordings: Clips that it adapts to; at most half of a subject's.
        seed: Of the shuffling.

    Raises:
        UsageError: The model has no batch norm.
    """
    outputs: list[Output] = []
    places: list[Tensor] = []
    for subject in sorted(set(clips.subjects)):
        own = torch.tensor([i for i, who in enumerate(clips.subjects) if who == subject])
        draw = torch.Generator().manual_seed(draw_seed(seed, "adapt", subject))
        own = own[torch.randperm(len(own), generator=draw)]
        size = min(recordings, len(own) // 2)
        for first in range(0, len(own), max(size, 1)):
            group = own[first : first + max(size, 1)]
            before = own[(first - 1 - torch.arange(size)) % len(own)]
            worn = adapt(model, clips.read("acceleration", before)) if size else model
            outputs.append(predict(worn, clips.select(group.tolist())))
            places.append(group)
    back = torch.argsort(torch.cat(places))
    return Output(*(torch.cat(part)[back] for part in zip(*outputs, strict=True)))
