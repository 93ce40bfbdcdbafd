"""Intervals, p values and corrections against enumeration and hand formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from pskd.evaluate import score
from pskd.evaluate.run_files import Headline, Predictions
from pskd.evaluate.statistics import McNemar
from pskd.evaluate.study import statistics as study_statistics
from pskd.evaluate.study.bootstrap import Counts, draws, over_both, over_subjects
from pskd.evaluate.study.statistics import difference, holm, median_p

CLASSES = ("wave", "clap", "walk")
SUBJECTS = 4
CLIPS = 9


def said(rng: np.random.Generator, chance: Sequence[float], shuffle: bool = False) -> Predictions:
    """Predictions of 4 subjects, right with a chance of each; clips of unequal number."""
    who = np.repeat(np.arange(SUBJECTS), [CLIPS, CLIPS, CLIPS + 4, CLIPS])
    true = np.arange(len(who)) % len(CLASSES)
    hits = rng.random(len(who)) < np.asarray(chance)[who]
    predicted = np.where(hits, true, (true + 1 + rng.integers(0, 2, len(who))) % len(CLASSES))
    order = rng.permutation(len(who)) if shuffle else np.arange(len(who))
    return Predictions(
        recordings=tuple(f"r{i:02}" for i in order),
        subjects=tuple(f"s{who[i]}" for i in order),
        true=true[order],
        predicted=predicted[order],
        probabilities=np.zeros((len(who), 3)),
    )


@pytest.fixture
def pair() -> tuple[list[Predictions], list[Predictions]]:
    """Three seeds of a method and its baseline, the recordings in other orders."""
    rng = np.random.default_rng(5)
    return (
        [said(rng, (0.9, 0.8, 0.7, 0.9), shuffle=True) for _ in range(3)],
        [said(rng, (0.5, 0.7, 0.6, 0.4)) for _ in range(3)],
    )


def drawn_clips(one: Predictions, subjects: Sequence[int]) -> Predictions:
    """The clips of the subjects that were drawn, as often as they were."""
    who = np.array(one.subjects)
    rows = np.concatenate([np.flatnonzero(who == f"s{j}") for j in subjects])
    return Predictions(
        recordings=tuple(map(str, range(len(rows)))),
        subjects=tuple(who[rows]),
        true=one.true[rows],
        predicted=one.predicted[rows],
        probabilities=one.probabilities[rows],
    )


def scored(one: Predictions, headline: str) -> float:
    if headline == "accuracy":
        return float(np.mean(one.true == one.predicted))
    parts = [(one.true == k, one.predicted == k) for k in range(len(CLASSES))]
    return float(np.mean([2 * (t & p).sum() / (t.sum() + p.sum()) for t, p in parts]))


@pytest.mark.parametrize("headline", ["accuracy", "macro_f1"])
def test_difference_is_that_of_the_scores(
    pair: tuple[list[Predictions], list[Predictions]], headline: Headline
) -> None:
    found = difference(*pair, (4, 5, 6), CLASSES, headline)
    values = [scored(a, headline) - scored(b, headline) for a, b in zip(*pair, strict=True)]
    assert found.values == pytest.approx(values) and found.seeds == (4, 5, 6)
    assert found.mean == pytest.approx(np.mean(values))
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.seed_interval == pytest.approx((low, high))
    assert found.baseline.values == pytest.approx([scored(b, headline) for b in pair[1]])
    tests = [[score(p.true, p.predicted, p.subjects, CLASSES) for p in side] for side in pair]
    for name in CLASSES:
        gains = [a.per_class[name].f1 - b.per_class[name].f1 for a, b in zip(*tests, strict=True)]
        assert found.per_class[name] == pytest.approx(np.mean(gains))
    for subject in ("s0", "s2"):
        gains = [a.per_subject[subject] - b.per_subject[subject]
                 for a, b in zip(*tests, strict=True)]  # fmt: skip
        assert found.by_subject[subject] == pytest.approx(np.mean(gains))
    for k, test in enumerate(found.mcnemar):
        a, b = (side[k].right() for side in pair)
        won = sum(a[r] and not b[r] for r in a)
        assert test.won == won and test.lost == sum(b[r] and not a[r] for r in a)


@pytest.mark.parametrize("headline", ["accuracy", "macro_f1"])
def test_resamples_are_scores_of_the_drawn_clips(
    pair: tuple[list[Predictions], list[Predictions]], headline: Headline
) -> None:
    counts = Counts.of(pair[0], [f"s{j}" for j in range(SUBJECTS)], len(CLASSES))
    _, weights = draws(3, SUBJECTS)
    found = counts.score(weights[:20], headline)
    for row, weight in zip(found, weights, strict=False):
        people = np.repeat(np.arange(SUBJECTS), weight)
        assert row == pytest.approx([scored(drawn_clips(p, people), headline) for p in pair[0]])


def stretched(
    mean: float, drawn: NDArray[np.float64], deviation: float, freedom: float
) -> tuple[float, float]:
    low, high = np.quantile(drawn, [0.025, 0.975]) - drawn.mean()
    factor = deviation / drawn.std() * stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975)
    return mean + factor * low, mean + factor * high


def all_differences(
    pair: tuple[list[Predictions], list[Predictions]], headline: str
) -> NDArray[np.float64]:
    """Difference for each of the 4^4 draws of subjects, by seed."""
    return np.array(
        [
            [
                scored(drawn_clips(a, people), headline) - scored(drawn_clips(b, people), headline)
                for a, b in zip(*pair, strict=True)
            ]
            for people in product(range(SUBJECTS), repeat=SUBJECTS)
        ]
    )


@pytest.mark.parametrize("headline", ["accuracy", "macro_f1"])
def test_intervals_are_those_of_all_possible_draws(
    pair: tuple[list[Predictions], list[Predictions]],
    headline: Headline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    possible = [
        (np.bincount(seeds, minlength=3), np.bincount(people, minlength=SUBJECTS))
        for seeds in product(range(3), repeat=3)
        for people in product(range(SUBJECTS), repeat=SUBJECTS)
    ]
    weights = tuple(np.array(side) for side in zip(*possible, strict=True))
    monkeypatch.setattr(study_statistics, "draws", lambda seeds, subjects: weights)
    found = difference(*pair, (0, 1, 2), CLASSES, headline)
    every = all_differences(pair, headline)
    by_subject = math.sqrt(every.mean(axis=1).var() * 4 / 3)
    assert found.subject_interval == pytest.approx(
        stretched(found.mean, np.tile(every.mean(axis=1), 27), by_subject, 3)
    )
    both = np.array([every[:, seeds].mean(axis=1) for seeds in product(range(3), repeat=3)])
    by_seed = np.std(found.values, ddof=1) / math.sqrt(3)
    total = by_seed**2 + by_subject**2
    freedom = total**2 / (by_seed**4 / 2 + by_subject**4 / 3)
    assert found.interval == pytest.approx(
        stretched(found.mean, both.ravel(), math.sqrt(total), freedom)
    )


def test_draws_are_as_likely_as_they_should_be() -> None:
    seeds, subjects = draws(5, 4)
    assert set(seeds.sum(axis=1)) == {5} and set(subjects.sum(axis=1)) == {4}
    assert np.mean(seeds[:, 0] == 0) == pytest.approx(0.8**5, abs=0.025)
    assert np.mean((subjects == 1).all(axis=1)) == pytest.approx(24 / 256, abs=0.015)
    assert abs(np.corrcoef(seeds[:, 0], subjects[:, 0])[0, 1]) < 0.05


def test_percentiles_agree_with_scipy() -> None:
    """With many subjects and one clip each, the stretch fades: scipy's plain percentiles."""
    rng = np.random.default_rng(0)
    gains = rng.exponential(0.05, 400) - 0.03
    _, weights = draws(1, 400)
    found = over_subjects(np.array([gains.mean()]), (weights @ gains / 400)[:, None], 400)
    other = stats.bootstrap((gains,), np.mean, n_resamples=9999, method="percentile")
    assert found == pytest.approx(tuple(other.confidence_interval), abs=5e-4)


