"""Sensor files of MMAct: what stands in them, when it was, and on which grid it comes out."""

import csv
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pskd.datasets.mmact.signals import Rows, mend_times, read_clip, read_rows

START = datetime(2018, 10, 16, 13, 37, 28, 612_000)
EPOCH = datetime(1970, 1, 1)


def stamp(seconds: float) -> str:
    return f"{START + timedelta(seconds=seconds):%Y%m%d_%H:%M:%S.%f}"


def wave(times: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(3 * times), 9.8 + np.cos(2 * times), times], axis=1)


def lines(stamps: list[str], values: np.ndarray) -> list[str]:
    return [f"{s},{x},{y},{z}" for s, (x, y, z) in zip(stamps, values.tolist(), strict=True)]


def text(rows: list[str]) -> bytes:
    return "\r\n".join(rows).encode()


def strptime(text: str) -> float:
    form = "%Y%m%d_%H:%M:%S.%f" if "." in text else "%Y%m%d_%H:%M:%S"
    return (datetime.strptime(text, form) - EPOCH).total_seconds()


TIMES = np.round(np.arange(300) * 10.04) / 1000
ROWS = lines([stamp(t) for t in TIMES], wave(TIMES))


@pytest.fixture
def real(real_data: Callable[[str], Path]) -> Path:
    return real_data("mmact/acc_watch_clip/subject1/scene1/session1/carrying.csv")


def test_the_real_file_is_read_as_csv_and_strptime_read_it(real: Path) -> None:
    with real.open(newline="") as file:
        table = list(csv.reader(file))
    rows = read_rows(real.read_bytes())
    assert rows.values.shape == (890, 3) and not rows.whole.any()
    np.testing.assert_array_equal(rows.values, [[float(v) for v in row[1:]] for row in table])
    np.testing.assert_allclose(rows.times, [strptime(row[0]) for row in table], atol=5e-7, rtol=0)


def test_the_real_file_has_late_stamps_on_rows_that_are_in_order(real: Path) -> None:
    rows = read_rows(real.read_bytes())
    times, values = mend_times(rows)
    np.testing.assert_array_equal(values, rows.values)
    late = times != rows.times
    assert late.sum() == 7
    assert (rows.times - times)[late].min() > 0.010 and (rows.times - times)[late].max() < 0.056
    assert np.diff(times).min() > 0.0095 and np.diff(times).max() < 0.0115
    by_stamp = rows.values[np.argsort(rows.times, kind="stable")]
    rough = [np.abs(np.diff(v, 2, axis=0)).sum() for v in (values, by_stamp)]
    assert rough[0] < 0.95 * rough[1]
    assert len(times) / (times[-1] - times[0]) == pytest.approx(99.7, abs=0.1)


def test_the_real_file_feels_gravity(real: Path) -> None:
    clip = read_clip(real.read_bytes())
    assert clip.shape == (893, 3)  # 8.925 s
    assert np.median(np.linalg.norm(clip, axis=1)) == pytest.approx(9.80665, rel=0.02)


