"""Sensor files of MMAct: rows of `time,x,y,z`, each with its own time stamp.

Stamps are `%Y%m%d_%H:%M:%S.%f` in local time. In the file at hand 877 of 889 steps are of 10 or
11 ms; the others come from seven stamps that are up to 55 ms late. Its rows are in order all the
same: sorted by their stamps, the signal is rougher. So a stamp that does not fit is corrected and
its row stays where it is, unless sorting makes the signal smoother.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pskd.signal.align import interpolate

FILE_BYTES = 4 << 20
"""The file at hand has 53 KiB for 8.9 s."""
RATE = 100.0
"""Nominal rate of both accelerometers, Hz."""
SECONDS = (0.5, 600.0)
"""A clip is neither shorter nor longer."""
GAP = 1.0
"""Seconds without a sample that are not bridged."""
LEAST_RATE = 25.0
"""Samples a second, on average, below which the signal is not what was sampled at `RATE`."""

Array = NDArray[np.float64]

_ROW = re.compile(
    rb"(\d{8}_\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?"
    rb"((?:,\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?\s*){3})"
)
_LARGEST = 1e6  # in any unit
_STAMP = 24  # bytes of 20181016_13:37:28.612000
_MARKS = [8, 11, 14, 17]
_DIGITS = [i for i in range(_STAMP) if i not in _MARKS]


class Rows(NamedTuple):
    """What stands in a file, row by row."""

    times: Array
    """Seconds since 1970-01-01 in local time [T], in any order."""
    values: Array
    """[T, 3], in the unit of the file."""
    whole: NDArray[np.bool_]
    """Stamps without a fraction of a second [T]."""


def read_rows(data: bytes) -> Rows:
    """Parse a file; a header line is skipped.

    Raises:
        ValueError: It is empty, or a line is no time stamp and three finite numbers.
    """
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").rstrip()
    header = data[:1].isalpha()
    if header:
        data = data.partition(b"\n")[2]
    if not data:
        raise ValueError("is empty")
    cells = data.replace(b"\n", b",").split(b",")
    stamps = cells[::4]
    joined = b"".join(stamps)
    count = data.count(b"_")  # one a stamp: numbers may have none, though Python would read them
    if len(cells) == 4 * count and len(joined) == _STAMP * count:
        try:
            columns = [np.fromiter(map(float, cells[i::4]), np.float64) for i in (1, 2, 3)]
            values, whole = np.stack(columns, 1), np.zeros(count, np.bool_)
            return Rows(_seconds(joined), _finite(values), whole)
        except ValueError:
            pass  # found, with its line, below
    return _read_line_by_line(data, 1 + header)


def _read_line_by_line(data: bytes, first: int) -> Rows:
    stamps, values, whole = [], [], []
    for number, line in enumerate(data.split(b"\n"), first):
        if not line.strip():
            continue
        match = _ROW.fullmatch(line.strip())
        if match is None:
            text = line[:60].decode("ascii", "backslashreplace")
            raise ValueError(f"line {number} is {text!r}, not time,x,y,z")
        stamps.append(match[1] + b"." + (match[2] or b"")[:6].ljust(6, b"0"))
        values.append([float(cell) for cell in match[3].split(b",")[1:]])
        whole.append(match[2] is None)
    return Rows(_seconds(b"".join(stamps)), _finite(np.array(values)), np.array(whole))


def _finite(values: Array) -> Array:
    wrong = ~(np.abs(values) < _LARGEST).all(axis=1)
    if wrong.any():
        raise ValueError(f"row {wrong.argmax() + 1} has a value that is not finite, or too large")
    return values


def _seconds(stamps: bytes) -> Array:
    table = np.frombuffer(stamps, np.uint8).reshape(-1, _STAMP)
    digits = table[:, _DIGITS] - np.uint8(ord("0"))  # what is below wraps to large numbers
    if (digits > 9).any() or (table[:, _MARKS] != np.frombuffer(b"_::.", np.uint8)).any():
        raise ValueError("a time stamp is not like 20181016_13:37:28.612000")
    number = digits.astype(np.int64)
    hour, minute, second = (number[:, i] * 10 + number[:, i + 1] for i in (8, 10, 12))
    if (hour > 23).any() or (minute > 59).any() or (second > 60).any():
        raise ValueError("a time stamp has no such time of day")
    dates, which = np.unique(number[:, :8] @ 10 ** np.arange(7, -1, -1), return_inverse=True)
    epoch = date(1970, 1, 1).toordinal()
    days = [date(d // 10_000, d // 100 % 100, d % 100).toordinal() - epoch for d in dates.tolist()]
    whole = np.array(days)[which] * 86_400 + hour * 3600 + minute * 60 + second
    seconds: Array = whole + (number[:, 14:] @ 10 ** np.arange(5, -1, -1)) / 1e6
    return seconds


def mend_times(rows: Rows) -> tuple[Array, Array]:
    """Give every row a time of its own, later than that of the row before.

    Rows that are there twice are dropped. If sorting by the stamps makes the signal no rougher, it
    is sorted. Then the largest set of rows whose stamps increase is trusted; the times of the
    others are spread evenly between those of their trusted neighbours, and outside them follow at
    the usual step. A stamp without its fraction is taken at its word (fractions that are zero are
    not written); several in a second so are spread over it.

    Returns:
        Times [T], s, strictly increasing, and values [T, 3].
    """
    times, values, whole = rows
    if (np.diff(times) > 0).all():
        return times, values
    once = whole.copy()  # without fractions, rows of one person at rest may well be equal
    once[np.unique(np.column_stack([times, values]), axis=0, return_index=True)[1]] = True
    times, values, whole = times[once], values[once], whole[once]
    order = np.argsort(times, kind="stable")
    if _roughness(values[order]) <= _roughness(values):
        times, values, whole = times[order], values[order], whole[order]
    trusted = _longest_increase(times.tolist())
    steps = np.diff(times[trusted]) / np.diff(trusted)
    step = np.quantile(steps, 0.5, method="lower") if len(steps) else 1 / RATE
    first, second = trusted[0], trusted[min(1, len(trusted) - 1)]
    if whole[0] and first == 0 and second > 1 and times[second] - second * step > times[0]:
        trusted = trusted[1:]  # a part of a second, whose place in it only its end tells
    index = np.arange(len(times))
    mended = np.interp(index, trusted, times[trusted])
    first, last = trusted[0], trusted[-1]
    mended[:first] = times[first] + (index[:first] - first) * step
    mended[last:] = times[last] + (index[last:] - last) * step
    return mended, values


def _roughness(values: Array) -> float:
    return float(np.abs(np.diff(values, 2, axis=0)).sum())


def _longest_increase(values: list[float]) -> list[int]:
    """Indices of a longest strictly increasing subsequence; of equal values the first counts."""
    ends: list[float] = []  # the least last value of increasing runs, by their length
    at: list[int] = []
    before = [-1] * len(values)
    for i, value in enumerate(values):
        length = bisect_left(ends, value)
        if length == len(ends):
            ends.append(value)
            at.append(i)
        elif value < ends[length]:
            ends[length], at[length] = value, i
        before[i] = at[length - 1] if length else -1
    chain = [at[-1]]
    while before[chain[-1]] >= 0:
        chain.append(before[chain[-1]])
    return chain[::-1]


def read_clip(data: bytes) -> Array:
    """Return an accelerometer file as a clip [T, 3] at `RATE`, in the unit of the file.

    Raises:
        ValueError: It cannot be parsed; it is too short or too long, has a gap that is not to be
            bridged, or far fewer samples than it should.
    """
    times, values = mend_times(read_rows(data))
    seconds = float(times[-1] - times[0])
    if not SECONDS[0] <= seconds <= SECONDS[1]:
        raise ValueError(f"lasts {seconds:.3g} s, not {SECONDS[0]:g} to {SECONDS[1]:g}")
    steps = np.diff(times)
    if steps.max() > GAP:
        after = float(times[steps.argmax()] - times[0])
        raise ValueError(f"has a gap of {steps.max():.3g} s after {after:.3g} s")
    if len(steps) / seconds < LEAST_RATE:
        raise ValueError(f"has {len(steps) / seconds:.3g} samples a second, expected {RATE:g}")
    at = np.arange(int(seconds * RATE + 1e-3) + 1) / RATE
    return interpolate(values, times - times[0], at).astype(np.float64)