def test_one_seed_leaves_the_subjects_and_one_subject_the_seeds(
    pair: tuple[list[Predictions], list[Predictions]],
) -> None:
    one = difference(pair[0][:1], pair[1][:1], (0,), CLASSES, "accuracy")
    assert one.interval == one.subject_interval is not None and one.seed_interval is None
    alone = [[drawn_clips(p, [0]) for p in side] for side in pair]
    same = difference(*alone, (0, 1, 2), CLASSES, "accuracy")
    assert same.interval == same.seed_interval is not None and same.subject_interval is None
    neither = difference(alone[0][:1], alone[1][:1], (0,), CLASSES, "accuracy")
    assert neither.interval is None and not neither.per_class_interval and not neither.clear


def test_seeds_and_subjects_that_do_not_differ_give_no_interval() -> None:
    values, (seed_draws, subject_draws) = np.full(3, 0.02), draws(3, 4)
    resampled = np.full((len(subject_draws), 3), 0.02)
    assert over_both(values, resampled, seed_draws, 4) is None
    assert over_subjects(values, resampled, 4) is None


def test_a_method_against_itself_gains_nothing(
    pair: tuple[list[Predictions], list[Predictions]],
) -> None:
    same = difference(pair[0], pair[0], (0, 1, 2), CLASSES, "macro_f1")
    assert same.interval == (0, 0) and same.p == 1 and not same.clear


