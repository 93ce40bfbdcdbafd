"""`pskd data check`: all that is wrong in a folder, file by file, and how to mend it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pskd.data.skeleton import KINECT_V1
from pskd.datasets.folder import across, symptoms
from pskd.datasets.folder.across import Seen
from pskd.datasets.folder.alignment import make_trace, score_pairs
from pskd.datasets.folder.pair import make_recording
from pskd.datasets.folder.report import Problem, Report
from pskd.datasets.folder.row import BadRow, Row
from pskd.datasets.folder.settings import SETTINGS
from pskd.datasets.folder.skeleton import SkeletonFile
from pskd.datasets.folder.source import LAYOUT, Source
from pskd.datasets.folder.verdict import Alignment, judge
from pskd.errors import PskdError

_GUESSED = "If that is wrong, write layout.yaml with torso and up"
_ANY_RATE = 50.0  # Hz, where none can be found
_T = TypeVar("_T")


def check(root: Path, progress: Callable[[int, int], None] | None = None) -> Report:
    """Go through every file of a folder and say all that is wrong with it.

    Args:
        root: The folder, or an archive of it.
        progress: Called with the steps done and all of them; each recording is two steps.

    Raises:
        DataError: There is no manifest, or it cannot be read as one.
    """
    return _Check(Source(root), progress or (lambda done, total: None)).report()


class _Check:
    def __init__(self, source: Source, progress: Callable[[int, int], None]) -> None:
        self.source, self.progress = source, progress
        self.problems: list[Problem] = []
        self.said: set[Problem] = set()
        self.total = 2 * len(source.rows)
        for error in source.problems:
            self.refuse(error, SETTINGS)
        layout = self.tried(lambda: source.layout, LAYOUT)
        self.layout, self.laid_out = layout or KINECT_V1, layout is not None
        if layout and source.layout_guessed:
            upper, lower = (layout.joints[joint] for joint in layout.torso)
            guess = f"torso from {upper} to {lower}, {'xyz'[layout.up]} up"
            self.warn([(LAYOUT, f"is missing; taken from the BVH files: {guess}", _GUESSED)])
        self.rate = source.settings.rate or self.usual_rate()

    def report(self) -> Report:
        """Look at everything."""
        source, rows = self.source, self.source.good_rows
        classes = source.settings.classes or tuple(sorted({row.label for row in rows}))
        self.problems += across.of_rows(source.rows, classes, source.names)
        seen: list[Seen] = []
        for done, row in enumerate(source.rows, start=1):
            if isinstance(row, BadRow):
                for error in row.errors:
                    self.refuse(error, row.name)
            elif found := self.look(row, classes.index(row.label)):
                seen.append(found)
            self.progress(done, self.total)
        self.problems += across.of_signals(seen)
        alignment = self.alignment(seen, classes)
        if alignment:
            by_name = {row.recording: row for row in rows}
            self.problems += across.of_pairs(alignment, by_name)
        self.progress(self.total, self.total)
        return Report(
            title=source.title,
            recordings=len(source.rows),
            usable=len(seen),
            pairs=sum(one.joints is not None for one in seen),
            subjects=len({one.row.subject for one in seen}),
            classes=classes,
            seconds=sum(one.seconds for one in seen),
            rate=self.rate,
            problems=tuple(self.problems),
            alignment=alignment,
        )

    def look(self, row: Row, label: int) -> Seen | None:
        """Read one recording; None where it cannot be used."""
        sensor = self.tried(lambda: self.source.accelerometer(row), row.accelerometer)
        skeleton: SkeletonFile | None = None
        if row.skeleton and self.laid_out:
            skeleton = self.tried(lambda: self.source.skeleton(row), row.skeleton)
        if sensor is None:
            return None
        recording = self.tried(
            lambda: make_recording(
                row,
                sensor,
                skeleton,
                self.layout,
                dataset="folder",
                label=label,
                rate=self.rate,
                shared=False,
            ),
            row.where,
        )
        if recording is None:
            return None
        self.warn(symptoms.of_accelerometer(row, sensor, recording))
        if row.skeleton and skeleton is None:
            return None
        joints = frames = None
        if skeleton and recording.skeleton is not None:
            frames = len(recording.skeleton) / recording.seconds
            self.warn(symptoms.of_skeleton(row, skeleton, self.layout, recording))
            joints = hashlib.sha256(skeleton.joints.tobytes()).digest()
        return Seen(
            row=row,
            seconds=recording.seconds,
            rate=sensor.rate,
            frames=frames,
            signal=hashlib.sha256(recording.acceleration.tobytes()).digest(),
            joints=joints,
            trace=make_trace(recording, self.layout) if joints else None,
        )

    def alignment(self, seen: list[Seen], classes: tuple[str, ...]) -> Alignment | None:
        """Compare the pairs with each other."""
        pairs = [one for one in seen if one.trace]
        if len(pairs) < 2:
            return None
        scores = score_pairs(
            [one.row.recording for one in pairs],
            [classes.index(one.row.label) for one in pairs],
            [one.trace for one in pairs if one.trace],
            lambda done, total: self.progress(len(self.source.rows) + done, self.total),
        )
        return judge(scores, self.layout.joints)

    def usual_rate(self) -> float:
        try:
            return self.source.usual_rate()
        except PskdError:
            return _ANY_RATE  # each file says itself what is wrong with it

    def tried(self, read: Callable[[], _T], where: str) -> _T | None:
        """What is read, or None and a problem."""
        try:
            return read()
        except PskdError as error:
            self.refuse(error, where)
            return None

    def refuse(self, error: PskdError, where: str) -> None:
        place = str(where if error.where is None else error.where)
        self.say(Problem("error", place, error.what, error.remedy or "Mend it or leave it out"))

    def warn(self, found: Iterable[symptoms.Symptom]) -> None:
        for symptom in found:
            self.say(Problem("warning", *symptom))

    def say(self, problem: Problem) -> None:
        """Note a problem once, though one file may serve several recordings."""
        if problem not in self.said:
            self.said.add(problem)
            self.problems.append(problem)
