"""What looks wrong in the signals of one recording although they can be read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pskd.data.accelerometer_file import GAP_INTERVALS, GAP_SECONDS, AccelerometerFile
from pskd.data.recording import Recording
from pskd.data.skeleton import SkeletonLayout
from pskd.datasets.folder.row import Row
from pskd.datasets.folder.skeleton import SkeletonFile

SECONDS = (0.5, 30.0)
"""Recordings outside this are hardly one action."""
NORM = (0.6, 2.5)
"""Median norm of the acceleration in g: gravity is most of it, most of the time."""
_CLIP = 1.5  # g; the extreme of a still sensor repeats itself, too
_CLIPPED = 3  # samples at the extreme that are no accident
_SLOWEST = 8.0  # frames a second
_OFF = 0.1  # by how much two durations of one trial may differ

Symptom = tuple[str, str, str]
"""The file, what looks wrong, and what to do about it."""


def clipping(acceleration: NDArray[np.float32]) -> tuple[float, float]:
    """The level at which a signal [T, 3] clips, in g, and its share of samples there, or 0."""
    size = np.abs(acceleration)
    level = float(size.max())
    count = int((size >= 0.9995 * level).any(axis=1).sum())
    return level, count / len(size) if count >= _CLIPPED and level > _CLIP else 0.0


def of_accelerometer(row: Row, file: AccelerometerFile, recording: Recording) -> Iterator[Symptom]:
    """Look at an accelerometer file, and at the recording that is cut from it."""
    name, cut = row.accelerometer, recording.acceleration
    if recording.seconds > SECONDS[1]:
        yield (
            name,
            f"recording {row.recording!r} lasts {recording.seconds:.0f} s; each becomes one clip",
            "Cut it into single actions with start and stop",
        )
    if recording.seconds < SECONDS[0]:
        yield (
            name,
            f"recording {row.recording!r} lasts {recording.seconds:.2f} s",
            "Check start and stop",
        )
    norm = float(np.median(np.linalg.norm(cut, axis=1)))
    if norm < NORM[0]:
        yield (
            name,
            f"median norm of the acceleration is {norm:.2f} g: gravity seems to be taken out",
            "Record the raw acceleration, not the 'linear' or 'user' one; or correct its unit",
        )
    elif norm > NORM[1]:
        yield name, f"median norm of the acceleration is {norm:.2f} g", "Check its unit"
    level, share = clipping(cut)
    if share:
        yield (
            name,
            f"clips at {level:.3g} g, {100 * share:.1f} % of the samples",
            "Set the sensor to a larger range; such peaks are lost",
        )
    for axis, still in zip("xyz", np.ptp(file.acceleration, axis=0) == 0, strict=True):
        if still:
            yield name, f"{axis} never changes", "Check the sensor and the export"
    steps = np.diff(file.times)
    gap = float(steps.max())
    if gap > max(GAP_INTERVALS / file.rate, GAP_SECONDS):
        where = float(file.times[steps.argmax()])
        yield (
            name,
            f"no samples for {gap:.2f} s after {where:.10g} s",
            "Up to 1 s is interpolated; cut the recording there if it matters",
        )


def of_skeleton(
    row: Row, file: SkeletonFile, layout: SkeletonLayout, recording: Recording
) -> Iterator[Symptom]:
    """Look at a skeleton file, and at the time that it shares with the accelerometer."""
    name, joints, names = str(row.skeleton), file.joints, layout.joints
    seconds = len(joints) / file.rate if file.rate else recording.seconds
    if len(joints) / seconds < _SLOWEST:
        yield (
            name,
            f"has {len(joints) / seconds:.1f} frames a second",
            f"Less than {_SLOWEST:g} show no quick movement: check the rate or the export",
        )
    if row.alignment == "stretch" and abs(seconds / recording.seconds - 1) > _OFF:
        yield (
            name,
            f"lasts {seconds:.2f} s by its own rate, its accelerometer {recording.seconds:.2f} s",
            "If both span the same trial, its true rate is "
            f"{len(joints) / recording.seconds:.3g}; if they share a clock, say alignment: clock",
        )
    zero = (joints == 0).all(axis=2)
    for joint in np.flatnonzero(zero.any(axis=0) & ~zero.all(axis=0)):
        yield (
            name,
            f"joint {names[joint]!r} lies exactly at 0 in {zero[:, joint].sum()} frames",
            "Where it was not seen, leave its cells empty: 0 is taken as a place",
        )
    still = np.nanmax(joints, axis=0) == np.nanmin(joints, axis=0)
    for joint in np.flatnonzero(still.all(axis=1)):
        if joint != layout.root:
            yield name, f"joint {names[joint]!r} never moves", "Check its column in the export"
    if count := _swaps(joints, layout):
        yield (
            name,
            f"left and right change places {count} times",
            "Mend the track: the two sides are told apart by name",
        )


def _swaps(joints: NDArray[np.float32], layout: SkeletonLayout) -> int:
    """Frames in which the body would have moved far less if left and right were exchanged."""
    index = {name.casefold(): i for i, name in enumerate(layout.joints)}
    pairs = [
        (i, index[other])
        for name, i in index.items()
        if (other := name.replace("left", "right")) != name and other in index
    ]
    if not pairs:
        return 0
    own, other = np.array([*pairs, *((b, a) for a, b in pairs)]).T
    stayed = np.linalg.norm(joints[1:, own] - joints[:-1, own], axis=2).sum(axis=1)
    crossed = np.linalg.norm(joints[1:, other] - joints[:-1, own], axis=2).sum(axis=1)
    return int((crossed < 0.5 * stayed).sum())
