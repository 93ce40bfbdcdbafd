"""Long recordings in which it is known what was done when, and the user's own of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pskd.data.accelerometer_file import Unit, read_file, read_recording
from pskd.data.csv_table import seconds
from pskd.errors import DataError, nearest
from pskd.evaluate.events import Interval

MAX_LABEL_BYTES = 10_000_000
COLUMNS = ("start", "stop", "label")


@dataclass(frozen=True)
class LongRecording:
    """A recording of several actions, and when they were done.

    Attributes:
        name: What it is called in tables.
        times: Time of each sample [T], s, strictly increasing.
        acceleration: Specific force [T, 3], float32, in g.
        truth: Actions in order of time, of which no two overlap; all else is idle.
        subject: Who moved, where that is known.
    """

    name: str
    times: NDArray[np.float64]
    acceleration: NDArray[np.float32]
    truth: tuple[Interval, ...]
    subject: str = ""

    @property
    def span(self) -> tuple[float, float]:
        """Where it begins and ends, s; the last sample lasts as long as the one before."""
        last, end = self.times[-2:].tolist()
        return float(self.times[0]), 2 * end - last

    @property
    def seconds(self) -> float:
        """Its duration."""
        start, stop = self.span
        return stop - start


def read_long_recording(
    path: Path,
    labels: Path,
    classes: Sequence[str],
    *,
    rate: float | None = None,
    unit: Unit = "auto",
) -> tuple[LongRecording, list[str]]:
    """Read a recording and its labels.

    Args:
        path: CSV or parquet with accelerometer samples, as `pskd.data.accelerometer_file` reads.
        labels: CSV with the columns start, stop and label: seconds in the time of the recording
            (ISO 8601 where it has that), and names of classes. Time without a label is idle.
        classes: Names that may stand there.
        rate: Sampling rate in Hz of a recording without time stamps.
        unit: Unit of the recording.

    Returns:
        The recording, and what is to be said of how it was read.

    Raises:
        UsageError: No such file, or a rate or a unit that is missing or impossible.
        DataError: Either file cannot be used, or the labels are none of the recording.
    """
    file = read_recording(path, rate, unit)
    recording = LongRecording(path.name, file.times, file.acceleration, ())
    truth = _read_labels(labels, classes, recording.span)
    return LongRecording(path.name, file.times, file.acceleration, truth), file.notes


def _read_labels(
    path: Path, classes: Sequence[str], span: tuple[float, float]
) -> tuple[Interval, ...]:
    try:
        text = read_file(path, MAX_LABEL_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "is not a text file", where=path, remedy="Save it as CSV in UTF-8"
        ) from error
    rows = csv.reader(text.splitlines())
    header = [cell.strip().lower() for cell in next(rows, [])]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise DataError(
            f"no column {', '.join(missing)} in the header {','.join(header)[:200]!r}",
            where=path,
            remedy="Begin it with the line start,stop,label",
        )
    places = [header.index(name) for name in COLUMNS]
    found = []
    try:
        for row in rows:
            if row:
                where = f"{path}, line {rows.line_num}"
                found.append((_label(row, places, classes, span, where), where))
    except csv.Error as error:
        raise DataError(f"is no CSV ({error})", where=path, remedy="Save it as CSV") from error
    found.sort()
    for (before, _), (after, where) in pairwise(found):
        if after.start < before.stop:
            raise DataError(
                f"{after.label} from {after.start:g} s overlaps {before.label}, which lasts to "
                f"{before.stop:g} s",
                where=where,
                remedy="Label one action at a time",
            )
    if not found:
        raise DataError("has no labels", where=path, remedy="Write one action a line")
    return tuple(interval for interval, _ in found)


def _label(
    row: Sequence[str],
    places: Sequence[int],
    classes: Sequence[str],
    span: tuple[float, float],
    where: str,
) -> Interval:
    try:
        first, second, label = (row[place].strip() for place in places)
        start, stop = seconds(first), seconds(second)
    except (IndexError, ValueError, OverflowError) as error:
        raise DataError(
            f"is no interval: {','.join(row)[:200]!r}",
            where=where,
            remedy="Write start and stop in seconds, and the label, in the columns of the header",
        ) from error
    if label not in classes:
        raise DataError(
            f"the student knows no {label!r}", where=where, remedy=nearest(label, classes)
        )
    if not (math.isfinite(start) and math.isfinite(stop) and start < stop):
        raise DataError(
            f"{label} stops at {stop:g} s and starts at {start:g} s",
            where=where,
            remedy="Let each action stop after it starts",
        )
    if start < span[0] or stop > span[1]:
        raise DataError(
            f"{label} from {start:.10g} to {stop:.10g} s is outside the recording, which lasts "
            f"from {span[0]:.10g} to {span[1]:.10g} s",
            where=where,
            remedy="Give labels in the time of the recording",
        )
    return Interval(start, stop, label)
