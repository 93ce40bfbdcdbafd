"""Reading a user's accelerometer recording, with an error for whatever is doubtful."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pskd.data.csv_table import Table, read_table, shown
from pskd.data.recording import STANDARD_GRAVITY
from pskd.errors import DataError, UsageError, nearest

MAX_BYTES = 200_000_000
MAX_LINE = 4096
GAP_INTERVALS, GAP_SECONDS = 5, 0.25
"""A longer pause than both between two samples is a gap."""
RATES = (1.0, 10_000.0)
"""Sampling rates, Hz, that an accelerometer of a watch may have."""

Unit = Literal["g", "m/s2", "auto"]
UNITS: tuple[Unit, ...] = ("g", "m/s2", "auto")

_AXIS = re.compile(r"(?:a|acc_?|accel_?|acceleration_?|accelerometer_?)?([xyz])")
_COLUMNS = "t,x,y,z, or x,y,z with a rate"
_ONE_G: dict[str, float] = {"g": 1.0, "m/s2": STANDARD_GRAVITY}


@dataclass(frozen=True)
class AccelerometerFile:
    """An accelerometer recording of a user.

    Attributes:
        path: The file.
        times: Time of each sample [T], s, strictly increasing, as in the file; unix time where it
            was written in ISO 8601; from 0 where the file has none.
        acceleration: Specific force [T, 3], float32, in g.
        rate: Samples a second, gaps not counted.
        segments: Parts of the signal without a gap, in order.
        notes: What the user should know of how the file was read.
    """

    path: Path
    times: NDArray[np.float64]
    acceleration: NDArray[np.float32]
    rate: float
    segments: tuple[slice, ...]
    notes: list[str]


def read_csv(path: Path | str, rate: float | None = None, unit: Unit = "auto") -> AccelerometerFile:
    """Read an accelerometer recording from a CSV file with a header.

    Columns, in any order and case, others ignored: `x`, `y`, `z` (also `ax`, `acc_x`, `accel_x`,
    `acceleration_x`, ...) and, unless `rate` is given, `t` (also `time`, `timestamp`): seconds,
    unix time in any unit, or ISO 8601; or `t_ms`, `t_us`, `t_ns` in those units.

    Args:
        path: The file.
        rate: Sampling rate in Hz of a file without time stamps.
        unit: Unit of the file; `auto` tells g from m/s2 by the median of the norm.

    Raises:
        UsageError: No such file, an unknown unit, a rate that is missing or impossible.
        DataError: The file is empty, too large or no CSV; columns are missing or ambiguous; a
            value is not a finite number; time stamps repeat, go back or have another unit than
            said; the acceleration has another unit than said.
    """
    if unit not in UNITS:
        raise UsageError(f"unknown unit {unit!r}", remedy=nearest(unit, UNITS))
    path = Path(path)
    return _finish(_read_csv(read_file(path, MAX_BYTES), path), path, rate, unit)


def read_recording(path: Path, rate: float | None = None, unit: Unit = "auto") -> AccelerometerFile:
    """Read a recording from a CSV file, or a parquet file of the same columns, by its name.

    Arguments and errors are those of `read_csv`; UsageError for parquet without pyarrow.
    """
    return read_accelerometer(read_file(path, MAX_BYTES), path, rate, unit)


def read_file(path: Path, most: int) -> bytes:
    """Read a file that the user named.

    Raises:
        UsageError: No such file, or a folder.
        DataError: It cannot be read, or is larger than `most` bytes.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except FileNotFoundError as error:
        raise UsageError("no such file", where=path, remedy="Name a CSV file") from error
    except IsADirectoryError as error:
        raise UsageError("is a folder", where=path, remedy="Name a file in it") from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path) from error
    if len(data) > most:
        raise DataError(
            f"is larger than {most // 10**6} MB", where=path, remedy="Split it into parts"
        )
    return data


def read_accelerometer(
    data: bytes, path: Path, rate: float | None = None, unit: Unit = "auto"
) -> AccelerometerFile:
    """Read a recording out of the bytes of a CSV file, or of a parquet file of the same columns.

    Args:
        data: The whole file.
        path: Its name; one that ends in `.parquet` is read as such.
        rate: As for `read_csv`.
        unit: As for `read_csv`.

    Raises:
        UsageError: A rate that is missing or impossible; parquet without pyarrow.
        DataError: As for `read_csv`; or no such parquet file, or one that is too large.
    """
    if path.suffix.lower() == ".parquet":
        from pskd.data.parquet import read_parquet

        table = read_parquet(data, path, partial(_axes, path))
    else:
        table = _read_csv(data, path)
    return _finish(table, path, rate, unit)


def _read_csv(data: bytes, path: Path) -> Table:
    if len(data) > MAX_BYTES:
        raise DataError(
            f"is larger than {MAX_BYTES // 10**6} MB", where=path, remedy="Split it into parts"
        )
    return read_table(data, path, partial(_axes, path), widest=MAX_LINE)


