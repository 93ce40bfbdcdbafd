"""A stream kept as it comes, in a folder that reads back as a dataset.

Samples are appended to `accelerometer/liveN.csv`, in g. Each action that is recognised is a line of
`manifest.csv`, its label a proposal to be corrected; the line of the present one is written over as
it goes on. Nothing is held back, so a kill loses what had not been handed over, and no more.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from filelock import FileLock, Timeout

from pskd.datasets.folder.row import MANIFEST
from pskd.datasets.folder.settings import SETTINGS
from pskd.errors import DataError, UsageError
from pskd.files import write_atomic
from pskd.stream.growing_file import GrowingFile
from pskd.stream.intake import GAP_SECONDS, Counts, Intake, Piece
from pskd.stream.recognizer import UNITS, Prediction
from pskd.stream.wire import Samples, Unit

MARK = "# Kept by pskd live. Labels are what a student recognised: correct them.\n"
COLUMNS = ("recording", "label", "subject", "accelerometer", "start", "stop", "probability")
ACCELEROMETER = "accelerometer"
LOCK = ".lock"
MAX_FILE_BYTES = 100_000_000
"""Of a file of samples, half a day at 50 Hz; then the next begins as soon as no action goes on."""
_LONGEST = 4096  # characters of the first line of a manifest


@dataclass
class _File:
    """A file of samples, and the time that it spans."""

    growing: GrowingFile
    first: float
    last: float
    actions: int = 0


@dataclass
class _Action:
    """The action that goes on: a line of the manifest."""

    file: _File
    name: str
    label: str
    start: float
    stop: float
    probability: float


class Recorder:
    """Keeps samples and recognised actions.

    Args:
        folder: New, empty, or one that this class has written: then it is added to.
        subject: Who wears the watch.
        placement: Where it is worn, for a new folder.

    Attributes:
        folder: Where they are kept.
        samples: How many were kept.
        actions: How many were kept.

    Raises:
        UsageError: The folder holds something else, is in use, or the subject is no plain text.
        DataError: It cannot be written.
    """

    def __init__(self, folder: Path, *, subject: str, placement: str) -> None:
        self.folder, self._subject = folder, subject.strip()
        self.samples = self.actions = 0
        if not self._subject or not subject.isprintable() or len(subject) > 1000:
            raise UsageError("the subject is no plain text", remedy="Give a name, as in anna")
        self._files: deque[_File] = deque(maxlen=2)  # windows of the one before may yet come
        self._action: _Action | None = None
        self._named, self._since, self._until = "", 0.0, 0.0
        """Class of the last windows in a row, and their span."""
        with self._written_to():
            _check(folder)
            (folder / ACCELEROMETER).mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / LOCK, timeout=0)
            self._acquire()
            if not (folder / SETTINGS).exists():
                settings = {"title": "Kept live", "unit": "g", "placement": placement}
                text = MARK + yaml.safe_dump(settings, sort_keys=False)
                write_atomic(folder / SETTINGS, text.encode(), remedy="Free some space")
            self._manifest = GrowingFile(folder / MANIFEST, _line(COLUMNS))
            # Columns that somebody added to it since, such as the split, are left empty.
            self._further = [""] * (len(_header(folder)) - len(COLUMNS))
            names = [path.name for path in (folder / ACCELEROMETER).iterdir()]
        numbers = [int(found[1]) for n in names if (found := re.match(r"live(\d+)\.", n))]
        self._number = max(numbers, default=0)
        self.begin("g", None)

    def begin(self, unit: Unit, rate: float | None) -> None:
        """Begin a stream, or a part of it.

        Args:
            unit: Of the samples.
            rate: Samples a second, where they come without times.
        """
        self._one_g, self._rate, self._given = UNITS[unit], rate, 0
        self._intake = Intake(Counts())
        self._action = None

    def keep(self, samples: Samples) -> None:
        """Keep samples in the order of their times; those that come too late for it are left out.

        Raises:
            DataError: They cannot be written; says what was kept.
        """
        times = samples.times
        if times is None:
            assert self._rate
            numbers = np.arange(self._given, self._given + len(samples.acceleration))
            times = numbers / self._rate
        self._given += len(times)
        acceleration = (samples.acceleration.astype(np.float64) / self._one_g).astype(np.float32)
        with self._written_to():
            for piece in self._intake.push(acceleration, times):
                self._write(piece)

    def keep_actions(self, predictions: Iterable[Prediction]) -> None:
        """Keep what was recognised in windows, in order, after the samples that they are of.

        Raises:
            DataError: It cannot be written; says what was kept.
        """
        with self._written_to():
            for prediction in predictions:
                self._action = self._after(prediction)

    def close(self) -> None:
        """Let go of the files."""
        self._manifest.close()
        for file in self._files:
            file.growing.close()
        self._lock.release()

    def _write(self, piece: Piece) -> None:
        file = self._files[-1] if self._files else None
        full = file and file.growing.size > MAX_FILE_BYTES and self._action is None
        if file is None or full or piece.times[0] <= file.last:
            if len(self._files) == self._files.maxlen:
                self._files[0].growing.close()
            self._number += 1
            path = self.folder / ACCELEROMETER / f"live{self._number}.csv"
            start = float(piece.times[0])
            file = _File(GrowingFile(path, "t_s,x,y,z\n"), start, start)
            self._files.append(file)
        file.growing.append("".join(_rows(piece)))
        file.last = float(piece.times[-1])
        self.samples += len(piece.times)

    def _after(self, prediction: Prediction) -> _Action | None:
        """Write what a window says of an action, and give the one that goes on."""
        now, end = self._action, prediction.end_s
        goes_on = self._since <= prediction.start_s <= self._until
        if prediction.class_name != self._named or not goes_on:
            self._named, self._since = prediction.class_name, prediction.start_s
        self._until = end
        file = next(
            (f for f in reversed(self._files) if f.first < end <= f.last + GAP_SECONDS), None
        )
        if file is None:
            return None
        stop = min(end, file.last)
        if prediction.action is not None:
            file.actions += 1
            self.actions += 1
            now = _Action(
                file,
                f"{file.growing.path.stem}_{file.actions}",
                prediction.action,
                max(self._since, file.first),
                stop,
                prediction.probability,
            )
            self._manifest.append(self._cells(now))
            return now
        same = now and now.file is file and prediction.class_name == now.label
        if not now or not same or prediction.start_s > now.stop:
            return None
        now.stop = stop
        self._manifest.write_last(self._cells(now))
        return now

    def _cells(self, action: _Action) -> str:
        return _line(
            (
                action.name,
                action.label,
                self._subject,
                f"{ACCELEROMETER}/{action.file.growing.path.name}",
                f"{action.start:.3f}",
                f"{action.stop:.3f}",
                f"{action.probability:.3f}",
                *self._further,
            )
        )

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout as error:
            raise UsageError(
                "another pskd live records into it",
                where=self.folder,
                remedy="Name another folder",
            ) from error

    @contextmanager
    def _written_to(self) -> Iterator[None]:
        """Say of a failure what was kept."""
        try:
            yield
        except OSError as error:
            raise DataError(
                f"cannot be written ({error.strerror})",
                where=error.filename or self.folder,
                remedy=f"{self.samples} samples and {self.actions} actions are kept. Free some "
                "space, or name another folder",
            ) from error


def _check(folder: Path) -> None:
    """Raise UsageError where a folder holds what the recorder has not written."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    settings, manifest = folder / SETTINGS, folder / MANIFEST
    ours = settings.is_file() and settings.read_bytes().startswith(MARK.encode())
    if ours and manifest.is_file():
        ours = _header(folder)[: len(COLUMNS)] == [*COLUMNS]
    if not ours:
        raise UsageError(
            "holds something else than what pskd live has kept",
            where=folder,
            remedy="Name a new folder",
        )


def _header(folder: Path) -> list[str]:
    """The columns of the manifest, as we or an editor or a spreadsheet wrote them."""
    with (folder / MANIFEST).open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        return next(csv.reader([stream.readline(_LONGEST)]), [])


def _rows(piece: Piece) -> Iterator[str]:
    """Lines of CSV that read back as the same numbers."""
    for t, (x, y, z) in zip(piece.times.tolist(), piece.acceleration.tolist(), strict=True):
        yield f"{t!r},{x:.9g},{y:.9g},{z:.9g}\n"


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
