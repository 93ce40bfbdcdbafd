"""A line of the manifest: checked cell by cell, so that all that is wrong with it is said."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TypeVar, cast

from pskd.data.accelerometer_file import RATES, Unit
from pskd.data.csv_table import seconds
from pskd.datasets.folder.row import MANIFEST, BadRow, Row
from pskd.datasets.folder.settings import (
    ALIGNMENTS,
    FRAME_RATES,
    Alignment,
    Settings,
    number,
    one_of,
)
from pskd.errors import DataError, PskdError, nearest

REQUIRED = ("recording", "label", "subject")
COLUMNS = (
    *REQUIRED, "trial", "session", "scene", "split", "accelerometer", "skeleton", "start", "stop",
    "rate", "skeleton_rate", "unit", "alignment",
)  # fmt: skip
SIDES = ("train", "validation", "test")
MAX_CELL = 1000
_LATEST = 1e10  # seconds: beyond any clock
_SIGNALS = {"accelerometer": (".csv", ".parquet"), "skeleton": (".csv", ".npy", ".bvh")}
_nearest = lru_cache(nearest)  # where one label is misspelt, many lines have it
_T = TypeVar("_T")


class Line:
    """A line of the manifest on its way to a Row.

    Args:
        line: Its number.
        header: Names of the columns.
        cells: Its cells.
        settings: What holds where a cell is empty.
        files: The files of the folder.
    """

    def __init__(
        self,
        line: int,
        header: Sequence[str],
        cells: Sequence[str],
        settings: Settings,
        files: Files,
    ) -> None:
        self.line, self.settings, self.files = line, settings, files
        self.errors: list[PskdError] = []
        self.cells: Mapping[str, str] = {
            name: cell.strip() for name, cell in zip(header, cells, strict=False) if name in COLUMNS
        }
        if len(cells) != len(header):
            self._refuse(
                f"has {len(cells)} cells, the header has {len(header)}",
                "Put values that hold commas in double quotes",
            )
        for name, cell in self.cells.items():
            if len(cell) > MAX_CELL or not cell.isprintable():
                self._refuse(
                    f"{name} is longer than {MAX_CELL} characters, or not plain text",
                    "Shorten it, and save the file as UTF-8",
                )

    def _refuse(self, what: str, remedy: str) -> None:
        self.errors.append(DataError(what, where=f"{MANIFEST}, line {self.line}", remedy=remedy))

    def row(self, taken: Collection[str], trials: Counter[tuple[str, str]]) -> Row | BadRow:
        """Return what the line says.

        Args:
            taken: Names of the recordings before it.
            trials: How often each subject has done each label before it; counted on.
        """
        get = self.cells.get
        recording, label, subject = (self._needed(name) for name in REQUIRED)
        if recording in taken and recording:
            self._refuse(
                f"recording {recording!r} is named twice", "Give each recording its own name"
            )
        if self.settings.classes and label and label not in self.settings.classes:
            self._refuse(
                f"label {label!r} is none of the classes of dataset.yaml",
                _nearest(label, self.settings.classes)[:500],
            )
        trials[subject, label] += 1
        start, stop = (self._parsed(name, _moment) for name in ("start", "stop"))
        if start is not None and stop is not None and stop <= start:
            self._refuse(f"stop {get('stop')} is not after start {get('start')}", "Correct them")
        row = Row(
            line=self.line,
            recording=recording,
            label=label,
            subject=subject,
            trial=get("trial") or str(trials[subject, label]),
            session=get("session", ""),
            scene=get("scene", ""),
            side=self._parsed("split", _side) or "",
            accelerometer=self._file("accelerometer", recording) or "",
            skeleton=self._file("skeleton", recording),
            start=start,
            stop=stop,
            rate=self._parsed("rate", lambda text: number(text, RATES)) or self.settings.rate,
            skeleton_rate=self._parsed("skeleton_rate", lambda text: number(text, FRAME_RATES))
            or self.settings.skeleton_rate,
            unit=self._parsed("unit", _unit) or self.settings.unit,
            alignment=self._parsed("alignment", _alignment) or self.settings.alignment,
        )
        if not self.errors:
            return row
        name = recording or f"line {self.line}"
        while name in taken:
            name += f" (line {self.line})"
        files = (file for file in (row.accelerometer, row.skeleton) if file)
        return BadRow(name, tuple(self.errors), tuple(files))

    def _needed(self, name: str) -> str:
        if not self.cells.get(name):
            self._refuse(f"{name} is empty", f"Every recording needs its {', '.join(REQUIRED)}")
        return self.cells.get(name, "")

    def _parsed(self, name: str, parse: Callable[[str], _T]) -> _T | None:
        text = self.cells.get(name)
        if not text:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self._refuse(f"{name} is {text[:100]!r}", str(error))
            return None

    def _file(self, kind: str, recording: str) -> str | None:
        """Name of the file of a signal; None where there is none."""
        given = self.cells.get(kind)
        found: str | None
        if given:
            found, fault = self.files.find(given)
        elif kind == "skeleton" and kind in self.cells:
            return None
        else:
            default = [f"{kind}/{recording}{end}" for end in _SIGNALS[kind]]
            there = [found for name in default if (found := self.files.named(name))]
            if kind == "skeleton" and not there:
                return None
            found = there[0] if len(there) == 1 else None
            fault = f"is missing: neither {' nor '.join(default)}"
            if there:
                fault = f"is there twice: {' and '.join(there)}"
        if found is None:
            self._refuse(
                f"its {kind} file {fault}",
                f"Put it into the folder, or name its place there in the column {kind}",
            )
        elif not found.lower().endswith(_SIGNALS[kind]):
            self._refuse(
                f"its {kind} file is {found!r}", f"Give one of {', '.join(_SIGNALS[kind])}"
            )
        return found


class Files:
    """The files of the folder by their names.

    An umlaut is one character or two, as the system that wrote the name has it; it is found as
    both.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = {_composed(name): name for name in names} | {name: name for name in names}
        self._folded = {_composed(name).casefold(): name for name in names}

    def named(self, name: str) -> str | None:
        """The file of this name; None where there is none."""
        return self._names.get(name) or self._names.get(_composed(name))

    def find(self, given: str) -> tuple[str | None, str]:
        """Return the name of a file, or what is wrong with the path that was given."""
        path = PurePosixPath(given.replace("\\", "/"))
        name = str(path)
        if path.is_absolute() or ".." in path.parts or name[1:2] == ":":
            return None, f"{given[:200]!r} lies outside the folder"
        if found := self.named(name):
            return found, ""
        alike = self._folded.get(_composed(name).casefold())
        return None, f"{given[:200]!r} is missing" + (f", but {alike!r} is there" if alike else "")


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _moment(text: str) -> float:
    try:
        moment = seconds(text)
        if abs(moment) <= _LATEST:
            return moment
    except (ValueError, OverflowError):
        pass
    raise ValueError("Give seconds in the accelerometer file's own time, or ISO 8601")


def _side(text: str) -> str:
    return one_of(text.lower(), SIDES)


def _unit(text: str) -> Unit:
    return cast(Unit, one_of(text, ("g", "m/s2")))


def _alignment(text: str) -> Alignment:
    return cast(Alignment, one_of(text, ALIGNMENTS))
