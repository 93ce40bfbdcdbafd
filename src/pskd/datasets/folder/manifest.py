"""`manifest.csv`: one line for each recording of a folder."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches

from pskd.datasets.folder.line import COLUMNS, REQUIRED, Files, Line
from pskd.datasets.folder.row import MANIFEST, BadRow, Row
from pskd.datasets.folder.settings import Settings
from pskd.errors import DataError

MAX_BYTES = 64 << 20
MAX_LINE, MAX_COLUMNS = 65_536, 200


def read_manifest(data: bytes, names: Collection[str], settings: Settings) -> list[Row | BadRow]:
    """Read the manifest.

    Args:
        data: The file.
        names: Names of the files in the folder.
        settings: What holds where a cell is empty.

    Returns:
        A row for each line, in order; their names are unique.

    Raises:
        DataError: No such CSV file, too large, without rows, or a column is missing or unknown.
    """
    lines = _cells(data)
    _, header = next(lines, (0, []))
    header = [cell.strip().lower() for cell in header]
    _check_header(header)
    files, taken = Files(names), set[str]()
    trials: Counter[tuple[str, str]] = Counter()
    rows: list[Row | BadRow] = []
    for line, cells in lines:
        row = Line(line, header, cells, settings, files).row(taken, trials)
        taken.add(row.recording if isinstance(row, Row) else row.name)
        rows.append(row)
    if not rows:
        raise DataError("names no recordings", where=MANIFEST, remedy="Add a line for each")
    return _without_shared_skeletons(rows)


def _without_shared_skeletons(rows: list[Row | BadRow]) -> list[Row | BadRow]:
    """Turn rows bad that are other cuts of one signal with the same whole skeleton."""
    cuts: dict[tuple[str, str], set[tuple[float | None, float | None]]] = {}
    for row in rows:
        if isinstance(row, Row) and row.skeleton:
            cuts.setdefault((row.accelerometer, row.skeleton), set()).add((row.start, row.stop))

    def judged(row: Row | BadRow) -> Row | BadRow:
        if isinstance(row, BadRow) or not row.skeleton or row.alignment == "clock":
            return row
        if len(cuts[row.accelerometer, row.skeleton]) == 1:
            return row
        fault = DataError(
            f"{row.skeleton} goes with several cuts of {row.accelerometer}",
            where=row.where,
            remedy="Cut both with alignment: clock, or give each recording its own skeleton file",
        )
        return BadRow(row.recording, (fault,), row.files)

    return [judged(row) for row in rows]


def _cells(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the line that it ends on."""
    if len(data) > MAX_BYTES:
        raise DataError(f"is larger than {MAX_BYTES >> 20} MiB", where=MANIFEST)
    if b"\0" in data:
        raise DataError("holds zero bytes", where=MANIFEST, remedy="Save it as CSV in UTF-8")
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    rows = csv.reader(_lines(text), strict=True)
    try:
        for row in rows:
            if any(cell.strip() for cell in row):
                yield rows.line_num, row
    except UnicodeDecodeError as error:
        raise DataError(
            "is not a text file", where=MANIFEST, remedy="Save it as CSV in UTF-8"
        ) from error
    except csv.Error as error:
        raise DataError(
            f"is no CSV ({error})",
            where=f"{MANIFEST}, line {rows.line_num}",
            remedy="Separate cells by commas, and quote with double quotes",
        ) from error


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise csv.Error(f"line longer than {MAX_LINE} characters")
        yield line


def _check_header(header: Sequence[str]) -> None:
    def refused(what: str, remedy: str) -> DataError:
        return DataError(what, where=f"{MANIFEST}, line 1", remedy=remedy)

    if not header:
        raise DataError("is empty", where=MANIFEST, remedy=f"Begin with {','.join(REQUIRED)}")
    if len(header) > MAX_COLUMNS:
        raise refused(f"{len(header)} columns", f"Leave {MAX_COLUMNS} at most")
    for name in REQUIRED:
        if name not in header:
            raise refused(
                f"no column {name!r} in the header {','.join(header)[:200]!r}",
                f"Name the columns in the first line, separated by commas: {', '.join(COLUMNS)}",
            )
    for name in header:
        if name in COLUMNS and header.count(name) > 1:
            raise refused(f"two columns {name!r}", "Leave one")
        if name not in COLUMNS and (near := get_close_matches(name, COLUMNS, n=1, cutoff=0.8)):
            raise refused(
                f"unknown column {name[:100]!r}",
                f"Did you mean {near[0]!r}? A column of your own needs a name less alike",
            )
