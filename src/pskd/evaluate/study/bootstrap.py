"""Bootstrap intervals of a difference, over the seeds of a training and the people it is tested on.

Two things are drawn: the seed of a training and the people it is tested on. They are crossed: all
seeds are tested on the same people. The bootstrap draws both, seeds and subjects, each with
replacement and the clips of a subject together (the pigeonhole bootstrap: A. B. Owen, The
pigeonhole bootstrap, Annals of Applied Statistics 1(2), 2007), and every resample takes the method
and its baseline alike.

With four subjects and five seeds plain percentiles are far too narrow: a resample of n leaves out
a share 1/n of the variance, and normal quantiles are not Student's (T. C. Hesterberg, What teachers
should know about the bootstrap, The American Statistician 69(4), 2015). So the percentiles keep
their shape and are stretched: to the standard deviation with n - 1 in the denominator, and from
normal to Student's quantiles, with Satterthwaite's degrees of freedom where seeds and subjects are
added. The noise of single clips is then counted twice, which errs on the side of caution. BCa would
need an acceleration, which four subjects do not give. `python benchmarks/intervals.py` counts how
often the intervals hold the truth.

With leave_one_subject_out the people tested have also trained the networks of the other folds; no
interval knows of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pskd.evaluate.run_files import Headline, Predictions
from pskd.evaluate.statistics import ALIKE, CONFIDENCE, t_interval

RESAMPLES = 4000
"""Draws of every bootstrap, always the same ones."""

Interval = tuple[float, float]
Array = NDArray[Any]


@dataclass(frozen=True)
class Counts:
    """Clips by seed S, subject J and class K: right ones [S, J, K], predicted ones, true [J, K]."""

    hits: Array
    claimed: Array
    support: Array

    @staticmethod
    def of(said: Sequence[Predictions], subjects: Sequence[str], classes: int) -> Counts:
        """Count what is said of the same clips, one a seed."""
        hits, claimed = np.zeros((2, len(said), len(subjects), classes))
        support = np.zeros((len(subjects), classes))
        place = {subject: j for j, subject in enumerate(subjects)}
        for s, one in enumerate(said):
            who = np.array([place[subject] for subject in one.subjects])
            right = one.true == one.predicted
            np.add.at(hits[s], (who[right], one.true[right]), 1)
            np.add.at(claimed[s], (who, one.predicted), 1)
            if s == 0:
                np.add.at(support, (who, one.true), 1)
        return Counts(hits, claimed, support)

    def f1(self, weights: Array) -> tuple[Array, Array]:
        """F1 [B, S, K] where subjects count `weights` [B, J] times, NaN without clips; its mean."""
        hits, claimed = (np.tensordot(weights, c, (1, 1)) for c in (self.hits, self.claimed))
        whole = (weights @ self.support)[:, None] + claimed
        with np.errstate(invalid="ignore"):
            f1 = np.where(whole > 0, 2 * hits / whole, np.nan)
        return f1, np.nanmean(f1, axis=2)

    def score(self, weights: Array, headline: Headline) -> Array:
        """Score [B, S] where subjects count `weights` [B, J] times."""
        if headline == "macro_f1":
            return self.f1(weights)[1]
        clips = weights @ self.support.sum(axis=1)
        return np.asarray(weights @ self.hits.sum(axis=2).T / clips[:, None])


def draws(seeds: int, subjects: int) -> tuple[Array, Array]:
    """How often each resample has each seed [B, S] and each subject [B, J]."""
    rng = np.random.default_rng(0)
    return (
        rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES),
        rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=RESAMPLES),
    )


def over_both(values: Array, resampled: Array, seed_draws: Array, subjects: int) -> Interval | None:
    """Interval over seeds and J subjects.

    Args:
        values: Differences by seed [S].
        resampled: The same where subjects were drawn [B, S], NaN where there is none.
        seed_draws: How often each resample has each seed [B, S].
        subjects: J.

    Returns:
        With one seed the interval over subjects, with one subject that over seeds, with one of
        each None.
    """
    seeds = len(values)
    if subjects == 1:
        return t_interval(values.tolist())
    if seeds == 1:
        return over_subjects(values, resampled, subjects)
    of_seeds = float(values.var(ddof=1)) / seeds
    of_subjects = float(np.nanvar(resampled.mean(axis=1))) * subjects / (subjects - 1)
    total = of_seeds + of_subjects
    parts = of_seeds**2 / (seeds - 1) + of_subjects**2 / (subjects - 1)
    freedom = total**2 / parts if parts else 1.0
    means = (resampled * seed_draws).sum(axis=1) / seeds
    return _stretched(float(values.mean()), means, math.sqrt(total), freedom)


def over_subjects(values: Array, resampled: Array, subjects: int) -> Interval | None:
    """Interval over J subjects, the seeds as they are; arguments as those of `over_both`."""
    if subjects == 1:
        return None
    means = resampled.mean(axis=1)
    deviation = float(np.nanstd(means)) * math.sqrt(subjects / (subjects - 1))
    return _stretched(float(values.mean()), means, deviation, subjects - 1)


def _stretched(mean: float, drawn: Array, deviation: float, freedom: float) -> Interval | None:
    """Percentiles of `drawn` about their own mean, stretched to a deviation and to Student's t.

    None where all draws are alike and not 0: seeds and subjects that do not differ say nothing of
    how others would.
    """
    tails = np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    own = float(np.nanstd(drawn))
    if own < ALIKE:
        return None if abs(mean) > ALIKE else (0.0, 0.0)
    longer = float(stats.t.ppf(tails[1], freedom) / stats.norm.ppf(tails[1])) * deviation / own
    low, high = mean + longer * (np.nanquantile(drawn, tails) - np.nanmean(drawn))
    return max(float(low), -1.0), min(float(high), 1.0)