def _finish(table: Table, path: Path, rate: float | None, unit: Unit) -> AccelerometerFile:
    notes: list[str] = []
    times = table.times
    if times is None:
        times = np.arange(len(table.values)) / _checked_rate(path, rate)
    elif rate is not None:
        notes.append(f"The rate of {rate:g} Hz was not used: the file has time stamps.")
    segments, rate = _split_at_gaps(path, times, table.lines, notes)
    acceleration = _in_g(path, table.values, unit, notes)
    return AccelerometerFile(path, times, acceleration, rate, segments, notes)


def _axes(path: Path, header: Sequence[str]) -> list[int]:
    """Indices of x, y and z."""
    found: dict[str, list[int]] = {"x": [], "y": [], "z": []}
    for index, name in enumerate(header):
        if axis := _AXIS.fullmatch(name):
            found[axis[1]].append(index)
    missing = [name for name, indices in found.items() if not indices]
    double = [name for name, indices in found.items() if len(indices) > 1]
    if missing or double:
        fault = f"no column for {', '.join(missing)}" if missing else f"several for {double[0]}"
        raise DataError(
            f"{fault} in the header {shown(header)!r}",
            where=f"{path}, line 1",
            remedy=f"Name the columns in the first line: {_COLUMNS}",
        )
    return [indices[0] for indices in found.values()]


def _checked_rate(path: Path, rate: float | None) -> float:
    if rate is None:
        raise UsageError(
            "has no time stamps and no rate was given",
            where=path,
            remedy="Give its rate in Hz (--rate, or the column rate of a manifest), "
            "or a column t in seconds",
        )
    if not RATES[0] <= rate <= RATES[1]:
        raise UsageError(
            f"rate is {rate:g} Hz", remedy=f"Give one from {RATES[0]:g} to {RATES[1]:g} Hz"
        )
    return rate


def _split_at_gaps(
    path: Path, times: NDArray[np.float64], lines: NDArray[np.int64], notes: list[str]
) -> tuple[tuple[slice, ...], float]:
    """Parts without gaps, and the rate within them."""
    steps = np.diff(times)
    if (steps <= 0).any():
        at = int((steps <= 0).argmax())
        fault = "repeats" if steps[at] == 0 else "is earlier than"
        raise DataError(
            f"time stamp {times[at + 1]:.10g} s {fault} the one before",
            where=f"{path}, line {lines[at + 1]}",
            remedy="Sort the lines by time and keep one of each time stamp",
        )
    usual = float(np.median(steps))
    if not RATES[0] <= 1 / usual <= RATES[1]:
        raise DataError(
            f"samples are {usual:g} s apart, which no accelerometer's are",
            where=path,
            remedy="Name the column of times after its unit: t_s, t_ms, t_us or t_ns",
        )
    gaps = np.flatnonzero(steps > max(GAP_INTERVALS * usual, GAP_SECONDS))
    if len(gaps):
        notes.append(
            f"{len(gaps)} gap{'s' * (len(gaps) > 1)} in time, the first of {steps[gaps[0]]:.2f} s "
            f"before line {lines[gaps[0] + 1]}: no window spans a gap."
        )
    edges = [0, *(int(gap) + 1 for gap in gaps), len(times)]
    segments = tuple(slice(a, b) for a, b in pairwise(edges))
    return segments, 1 / float(np.delete(steps, gaps).mean())


def _in_g(
    path: Path, values: NDArray[np.float64], unit: Unit, notes: list[str]
) -> NDArray[np.float32]:
    """Acceleration in g, after a check of its unit: most of the time, gravity is most of it."""
    norm = float(np.median(np.linalg.norm(values, axis=1)))
    looks = next((name for name, one in _ONE_G.items() if one / 2 < norm < one * 2), None)
    if unit != "auto" and looks not in (unit, None):
        raise DataError(
            f"median norm of the acceleration is {norm:.3g}, which looks like {looks}, not {unit}",
            where=path,
            remedy=f"Say that it is {looks} (--unit {looks}, or the unit in a manifest); if it is "
            f"{unit} without gravity, record it with gravity",
        )
    if unit == "auto" and looks is None:
        raise DataError(
            f"median norm of the acceleration is {norm:.3g}, neither g nor m/s2",
            where=path,
            remedy="Give the acceleration with gravity, and its unit (--unit, or the unit in a "
            "manifest)",
        )
    if unit == "auto":
        notes.append(f"Unit taken as {looks}: the median norm of the acceleration is {norm:.3g}.")
    elif looks is None:
        notes.append(
            f"The median norm of the acceleration is {norm:.3g} {unit}, where {_ONE_G[unit]:.3g} "
            "is usual: is gravity in it?"
        )
    return (values / _ONE_G[looks or unit]).astype(np.float32)
