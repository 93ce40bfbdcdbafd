"""Numbers out of a CSV file with a header, within bounds, with the line of whatever is wrong."""

from __future__ import annotations

import io
import math
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from pskd.errors import DataError

LARGEST = 1e20
"""Well above time stamps in nanoseconds, well below where sums of squares overflow."""

_TIME = re.compile(r"(?:t|time|timestamp)(?:_(s|ms|us|ns))?")
_LIKE_TIME = re.compile(
    r"(?:.*[^a-z])?(?:(?:date)?time|(?:time)?stamps?|epoch|elapsed|sec(?:ond)?s?|ts)(?:[^a-z].*)?"
)
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_UNIX = (9e8, 5e9)
"""Unix time from 1998 to 2128, in seconds: a clock in another unit is known by its size."""


@dataclass(frozen=True)
class Table:
    """Rows of numbers.

    Attributes:
        times: Seconds [T], as in the file, or None where there is no column of times.
        values: The columns that were picked [T, n].
        lines: Line of each row in the file [T], from 1.
    """

    times: NDArray[np.float64] | None
    values: NDArray[np.float64]
    lines: NDArray[np.int64]


def read_table(
    data: bytes,
    where: object,
    pick: Callable[[list[str]], Sequence[int]],
    *,
    widest: int,
    holes: bool = False,
) -> Table:
    """Read the time and some columns of a CSV file.

    The column of times is `t`, `time` or `timestamp`: seconds, unix time in any unit, or ISO 8601;
    or with a unit, as in `t_ms`.

    Args:
        data: The whole file.
        where: Its name in errors.
        pick: Gives the indices of the columns wanted for a header in lower case; whatever it
            raises is passed on.
        widest: Characters that a line may have.
        holes: Cells of those columns may be empty or nan, and become nan.

    Raises:
        DataError: No text, no header, a line too long or with too few or too many cells, a cell
            that is no number, fewer than two rows.
    """
    rows = _lines(data, where, widest)
    _, first = next(rows, (0, ""))
    header = [cell.strip().lower() for cell in first.split(",")]
    if header == [""]:
        raise DataError("is empty", where=where, remedy="Give a CSV file with a header")
    clock = time_column(header, where)
    wanted = list(pick(header))
    convert: Callable[[str], float] = _number_or_hole if holes else float
    times, cells, lines = array("d"), array("d"), array("q")
    for number, line in rows:
        row = line.split(",")
        if len(row) != len(header):
            raise DataError(
                f"line has {len(row)} cells, the header has {len(header)}",
                where=f"{where}, line {number}",
                remedy="Separate cells by commas, and decimals by points",
            )
        try:
            if clock is not None:
                times.append(seconds(row[clock[0]]))
            cells.extend([convert(row[index]) for index in wanted])
        except (ValueError, OverflowError) as error:
            raise DataError(
                str(error)[:200], where=f"{where}, line {number}", remedy="Mend or remove the line"
            ) from error
        lines.append(number)
    if len(lines) < 2:
        raise DataError(f"has {len(lines)} samples, at least 2 are needed", where=where)
    table = Table(
        None if clock is None else in_seconds(np.frombuffer(times), clock[1]),
        np.frombuffer(cells).reshape(-1, len(wanted)),
        np.frombuffer(lines, np.int64),
    )
    check_sizes(table, where, holes=holes)
    return table


def time_column(header: Sequence[str], where: object) -> tuple[int, str | None] | None:
    """Index of the column of times and the unit in its name; None where there is none.

    Raises:
        DataError: There are several; or there is none, and a column that has another name for them.
    """
    found = [(i, match[1]) for i, name in enumerate(header) if (match := _TIME.fullmatch(name))]
    if len(found) > 1:
        raise DataError(
            f"several for t in the header {shown(header)!r}",
            where=f"{where}, line 1",
            remedy="Leave one column of times",
        )
    if not found and (like := [name for name in header if _LIKE_TIME.fullmatch(name)]):
        raise DataError(
            f"no column t, but {like[0][:80]!r} looks like times",
            where=f"{where}, line 1",
            remedy="Name it t, or after its unit t_s, t_ms, t_us or t_ns; if it holds no times, "
            "name it otherwise",
        )
    return found[0] if found else None


def in_seconds(times: NDArray[np.float64], unit: str | None) -> NDArray[np.float64]:
    """Times in seconds, of a unit that the header names or that unix time gives away."""
    if unit is None:
        first = abs(float(times[0]))
        unit = next((u for u, s in SECONDS.items() if _UNIX[0] < first * s < _UNIX[1]), "s")
    with np.errstate(invalid="ignore"):  # a file may hold signalling NaNs
        return times * SECONDS[unit]


def seconds(cell: str) -> float:
    """A time as a number, or as unix time where it is written in ISO 8601.

    Raises:
        ValueError: It is neither.
    """
    try:
        return float(cell)
    except ValueError as error:
        try:
            moment = datetime.fromisoformat(cell.strip())
        except ValueError:
            raise error from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def shown(header: Sequence[str]) -> str:
    """A header as it is shown in errors."""
    return ",".join(header)[:200]


def _lines(data: bytes, where: object, widest: int) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers from 1."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig")
    number = 0
    try:
        while line := text.readline(widest + 1):
            number += 1
            if len(line) > widest:
                raise DataError(
                    f"line is longer than {widest} characters",
                    where=f"{where}, line {number}",
                    remedy="Give a CSV with one sample a line",
                )
            if line.strip():
                yield number, line.replace('"', "")
    except UnicodeDecodeError as error:
        raise DataError(
            "is not a text file", where=where, remedy="Save it as CSV in UTF-8"
        ) from error


def _number_or_hole(cell: str) -> float:
    return float(cell) if cell.strip() else math.nan


def check_sizes(table: Table, where: object, *, holes: bool) -> None:
    """Raise DataError at the first row with a number that is not finite, or far too large."""
    bad = ~((np.abs(table.values) < LARGEST) | (np.isnan(table.values) & holes)).all(axis=1)
    if table.times is not None:
        bad |= ~(np.abs(table.times) < LARGEST)
    if bad.any():
        raise DataError(
            f"a value is not a finite number below {LARGEST:g}, on {bad.sum()} lines from here on",
            where=f"{where}, line {table.lines[bad.argmax()]}",
            remedy="Mend or remove these lines",
        )