def test_gains_and_losses_that_cancel_give_no_interval() -> None:
    """Half of each person's clips are won, the other half lost: no more is known than the mean."""
    one = said(np.random.default_rng(0), (1.0,) * 4)
    wrong, who = (one.true + 1) % len(CLASSES), np.array(one.subjects)
    first, last = np.zeros(len(who), bool), np.zeros(len(who), bool)
    for name in set(one.subjects):
        clips = np.flatnonzero(who == name)
        first[clips[: len(clips) // 2]] = last[clips[-(len(clips) // 2) :]] = True
    a, b = (replace(one, predicted=np.where(right, one.true, wrong)) for right in (first, last))
    found = difference([a], [b], [0], CLASSES, "accuracy")
    assert found.mean == 0 and found.interval is None and found.subject_interval is None


def test_a_class_of_one_subject_has_an_interval_without_the_draws_that_miss_it() -> None:
    rng = np.random.default_rng(1)
    sides = [[said(rng, (0.8,) * 4) for _ in range(2)] for _ in range(2)]
    for one in (p for side in sides for p in side):
        rest = np.array(one.subjects) != "s0"
        one.true[rest & (one.true == 2)] = 0
        one.predicted[rest & (one.predicted == 2)] = 0
    found = difference(*sides, (0, 1), CLASSES, "accuracy")
    assert all(math.isfinite(end) for end in found.per_class_interval["walk"])


def test_a_class_that_nobody_shows_is_left_out() -> None:
    rng = np.random.default_rng(1)
    sides = [[said(rng, (0.8,) * 4) for _ in range(2)] for _ in range(2)]
    found = difference(*sides, (0, 1), (*CLASSES, "bowling"), "macro_f1")
    assert list(found.per_class) == list(CLASSES)


def test_intervals_hold_the_truth() -> None:
    """Five seeds, four people: 95 % and not the 80 % of plain percentiles."""
    rng = np.random.default_rng(0)
    seeds, weights = draws(5, 4)
    hits = plain = 0
    studies = 200
    for _ in range(studies):
        gains = 0.02 * rng.normal(size=(1, 4)) + 0.01 * rng.normal(size=(5, 4))
        resampled = weights @ gains.T / 4
        low, high = over_both(gains.mean(axis=1), resampled, seeds, 4) or (0, 0)
        hits += low <= 0 <= high
        ends = np.quantile((resampled * seeds).mean(axis=1), [0.025, 0.975])
        plain += ends[0] <= 0 <= ends[1]
    assert 0.92 <= hits / studies <= 0.99
    assert plain / studies < 0.88


def two_sided(won: int, lost: int) -> float:
    n = won + lost
    tail = sum(math.comb(n, k) for k in range(max(won, lost), n + 1)) / 2**n
    return min(1.0, 2 * tail)


def test_one_seed_has_its_own_p() -> None:
    for won, lost in ((0, 0), (5, 5), (9, 2), (2, 9), (30, 4)):
        assert median_p([McNemar(won, lost, 0.5)]) == pytest.approx(two_sided(won, lost))


def test_p_over_seeds_is_the_middle_one_times_its_factor() -> None:
    counts = [(9, 2), (12, 1), (7, 3), (10, 1), (6, 5)]
    tests = [McNemar(*c, 0.5) for c in counts]
    ordered = sorted(two_sided(*c) for c in counts)
    assert median_p(tests) == pytest.approx(ordered[2] * 5 / 3)
    assert median_p(tests[:4]) == pytest.approx(sorted(two_sided(*c) for c in counts[:4])[1] * 2)


def test_seeds_that_disagree_do_not_add_up() -> None:
    apart = [McNemar(40, 10, 0.0), McNemar(10, 40, 0.0)] * 2
    assert median_p([McNemar(40, 10, 0.0)] * 4) < 0.001
    assert median_p([*apart, McNemar(25, 25, 1.0)]) == 1


def test_p_over_seeds_holds_its_level_whatever_the_dependence() -> None:
    """Seeds that err alike, and seeds that do not: at most 5 % below 0.05."""
    rng = np.random.default_rng(0)
    for shared in (True, False):
        below = 0
        for _ in range(500):
            won = rng.binomial(40, 0.5, size=1 if shared else 5).repeat(5 if shared else 1)
            below += median_p([McNemar(int(w), 40 - int(w), 0.0) for w in won]) < 0.05
        assert below / 500 < 0.05


def test_holm_against_the_closed_test() -> None:
    """A hypothesis falls when Bonferroni rejects every set of hypotheses that holds it."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.random(4) ** 3
        sets = [s for size in range(1, 5) for s in combinations(range(4), size)]
        closed = [max(min(1, len(s) * min(p[j] for j in s)) for s in sets if i in s)
                  for i in range(4)]  # fmt: skip
        assert holm(p.tolist()) == pytest.approx(closed)
    assert holm([]) == []
