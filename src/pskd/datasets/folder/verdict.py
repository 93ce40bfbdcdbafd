"""What the pairs of a dataset, taken together, say of how their signals go together."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pskd.datasets.folder.alignment import ALIGNED, PairScore

FEWEST = 8
"""Pairs that are needed for a word on all of them."""
_FEWEST_IN_CLASS = 30
_LEAST_SHARE = 0.15
_ALIKE = 0.2  # seconds
_BACKWARDS = 0.1  # Fisher's z; half of what one pair alone must show

Kind = Literal["too few", "aligned", "late", "backwards", "mixed up", "apart"]


@dataclass(frozen=True)
class Alignment:
    """How the pairs of a dataset go together.

    Attributes:
        kind: `aligned`: moment by moment. `late`: as if all skeletons were shifted alike.
            `backwards`: as if they ran backwards. `mixed up`: as if skeletons were exchanged
            within classes. `apart`: no better than pairs of different recordings, which is so
            where the signals are not aligned, and where the pairs are wrong. `too few` to say.
        share: Share of the pairs that beat 95 % of others.
        chance: The share expected of pairs that have nothing to do with each other.
        lag: Median of the lags at which pairs are most alike, s; positive: the skeleton is late.
        joint: The joint that most often moves most like the sensor.
        scores: Every pair.
    """

    kind: Kind
    share: float
    chance: float
    lag: float
    joint: str
    scores: tuple[PairScore, ...]


def judge(scores: Sequence[PairScore], joints: Sequence[str]) -> Alignment:
    """Judge a dataset by its pairs, at least one; `joints` are the names of the layout."""
    count = len(scores)
    others = min(len(score.others) for score in scores)
    chance = (math.floor((1 - ALIGNED) * others + 1e-9) + 1) / (others + 1)
    share = sum(score.aligned for score in scores) / count
    best = Counter(score.joint for score in scores if score.aligned or share == 0)
    return Alignment(
        kind=_kind(scores, share, chance),
        share=share,
        chance=chance,
        lag=statistics.median(score.lag for score in scores),
        joint=joints[best.most_common(1)[0][0]],
        scores=tuple(scores),
    )


def _kind(scores: Sequence[PairScore], share: float, chance: float) -> Kind:
    count = len(scores)
    if count < FEWEST:
        return "too few"
    lags = [score.lag for score in scores if score.late]
    middle = statistics.median(lags or [0.0])
    if sum(abs(lag - middle) <= _ALIKE for lag in lags) >= count / 2:
        return "late"
    if sum(score.backwards > _BACKWARDS for score in scores) >= count / 2:
        return "backwards"
    luck = chance + 2.6 * math.sqrt(chance * (1 - chance) / count) + 1 / count
    if share <= max(luck, _LEAST_SHARE):
        return "apart"
    ranks = [s.beaten_in_class for s in scores if s.beaten_in_class is not None]
    # Ranks of exchanged skeletons are even from 0 to 1: mean 0.5, variance 1/12.
    if len(ranks) >= _FEWEST_IN_CLASS and (
        statistics.mean(ranks) < 0.5 + 3 / math.sqrt(12 * len(ranks))
    ):
        return "mixed up"
    return "aligned"
