"""Figures of events against counts by hand and a search of every pairing."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pskd.evaluate.events import (
    EventFigures,
    Interval,
    Report,
    class_figures,
    confusion_seconds,
    event_figures,
    match,
    segment_iou,
)

TRUTH = [Interval(2, 6, "wave"), Interval(10, 14, "clap"), Interval(18, 20, "wave")]
REPORTS = [
    Report(0.5, 1.5, "clap", 1.5),  # nothing is done: insertion
    Report(3, 5, "wave", 4.5),  # finds the first wave, IoU 2 / 4
    Report(5, 6.5, "wave", 7),  # the same wave again: repeat
    Report(11, 12, "throw", 13),  # over the clap: substitution
    Report(12, 15, "clap", 13.5),  # finds the clap, IoU 2 / 5
]


def test_worked_example() -> None:
    found = event_figures(TRUTH, REPORTS, seconds=40)
    assert (found.true, found.reported, found.matched, found.missed) == (3, 5, 2, 1)
    assert (found.insertions, found.repeats, found.substitutions) == (1, 1, 1)
    assert found.false_alarms == 2
    assert found.an_hour(found.false_alarms) == 2 * 90
    assert (found.precision, found.recall) == (2 / 5, 2 / 3)
    assert found.f1 == pytest.approx(2 * (2 / 5) * (2 / 3) / (2 / 5 + 2 / 3))
    assert found.delays == (2.5, 3.5)
    assert (found.median_delay, found.late_delay) == (3.0, pytest.approx(3.4))
    assert found.matched_at == (2, 2, 1)
    assert found.f1_at == (0.5, 0.5, 0.25)
    assert found.idle_share == 30 / 40


def test_streams_add_up() -> None:
    one, other = event_figures(TRUTH, REPORTS, 40), event_figures(TRUTH[:1], REPORTS[1:2], 10)
    both = one + other
    assert (both.true, both.reported, both.matched, both.seconds) == (4, 6, 3, 50)
    assert both.delays == (2.5, 3.5, 2.5)
    assert both.matched_at == (3, 3, 2)
    assert both + EventFigures() == both


def test_nothing_done_and_nothing_said() -> None:
    found = event_figures([], [], 0)
    assert (found.precision, found.recall, found.f1, found.an_hour(0)) == (0, 0, 0, 0)
    assert found.median_delay is None
    assert found.late_delay is None


def test_classes_alone() -> None:
    found = class_figures(TRUTH, REPORTS, ("wave", "clap", "throw", "jog"))
    counts = {name: (f.true, f.reported, f.matched) for name, f in found.items()}
    assert counts == {"wave": (2, 2, 1), "clap": (1, 2, 1), "throw": (0, 1, 0), "jog": (0, 0, 0)}


def test_time_by_hand() -> None:
    reports = [REPORTS[1], *REPORTS[3:]]
    matrix = confusion_seconds(TRUTH, reports, (0, 40), ("wave", "clap", "throw"))
    by_hand = [
        # as wave, clap, throw, idle
        [2, 0, 0, 4],  # wave: 6 s
        [0, 2, 1, 1],  # clap: 10 to 11 idle, to 12 throw, to 14 clap
        [0, 0, 0, 0],
        [0, 1, 0, 29],  # idle: 14 to 15 clap
    ]
    np.testing.assert_allclose(matrix, by_hand)
    assert segment_iou(matrix, idle=False) == pytest.approx((2 / 6 + 2 / 5) / 2)
    assert segment_iou(matrix, idle=True) == pytest.approx((2 / 6 + 2 / 5 + 29 / 35) / 3)


spans = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6), st.sampled_from("ab")), max_size=4)


def _apart(drawn: list[tuple[int, int, str]]) -> list[Interval]:
    at, laid = 0.0, []
    for pause, length, label in drawn:
        laid.append(Interval(at + pause, at + pause + length, label))
        at += pause + length
    return laid


def _best(truth: list[Interval], reports: list[Report], least: float) -> int:
    """The most pairs of any one-to-one pairing, by trying all."""

    def fits(a: Interval, b: Report) -> bool:
        both = max(0.0, min(a.stop, b.stop) - max(a.start, b.start))
        union = max(a.stop, b.stop) - min(a.start, b.start) if both else 1.0
        return a.label == b.label and both > 0 and both / union >= least

    for size in range(min(len(truth), len(reports)), 0, -1):
        for some in combinations(truth, size):
            for others in permutations(reports, size):
                if all(map(fits, some, others)):
                    return size
    return 0


@given(spans, spans, st.sampled_from([0.0, 0.1, 0.25, 0.5]))
def test_as_many_are_matched_as_can_be(
    done: list[tuple[int, int, str]], said: list[tuple[int, int, str]], least: float
) -> None:
    truth = _apart(done)
    reports = [Report(*span, span.stop) for span in _apart(said)]
    pairs = match(truth, reports, least)
    assert len(pairs) == _best(truth, reports, least)
    for side in zip(*pairs, strict=True):
        assert len(set(side)) == len(pairs)


@given(spans, spans)
def test_every_report_is_one_thing(
    done: list[tuple[int, int, str]], said: list[tuple[int, int, str]]
) -> None:
    truth, reports = _apart(done), [Report(*span, span.stop) for span in _apart(said)]
    found = event_figures(truth, reports, 100)
    kinds = found.matched + found.insertions + found.substitutions + found.repeats
    assert kinds == found.reported == len(reports)
    matrix = confusion_seconds(truth, reports, (0, 100), ("a", "b"))
    assert matrix.sum() == pytest.approx(100)
    assert matrix[:2].sum() == pytest.approx(sum(span.stop - span.start for span in truth))
