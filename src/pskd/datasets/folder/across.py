"""What looks wrong only where the recordings of a folder are compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pskd.datasets.folder.alignment import GAIN, Trace
from pskd.datasets.folder.report import Problem
from pskd.datasets.folder.row import MANIFEST, BadRow, Row
from pskd.datasets.folder.verdict import Alignment

_RATE_OFF, _FRAMES_OFF = 0.1, 0.3
_FEW = 10
_DATA = (".csv", ".parquet", ".npy", ".bvh")


@dataclass(frozen=True)
class Seen:
    """What is remembered of a recording that can be used.

    Attributes:
        row: Its line in the manifest.
        seconds: How long it is.
        rate: Samples a second in its file.
        frames: Frames a second of its skeleton, by the time of the accelerometer.
        signal: Digest of the accelerometer signal.
        joints: Digest of the skeleton.
        trace: What its two signals are compared by; None where they are not.
    """

    row: Row
    seconds: float
    rate: float
    frames: float | None
    signal: bytes
    joints: bytes | None
    trace: Trace | None


def of_rows(
    lines: Sequence[Row | BadRow], classes: Sequence[str], names: Collection[str]
) -> Iterator[Problem]:
    """Look at what the manifest says, and at files that it does not name."""
    rows = [row for row in lines if isinstance(row, Row)]
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_label[row.label].append(row)
    for label in classes:
        there = by_label[label]
        if len(there) < 2 or len({row.subject for row in there}) < 2:
            people = _count(len({row.subject for row in there}), "subject")
            yield _warning(
                f"label {label!r} has {_count(len(there), 'recording')} of {people}",
                "A model is tested on people it has not seen: record each action with several",
            )
    if len(by_label) < 2:
        yield _warning("all recordings have one label", "Give each action its own")
    folded: dict[str, list[str]] = defaultdict(list)
    for label in by_label:
        folded[" ".join(label.casefold().replace("_", " ").split())].append(label)
    for alike in folded.values():
        if len(alike) > 1:
            yield _warning(
                f"labels {_listed(map(repr, alike))} differ in spelling only",
                "They count as different classes: write them alike if they are one",
            )
    sides: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        sides[row.subject].add(row.side)
    both = sorted(subject for subject, its in sides.items() if len(its) > 1)
    if both:
        yield _warning(
            f"split is not the same for all recordings of subject {_listed(both)}",
            "Put each person on one side, or the test says nothing of new people",
        )
    without = [row.recording for row in rows if not row.side]
    if 0 < len(without) < len(rows):
        yield _warning(
            f"{_count(len(without), 'recording')} without a split, others with: {_listed(without)}",
            "Give each a split, or none",
        )
    used = {MANIFEST}.union(*(line.files for line in lines))
    idle = [name for name in names if name not in used and name.lower().endswith(_DATA)]
    if idle:
        yield _warning(
            f"does not name {_count(len(idle), 'file')}: {_listed(idle)}",
            "Add a line for each, or take them out of the folder",
        )


def of_signals(seen: Sequence[Seen]) -> Iterator[Problem]:
    """Look for rates far from the others', and for signals that are there twice."""
    usual = float(np.median([one.rate for one in seen])) if seen else 0.0
    frames = [one.frames for one in seen if one.frames]
    usual_frames = float(np.median(frames)) if frames else 0.0
    first: dict[bytes, Row] = {}
    for one in seen:
        row = one.row
        if abs(one.rate / usual - 1) > _RATE_OFF:
            yield _warning(
                f"has {one.rate:.4g} samples a second, the others about {usual:.4g}",
                "Check its time stamps or its rate; it is resampled",
                row.accelerometer,
            )
        if one.frames and abs(one.frames / usual_frames - 1) > _FRAMES_OFF:
            yield _warning(
                f"has {one.frames:.3g} frames a second of its accelerometer, the others about "
                f"{usual_frames:.3g}",
                "Check that both are of the same trial, and whole",
                str(row.skeleton),
            )
        for digest, kind in ((one.signal, "accelerometer"), (one.joints, "skeleton")):
            twin = first.setdefault(digest, row) if digest else row
            if twin is row or (kind == "skeleton" and twin.skeleton == row.skeleton):
                continue
            differ = "" if twin.label == row.label else f", but label {twin.label!r}"
            yield _warning(
                f"{row.recording!r} has the same {kind} signal as {twin.recording!r} "
                f"(line {twin.line}){differ}",
                "Take one out, or give it the file that belongs to it",
                row.where,
            )


def of_pairs(found: Alignment, rows: Mapping[str, Row]) -> Iterator[Problem]:
    """Say what the pairs show; `rows` are their recordings by name."""
    declared = {rows[score.recording].alignment for score in found.scores}
    wrong = "or the pairs are wrong: check that both files of a recording are of the same trial"
    if found.kind == "apart" and declared != {"none"}:
        yield _warning(
            "the pairs are no more alike than pairs of different recordings",
            "Either the signals are not aligned in time: say alignment: none, and dense "
            f"motion leaves them out; {wrong}",
        )
    elif found.kind == "late":
        yield _warning(
            f"most skeletons look {abs(found.lag):.2f} s {_late(found.lag)}",
            "Cut both signals to the same span, or give both the same clock and say alignment: "
            "clock; what cannot be mended is alignment: none",
        )
    elif found.kind == "backwards":
        yield _warning(
            "most skeletons look as if they ran backwards", "Check the order of their frames"
        )
    elif found.kind == "mixed up":
        yield _warning(
            "skeletons look mixed up: alike within a class, but not one by one",
            f"Either the signals are not aligned in time: say alignment: none; {wrong}",
        )
    elif found.kind == "aligned" and declared == {"none"}:
        yield _warning(
            "alignment is none, but the pairs look aligned",
            "Say alignment: stretch, and they can be learned from moment by moment",
        )
    if found.kind != "aligned":
        return
    for score in (score for score in found.scores if score.late):
        yield _warning(
            f"the skeleton of {score.recording!r} looks {abs(score.lag):.2f} s {_late(score.lag)}",
            "Look at the pair; cut both signals to the same span, or leave it out",
            rows[score.recording].where,
        )
    for score in (s for s in found.scores if s.backwards > GAIN and not s.late):
        yield _warning(
            f"the skeleton of {score.recording!r} looks as if it ran backwards",
            "Check the order of its frames, and that it is of the same trial",
            rows[score.recording].where,
        )
    doubtful = sorted(
        (s for s in found.scores if s.doubtful and not s.late and s.backwards <= GAIN),
        key=lambda score: score.beaten,
    )
    if doubtful:
        yield _warning(
            f"{_count(len(doubtful), 'recording')} with signals hardly more alike than those of "
            f"different recordings, the least first: {_listed(s.recording for s in doubtful)}",
            "Little movement does that; so does a skeleton of another trial: draw the first few",
        )


def _late(lag: float) -> str:
    return "late" if lag > 0 else "early"


def _warning(what: str, remedy: str, where: str = MANIFEST) -> Problem:
    return Problem("warning", where, what, remedy)


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}{'s' * (n != 1)}"


def _listed(names: Iterable[str]) -> str:
    """The first few of some names."""
    every = list(names)
    more = f" and {len(every) - _FEW} more" if len(every) > _FEW else ""
    return ", ".join(every[:_FEW]) + more
