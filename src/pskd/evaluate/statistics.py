"""The few statistics that a comparison of runs needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pskd.errors import DataError

CONFIDENCE = 0.95
"""Coverage of every interval."""

ALIKE = 1e-12
"""Spread that rounding leaves of differences that are all one number."""


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1 in the denominator) of one figure over runs."""

    mean: float
    sd: float | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class McNemar:
    """Two classifiers on the same clips.

    Attributes:
        won: Clips that only the first has right.
        lost: Clips that only the second has right.
        p: Two-sided exact p value: won is Binomial(won + lost, 1/2) if both are equally good.
    """

    won: int
    lost: int
    p: float


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation; of one value there is no standard deviation."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), sd, tuple(values))


def t_interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """Student's t interval of the mean of paired differences.

    None for fewer than two, and where all are alike and not 0: they say nothing of how others would
    differ.
    """
    across = spread(differences)
    if across.sd is None or (across.sd < ALIKE < abs(across.mean)):
        return None
    n = len(differences)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * across.sd / math.sqrt(n)
    return across.mean - half, across.mean + half


def unless_cancelled(
    interval: tuple[float, float] | None, *, same: bool
) -> tuple[float, float] | None:
    """An interval, but None where it is 0 wide because gains and losses happen to cancel.

    That says nothing of how others would differ; it is certain only if nothing differs (`same`).
    """
    return interval if same or interval != (0.0, 0.0) else None


def wilson_interval(accuracy: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a share `accuracy` of `n` independent clips."""
    low, high = stats.binomtest(round(accuracy * n), n).proportion_ci(CONFIDENCE, method="wilson")
    return float(low), float(high)


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> McNemar:
    """Exact McNemar test of which clips each of two classifiers has right [N]."""
    first, second = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    if first.shape != second.shape:
        raise DataError(f"{len(first)} clips cannot be paired with {len(second)}")
    won, lost = int((first & ~second).sum()), int((second & ~first).sum())
    p = float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0
    return McNemar(won, lost, p)
