from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pskd.stream.intake import MAX_WAITING, Counts, Intake, Piece


def intake(lateness: float = 0.0) -> Intake:
    return Intake(Counts(), lateness)


def push(intake: Intake, times: list[float]) -> list[Piece]:
    """Samples whose x is their place of arrival."""
    values = np.zeros((len(times), 3), np.float32)
    values[:, 0] = np.arange(intake.counts.samples, intake.counts.samples + len(times))
    return list(intake.push(values, np.array(times)))


def parts(pieces: list[Piece]) -> list[list[float]]:
    joined: list[list[float]] = []
    for piece in pieces:
        if piece.begins:
            joined.append([])
        joined[-1] += piece.times.tolist()
    return joined


def even(n: int, start: float = 0.0) -> list[float]:
    return (start + np.arange(n) / 50).tolist()


def test_a_clean_stream_goes_through_as_it_is() -> None:
    taken = intake()
    assert parts([*push(taken, even(10)), *push(taken, even(10, 0.2))]) == [
        even(10) + even(10, 0.2)
    ]
    assert taken.counts == Counts(samples=20)


def test_a_duplicate_and_a_late_sample_are_dropped_and_counted() -> None:
    taken = intake()
    assert parts(push(taken, [0.00, 0.02, 0.04, 0.04, 0.03, 0.06])) == [[0.00, 0.02, 0.04, 0.06]]
    assert (taken.counts.duplicates, taken.counts.late) == (1, 1)


def test_samples_wait_for_late_ones_where_that_is_asked_for() -> None:
    taken = intake(lateness=0.05)
    pieces = push(taken, [0.00, 0.04, 0.02, 0.06, 0.08, 0.10, 0.04])
    pieces += taken.finish()
    assert parts(pieces) == [[0.00, 0.02, 0.04, 0.06, 0.08, 0.10]]
    assert [v[0] for piece in pieces for v in piece.acceleration] == [0, 2, 1, 3, 4, 5]
    assert (taken.counts.duplicates, taken.counts.late) == (1, 0)


def test_what_waits_is_bounded() -> None:
    taken = intake(lateness=1e9)
    push(taken, even(MAX_WAITING + 100))
    assert len(taken._waiting) == MAX_WAITING


@pytest.mark.parametrize(
    ("step", "rate", "gap"),
    [(0.24, 50, False), (0.26, 50, True), (0.45, 10, False), (0.55, 10, True), (1.1, 2, True)],
)
def test_a_long_step_begins_a_new_part(step: float, rate: float, gap: bool) -> None:
    times = (np.arange(20) / rate).tolist()
    after = [times[-1] + step, times[-1] + step + 1 / rate]
    taken = intake()
    assert len(parts(push(taken, times + after))) == 1 + gap
    assert taken.counts.gaps == gap


def test_numbers_that_are_none_are_dropped() -> None:
    taken = intake()
    values = np.zeros((4, 3), np.float32)
    values[1, 2], values[3, 0] = np.nan, np.inf
    pieces = list(taken.push(values, np.array([0.0, 0.02, np.nan, 0.06])))
    assert parts(pieces) == [[0.0]]
    assert taken.counts.not_finite == 3


@pytest.mark.parametrize("time", [math.inf, -math.inf, math.nan])
def test_the_first_time_may_be_no_number(time: float) -> None:
    taken = intake()
    assert parts([*push(taken, [time]), *push(taken, [time, *even(5)])]) == [even(5)]
    assert taken.counts.not_finite == 2


def test_a_clock_that_was_set_back_begins_a_new_part() -> None:
    taken = intake()
    found = parts(push(taken, even(100, 1000.0) + even(100)))
    assert found[0] == even(100, 1000.0)
    assert found[1][0] == pytest.approx(1.0)  # the second that it took to be sure is lost
    assert taken.counts.clock_jumps == 1
    assert taken.counts.late == 51


def test_one_sample_of_the_far_future_costs_a_second() -> None:
    taken = intake()
    found = parts(push(taken, [*even(100), 1e12, *even(200, 2.0)]))
    assert found == [even(100), [1e12], pytest.approx(even(200, 2.0)[50:])]


def test_late_samples_now_and_then_are_no_clock_that_was_set_back() -> None:
    taken = intake()
    times = [t for k in range(200) for t in (k / 50, k / 50 - 3)]
    assert len(parts(push(taken, times))) == 1
    assert (taken.counts.late, taken.counts.clock_jumps) == (200, 0)


arrivals = st.lists(
    st.one_of(
        st.floats(0.001, 0.05),  # goes on, with jitter
        st.sampled_from([0.0, -0.01, -0.3, -5.0, 0.3, 0.9, 2.0, 1e6, math.nan, math.inf]),
    ),
    max_size=120,
)


@given(arrivals, st.sampled_from([0.0, 0.1]), st.data())
def test_pieces_do_not_matter(steps: list[float], lateness: float, data: st.DataObject) -> None:
    """Duplicates, late samples, gaps, clocks set back and forth: whole or in pieces the same."""
    times, now = [], 0.0
    for step in steps:
        times.append(now + step)
        now = times[-1] if 0 < step < math.inf else now
    whole, cut = intake(lateness), intake(lateness)
    expected = [*push(whole, times), *whole.finish()]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(times)), max_size=8)))
    pieces = []
    for first, last in zip([0, *cuts], [*cuts, len(times)], strict=True):
        pieces += push(cut, times[first:last])
    pieces += cut.finish()
    assert parts(pieces) == parts(expected)
    arrived = [[v[0] for p in some for v in p.acceleration] for some in (pieces, expected)]
    assert arrived[0] == arrived[1]
    assert cut.counts == whole.counts
