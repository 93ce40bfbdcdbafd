"""The difference between two methods that were tested on the same clips, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pskd.evaluate.run_files import DatasetFacts, Headline, Predictions
from pskd.evaluate.statistics import (
    CONFIDENCE,
    McNemar,
    Spread,
    mcnemar,
    spread,
    t_interval,
    unless_cancelled,
)
from pskd.evaluate.study.bootstrap import Counts, Interval, draws, over_both, over_subjects


def excludes_zero(interval: Interval | None) -> bool:
    """Whether there is an interval, all on one side of 0."""
    return interval is not None and (interval[0] > 0 or interval[1] < 0)


@dataclass(frozen=True)
class Difference:
    """Method - baseline on the same recordings, of the dataset's headline score, as a fraction.

    Attributes:
        mean: Over the seeds that both have.
        values: By seed.
        seeds: The seeds, in the order of `values`.
        by_subject: Difference of the accuracies of each test subject, mean over seeds.
        interval: Of the mean, over trainings and people: bootstrap over seeds and subjects. With
            one seed it is `subject_interval`, with one subject `seed_interval`.
        seed_interval: Of the mean over trainings, for these people: Student's t over seeds.
        subject_interval: Of the mean over people, for these trainings: bootstrap over subjects.
        mcnemar: Exact test on the predictions of each seed.
        p: `mcnemar` over the seeds, by `median_p`; takes clips as independent.
        p_corrected: After Holm, over the methods of the table.
        per_class: Difference of F1 by class, mean over seeds; classes without test clips left out.
        per_class_interval: As `interval`, one class at a time.
        baseline: Score of the baseline on those seeds.
    """

    mean: float
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    by_subject: dict[str, float]
    interval: Interval | None
    seed_interval: Interval | None
    subject_interval: Interval | None
    mcnemar: tuple[McNemar, ...]
    p: float
    p_corrected: float
    per_class: dict[str, float]
    per_class_interval: dict[str, Interval]
    baseline: Spread

    @property
    def clear(self) -> bool:
        """Whether it may be claimed: `interval` leaves out 0, `p_corrected` is below 0.05.

        And both are of one direction: p is about right clips, `mean` may be of macro-F1.
        """
        more_right = sum(pair.won - pair.lost for pair in self.mcnemar)
        sure = excludes_zero(self.interval) and self.p_corrected < 1 - CONFIDENCE
        return sure and more_right * self.mean > 0


def paired(
    method: Mapping[int, Predictions], baseline: Mapping[int, Predictions], dataset: DatasetFacts
) -> Difference | None:
    """The difference over the seeds that both have on the same recordings; None without any."""
    seeds = [
        seed
        for seed, said in method.items()
        if seed in baseline and set(baseline[seed].recordings) == set(said.recordings)
    ]
    if not seeds:
        return None
    return difference(
        [method[seed] for seed in seeds],
        [baseline[seed] for seed in seeds],
        seeds,
        dataset.classes,
        dataset.headline,
    )


def difference(
    method: Sequence[Predictions],
    baseline: Sequence[Predictions],
    seeds: Sequence[int],
    classes: Sequence[str],
    headline: Headline,
) -> Difference:
    """Compare a method with its baseline, seed by seed on the same recordings.

    Args:
        method: What the method says, one a seed.
        baseline: What the baseline says, one a seed.
        seeds: The S seeds.
        classes: Names of the K classes.
        headline: The score that is compared.
    """
    subjects = sorted(set(method[0].subjects))
    mine, theirs = (Counts.of(said, subjects, len(classes)) for said in (method, baseline))
    drawn = draws(len(seeds), len(subjects))
    as_it_is = np.ones((1, len(subjects)))

    values = (mine.score(as_it_is, headline) - theirs.score(as_it_is, headline))[0]
    resampled = mine.score(drawn[1], headline) - theirs.score(drawn[1], headline)
    f1, f1_resampled = (mine.f1(w)[0] - theirs.f1(w)[0] for w in (as_it_is, drawn[1]))
    shares = (mine.hits - theirs.hits).sum(axis=2) / mine.support.sum(axis=1)
    present = [k for k in range(len(classes)) if mine.support[:, k].any()]
    each_class = {
        classes[k]: over_both(f1[0, :, k], f1_resampled[:, :, k], drawn[0], len(subjects))
        for k in present
    }
    pairs = tuple(
        mcnemar(_right(said), _right(other)) for said, other in zip(method, baseline, strict=True)
    )
    p = median_p(pairs)
    same = all(map(_same, method, baseline))
    return Difference(
        mean=float(values.mean()),
        values=tuple(values.tolist()),
        seeds=tuple(seeds),
        by_subject=dict(zip(subjects, shares.mean(axis=0).tolist(), strict=True)),
        interval=unless_cancelled(over_both(values, resampled, drawn[0], len(subjects)), same=same),
        seed_interval=unless_cancelled(t_interval(values.tolist()), same=same),
        subject_interval=unless_cancelled(
            over_subjects(values, resampled, len(subjects)), same=same
        ),
        mcnemar=pairs,
        p=p,
        p_corrected=p,
        per_class={classes[k]: float(f1[0, :, k].mean()) for k in present},
        per_class_interval={name: ends for name, ends in each_class.items() if ends},
        baseline=spread(theirs.score(as_it_is, headline)[0].tolist()),
    )


def median_p(pairs: Sequence[McNemar]) -> float:
    """One two-sided p value out of a McNemar test for each of K seeds.

    The seeds share their test clips, so that their p values depend on each other. Rueger's rule
    holds whatever the dependence: K / r times the r-th smallest is a p value; r is the middle one
    (B. Rueger, Das maximale Signifikanzniveau des Tests, Metrika 25, 1978; V. Vovk, R. Wang,
    Combining p-values via averaging, Biometrika 107(4), 2020). It is taken one-sided for either
    direction, and the smaller one doubled, so that seeds that disagree do not add up.
    """
    won, lost = (np.array([getattr(pair, name) for pair in pairs]) for name in ("won", "lost"))
    r = (len(pairs) + 1) // 2
    one_sided = (np.sort(stats.binom.sf(k - 1, won + lost, 0.5))[r - 1] for k in (won, lost))
    return min(1.0, 2 * float(min(one_sided)) * len(pairs) / r)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number (S. Holm, Scand. Journal of Statistics 6(2), 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    steps = np.minimum(1, np.maximum.accumulate(factors * np.asarray(p_values)[order]))
    corrected = np.empty(len(p_values))
    corrected[order] = steps
    return [float(p) for p in corrected]


def _same(said: Predictions, other: Predictions) -> bool:
    """Whether both give every clip the same class."""
    a, b = (dict(zip(x.recordings, x.predicted.tolist(), strict=True)) for x in (said, other))
    return a == b


def _right(said: Predictions) -> list[bool]:
    """Whether each clip is right, in the order of their names."""
    return [right for _, right in sorted(said.right().items())]