def test_a_grid_of_100_hz_from_the_first_sample() -> None:
    """A signal that is linear in time is the same on any grid."""
    values = TIMES[:, None] * [1.0, -2.0, 3.0] + [0.0, 9.8, 1.0]
    clip = read_clip(text(lines([stamp(t) for t in TIMES], values)))
    at = np.arange(301) / 100  # 3.002 s
    np.testing.assert_allclose(clip, at[:, None] * [1.0, -2.0, 3.0] + [0.0, 9.8, 1.0], atol=1e-5)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_header_byte_order_mark_and_last_line_end(end: str) -> None:
    plain = read_rows(text(ROWS))
    data = f"\ufefftime,x,y,z{end}{end.join(ROWS)}{end}".encode()
    for one, other in zip(read_rows(data), plain, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_odd_line_changes_nothing_for_the_others() -> None:
    """One short stamp sends the file through the other parser."""
    odd = [f"{stamp(-1)[:-7]},1,2,3", *ROWS]
    odd.insert(7, "")
    fast, slow = read_rows(text(ROWS)), read_rows(text(odd))
    assert slow.whole[0] and not slow.whole[1:].any()
    np.testing.assert_array_equal(slow.times[1:], fast.times)
    np.testing.assert_array_equal(slow.values[1:], fast.values)
    assert slow.times[0] == strptime(stamp(-1)[:-7])


def test_a_fraction_of_zero_that_is_left_out() -> None:
    at = np.arange(300) / 100 + 0.388  # from 13:37:29 on
    rows = lines([stamp(t).removesuffix(".000000") for t in at], wave(at))
    assert sum("." not in row.partition(",")[0] for row in rows) == 3
    times, _ = mend_times(read_rows(text(rows)))
    np.testing.assert_allclose(times - times[0], np.arange(300) / 100, atol=1e-5)


def test_a_second_without_fractions_is_filled_evenly() -> None:
    stamps = [stamp(t) for t in TIMES]
    second = [i for i, s in enumerate(stamps) if s[15:17] == "30"]
    assert len(second) in (99, 100)
    for i in second:
        stamps[i] = stamps[i][:-7]
    times, values = mend_times(read_rows(text(lines(stamps, wave(TIMES)))))
    steps = np.diff(times[second[0] : second[-1] + 2])
    assert np.ptp(steps) < 1e-6 and steps.mean() == pytest.approx(0.01, abs=2e-4)
    assert len(values) == 300


@pytest.mark.parametrize("values", [wave(TIMES), np.tile([0.1, 9.8, 0.0], (300, 1))])
def test_no_fractions_at_all(values: np.ndarray) -> None:
    """A part of a second at the start ends where the next second begins."""
    times, kept = mend_times(read_rows(text(lines([stamp(t)[:-7] for t in TIMES], values))))
    assert len(kept) == 300
    assert np.abs((times - times[0]) - TIMES).max() < 0.02


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_late_stamps(rows: int) -> None:
    stamps = [stamp(t + (0.045 if 100 <= i < 100 + rows else 0)) for i, t in enumerate(TIMES)]
    times, values = mend_times(read_rows(text(lines(stamps, wave(TIMES)))))
    assert np.abs((times - times[0]) - TIMES).max() < 0.0006  # stamps are whole milliseconds
    np.testing.assert_array_equal(values, wave(TIMES))


def test_a_late_first_and_an_early_last_stamp() -> None:
    stamps = [stamp(t) for t in TIMES]
    stamps[0], stamps[-1] = stamp(0.07), stamp(1.0)
    times, _ = mend_times(read_rows(text(lines(stamps, wave(TIMES)))))
    np.testing.assert_allclose(times - times[1], TIMES - TIMES[1], atol=0.0006)


@pytest.mark.parametrize(
    "move",
    [
        lambda rows: rows[:100] + rows[104:140] + rows[100:104] + rows[140:],
        lambda rows: rows[::-1],
        lambda rows: rows[150:] + rows[:150],
        lambda rows: rows[:100] + rows[97:100] + rows[100:] + rows[40:41],
    ],
    ids=["late rows", "backwards", "halves swapped", "copies"],
)
def test_rows_out_of_place_and_copies(move: Callable[[list[str]], list[str]]) -> None:
    times, values = mend_times(read_rows(text(move(ROWS))))
    np.testing.assert_allclose(times - times[0], TIMES, atol=1e-6)
    np.testing.assert_array_equal(values, wave(TIMES))


def test_two_rows_of_one_stamp() -> None:
    stamps = [stamp(t) for t in TIMES]
    stamps[50] = stamps[49]
    times, values = mend_times(read_rows(text(lines(stamps, wave(TIMES)))))
    assert len(values) == 300
    assert np.abs((times - times[0]) - TIMES).max() < 0.0006


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty"),
        (["time,x,y,z"], "is empty"),
        (ROWS[:1], r"lasts 0 s, not 0\.5 to 600"),
        (ROWS[:40], r"lasts 0\.392 s"),
        (ROWS[:60] + ROWS[180:], r"gap of 1\.21 s after 0\.592 s"),
        (ROWS[::10], "9.96 samples a second, expected 100"),
        ([f"{stamp(t)},1,2,3" for t in range(700)], "lasts 699 s"),
        ([*ROWS, "20181016_13:37:28.612000,1,2"], "line 301 is '20181016_13:37:28.612000,1,2'"),
        ([*ROWS[:9], ROWS[9] + ",4", *ROWS[10:]], "line 10"),
        ([*ROWS[:9], "1,2,3,4", *ROWS[10:]], "line 10 is '1,2,3,4', not time,x,y,z"),
        ([*ROWS[:9], ROWS[9].replace("_", " "), *ROWS[10:]], "line 10"),
        ([*ROWS[:9], f"{stamp(0.09)},1,nan,3", *ROWS[10:]], "line 10"),
        ([*ROWS[:9], f"{stamp(0.09)},1,0x1,3", *ROWS[10:]], "line 10"),
        ([*ROWS[:9], f"{stamp(0.09)},1,1_0,3", *ROWS[10:]], "line 10"),
        ([*ROWS[:9], f"{stamp(0.09)},1,,3", *ROWS[10:]], "line 10"),
        ([*ROWS[:9], f"{stamp(0.09)},1,1e999,3", *ROWS[10:]], "row 10 has a value that is not fin"),
        (["20181316_13:37:28.612000,1,2,3"], "month must be in"),
        (["00001016_13:37:28.612000,1,2,3"], "year"),
        (["20181016_25:37:28.612000,1,2,3"], "no such time of day"),
        ([*ROWS[:-1], ROWS[-1] + ","], "line 300"),
        (["20181016_13:37:61.612000,1,2,3"], "no such time of day"),
        (["20181016_13:61:28.612000,1,2,3"], "no such time of day"),
        (["time,x,y,z", *ROWS[:7], "oops", *ROWS[8:]], "line 9 is 'oops'"),
        (["\0" * 24 + ",1,2,3"], "line 1"),
    ],
)
def test_what_cannot_be_used_is_named(rows: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_clip(text(rows))


def longest(values: list[int]) -> int:
    """Length of a longest strictly increasing subsequence, by all pairs."""
    best: list[int] = []
    for i, value in enumerate(values):
        best.append(1 + max((best[j] for j in range(i) if values[j] < value), default=0))
    return max(best)


@given(
    stamps=st.lists(st.integers(0, 40), min_size=1, max_size=30),
    whole=st.booleans(),
    seed=st.integers(0, 9),
)
def test_every_row_gets_a_later_time_and_most_keep_theirs(
    stamps: list[int], whole: bool, seed: int
) -> None:
    given_times = np.array(stamps) / 100
    values = np.random.default_rng(seed).normal(size=(len(stamps), 3))
    rows = Rows(given_times, values, np.full(len(stamps), whole))
    times, kept = mend_times(rows)
    assert len(times) == len(kept) == len(stamps)
    assert (np.diff(times) > 0).all()
    in_file = [np.flatnonzero((values == row).all(axis=1))[0] for row in kept]
    assert sorted(in_file) == list(range(len(stamps)))
    trusted = np.isclose(times, given_times[in_file], atol=1e-12, rtol=0).sum()
    assert trusted >= longest([stamps[i] for i in in_file]) - whole


numbers = st.floats(-200, 200).map("{:.6g}".format)
stamps = st.floats(0, 3).map(stamp)
cells = st.one_of(stamps, numbers, stamps.map(lambda s: s[:-7]), st.text(max_size=12))
files = st.one_of(
    st.binary(max_size=200),
    st.lists(st.lists(cells, max_size=5).map(",".join), max_size=30).map("\n".join).map(str.encode),
    st.lists(st.tuples(stamps, numbers, numbers, numbers).map(",".join), min_size=1, max_size=40)
    .map("\r\n".join)
    .map(str.encode),
)


@given(files)
def test_any_file_is_a_clip_or_a_reason(data: bytes) -> None:
    try:
        rows = read_rows(data)
    except ValueError:
        return
    times, values = mend_times(rows)
    assert len(times) == len(values) >= 1
    assert np.isfinite(times).all() and (np.diff(times) > 0).all()
    try:
        clip = read_clip(data)
    except ValueError:
        return
    assert np.isfinite(clip).all() and len(clip) > 50


@given(st.data())
def test_a_damaged_file_is_a_clip_or_a_reason(data: st.DataObject) -> None:
    whole = bytearray(text(ROWS))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=8))
    try:
        clip = read_clip(bytes(whole))
    except ValueError:
        return
    assert np.isfinite(clip).all()
