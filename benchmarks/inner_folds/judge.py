"""The clips of training subjects, and what students are judged by on one that was held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pskd.models import Model, Signal
from pskd.models.adapt import PRIOR, adapt
from pskd.signal.augment import Batch, resample, rotation_matrices

FOLDS, SEEDS, CLASSES = (1, 3, 5, 7), (0, 1, 2), 27
CLIPS, PRIORS, ACTIONS = (4, 8, 16, 27, 54), (0, 4, 8, 16, 32, 64), (1, 3, 7, 14)
"""What a student adapts to, how much its training counts beside it, and clips of few actions."""


@dataclass(frozen=True)
class Data:
    """The training side of UTD-MHAD; `seconds` [N] are of the clips before stretching."""

    x: Tensor
    skeleton: Tensor
    labels: Tensor
    subjects: Tensor
    seconds: Tensor
    signal: Signal

    def fold(self, held_out: int) -> tuple[Tensor, Tensor]:
        """Clips to train on and clips to test."""
        out = self.subjects == held_out
        return (~out).nonzero().flatten(), out.nonzero().flatten()

    def batch(self, index: Tensor, skeletons: bool) -> Batch:
        """Clips as they are; two frames of one joint where nobody looks at skeletons."""
        skeleton = self.skeleton[index]
        there = torch.ones(len(index), dtype=torch.bool)
        return Batch(
            self.x[index],
            skeleton if skeletons else skeleton[:, :2, :1],
            there,
            there,
            functional.one_hot(self.labels[index], CLASSES).float(),
        )


@dataclass(frozen=True)
class Judged:
    """What is seen of one student.

    Attributes:
        logits: Of the clips of the subject that was held out [N, K].
        labels: Theirs [N].
        voted: Accuracy in percent by the mean of what is said of nine crops of each clip.
        turned: Accuracy in percent where the clips are turned as `turn` does.
        adapted: Gain in points by `CLIPS` and `PRIORS`, on other clips; if asked.
        few: Gain in points by `ACTIONS`, on the other actions; if asked.
        adapted_to_all: Accuracy in percent, turned and adapted to all that is tested.
    """

    logits: Tensor
    labels: Tensor
    voted: float
    turned: float
    adapted: list[list[float]]
    few: list[float]
    adapted_to_all: float

    @property
    def accuracy(self) -> float:
        """In percent."""
        return 100 * float((self.logits.argmax(1) == self.labels).float().mean())


def judge(model: Model, data: Data, train: Tensor, test: Tensor, adapting: bool) -> Judged:
    """All of it, of one student; tables of adaptation, which take their time, where asked for."""
    turned = replace(data, x=turn(data.x, train, test))
    with torch.inference_mode():
        logits = model(data.x[test]).logits
    return Judged(
        logits,
        data.labels[test],
        _voted(model, data, test),
        _right(model, turned, test),
        [[_adapted(model, data, test, n, p) for p in PRIORS] for n in CLIPS if adapting],
        [_few_actions(model, data, test, n) for n in ACTIONS if adapting],
        _right(adapt(model, turned.x[test]), turned, test),
    )


def summary(judged: Mapping[tuple[int, int], Judged]) -> dict[str, Any]:
    """Of the students of all folds and seeds, by (fold, seed)."""
    seeds = sorted({seed for _, seed in judged})
    plain = np.array([[judged[fold, seed].accuracy for fold in FOLDS] for seed in seeds])
    return {
        "accuracy": round(float(plain.mean()), 2),
        "sd_of_seeds": round(float(plain.mean(1).std(ddof=1)), 2) if len(seeds) > 1 else None,
        "by_seed": plain.mean(1).round(2).tolist(),
        "by_subject": dict(zip(map(str, FOLDS), plain.mean(0).round(1).tolist(), strict=True)),
        **_errors(judged, seeds),
        "voted": round(float(np.mean([one.voted for one in judged.values()])), 2),
        "turned": round(float(np.mean([one.turned for one in judged.values()])), 2),
        "turned_and_adapted_to_all": round(
            float(np.mean([one.adapted_to_all for one in judged.values()])), 2
        ),
        **_adaptation([one for one in judged.values() if one.few]),
    }


def _adaptation(judged: list[Judged]) -> dict[str, Any]:
    """Mean gains, where there are any."""
    if not judged:
        return {}
    gains = np.mean([one.adapted for one in judged], axis=0).round(2).tolist()
    few = np.mean([one.few for one in judged], axis=0).round(2).tolist()
    return {
        "gain_by_clips_and_prior": {
            clips: dict(zip(PRIORS, row, strict=True))
            for clips, row in zip(CLIPS, gains, strict=True)
        },
        "gain_by_actions": dict(zip(ACTIONS, few, strict=True)),
    }


Mistake = tuple[int, int, int]
"""A subject, an action of theirs, and the other action that it was taken for."""


def mistakes(said: Iterable[tuple[int, Tensor, Tensor]]) -> Counter[Mistake]:
    """How often each was made, by subject, logits [N, K] and labels [N]."""
    made: Counter[Mistake] = Counter()
    for subject, logits, labels in said:
        pairs = zip(labels.tolist(), logits.argmax(1).tolist(), strict=True)
        made.update((subject, true, other) for true, other in pairs if true != other)
    return made


def habits(made: Mapping[Mistake, int], seeds: int) -> dict[Mistake, int]:
    """Those that half of the trials of an action fall to, over all seeds: 6 of 12."""
    return {mistake: n for mistake, n in made.items() if n >= 2 * seeds}


def _errors(judged: Mapping[tuple[int, int], Judged], seeds: list[int]) -> dict[str, Any]:
    """Where the errors are, and whether other seeds or a second guess would mend them."""
    made = mistakes((fold, one.logits, one.labels) for (fold, _), one in judged.items())
    second = clips = together = 0
    for fold in FOLDS:
        several = [judged[fold, seed] for seed in seeds]
        labels = several[0].labels
        joint = torch.stack([one.logits.softmax(1) for one in several]).sum(0).argmax(1)
        together += int((joint == labels).sum())
        for one in several:
            clips += len(labels)
            second += int((one.logits.topk(2).indices == labels[:, None]).any(1).sum())
    known = habits(made, len(seeds))
    return {
        "errors": made.total(),
        "habits": len(known),
        "share_of_habits": round(sum(known.values()) / made.total(), 3),
        "mean_of_seeds": round(100 * together * len(seeds) / clips, 1),
        "first_two": round(100 * second / clips, 1),
    }


def turn(x: Tensor, train: Tensor, test: Tensor) -> Tensor:
    """Clips turned so that the mean gravity of those of `test` points as that of `train` does."""
    own, theirs = (functional.normalize(x[clips].mean((0, 2)), dim=0) for clips in (test, train))
    axis = torch.linalg.cross(own, theirs)
    angle = torch.atan2(axis.norm(), own @ theirs)
    return rotation_matrices((functional.normalize(axis, dim=0) * angle)[None]) @ x


@torch.inference_mode()
def _right(model: Model, data: Data, clips: Tensor) -> float:
    said = model(data.x[clips]).logits.argmax(1)
    return 100 * float((said == data.labels[clips]).float().mean())


@torch.inference_mode()
def _voted(model: Model, data: Data, clips: Tensor) -> float:
    x, total = data.x[clips], torch.zeros(len(clips), CLASSES)
    for start in (0.0, 0.03, 0.06):
        for stop in (1.0, 0.97, 0.94):
            at = torch.linspace(start, stop, x.shape[-1]).expand(len(x), -1)
            total += model(resample(x, at)).logits.softmax(1)
    return 100 * float((total.argmax(1) == data.labels[clips]).float().mean())


def _adapted(model: Model, data: Data, clips: Tensor, count: int, prior: float) -> float:
    """Gain by adapting to some clips, on the others; mean of six draws."""
    gains = []
    for draw in range(6):
        g = torch.Generator().manual_seed(100 * draw + count)
        order = clips[torch.randperm(len(clips), generator=g)]
        gains.append(_gain(model, data, order[:count], order[count:], prior))
    return float(np.mean(gains))


def _few_actions(model: Model, data: Data, clips: Tensor, count: int) -> float:
    """Gain on the other actions by adapting to all clips of a few; mean of six draws."""
    gains = []
    for draw in range(6):
        g = torch.Generator().manual_seed(10 * draw + count)
        shown = torch.isin(data.labels[clips], torch.randperm(CLASSES, generator=g)[:count])
        gains.append(_gain(model, data, clips[shown], clips[~shown], PRIOR))
    return float(np.mean(gains))


def _gain(model: Model, data: Data, seen: Tensor, rest: Tensor, prior: float) -> float:
    """Of adapting to some clips, on the rest, in points."""
    return _right(adapt(model, data.x[seen], prior), data, rest) - _right(model, data, rest)
