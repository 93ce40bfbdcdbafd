"""A recording made of an accelerometer file and a skeleton file."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pskd.data.accelerometer_file import AccelerometerFile
from pskd.data.recording import Recording
from pskd.data.skeleton import SkeletonLayout
from pskd.datasets.folder.row import Row
from pskd.datasets.folder.skeleton import SkeletonFile, fill_holes
from pskd.errors import DataError
from pskd.signal.align import interpolate
from pskd.signal.resample import resample

LONGEST_GAP = 1.0
"""Seconds without a sample that are interpolated; a recording with more is not used."""
SHORTEST = 0.5
"""Seconds that two signals on one clock must share."""
MOST_SAMPLES = 10_000_000
"""Samples of a recording."""
_AROUND = 1.0  # seconds beyond a cut that its low-pass filter may see


def make_recording(
    row: Row,
    sensor: AccelerometerFile,
    skeleton: SkeletonFile | None,
    layout: SkeletonLayout,
    *,
    dataset: str,
    label: int,
    rate: float,
    shared: bool,
) -> Recording:
    """Cut both signals and bring the accelerometer to a uniform grid.

    Args:
        row: The recording in the manifest.
        sensor: Its accelerometer file, whole.
        skeleton: Its skeleton file, whole.
        layout: Layout of the skeleton.
        dataset: Name of the dataset.
        label: Index of its class.
        rate: Rate of the grid, Hz.
        shared: Whether other recordings are cut from the same accelerometer file.

    Raises:
        DataError: The cut lies outside the file, is too short or has a long gap; the two share too
            little time; a joint is unseen for long.
    """
    begin, end = _cut(row, sensor)
    joints = None
    if skeleton is not None:
        if row.alignment == "clock":
            begin, end, skeleton = _on_clock(row, skeleton, begin, end)
        frames = skeleton.rate or len(skeleton.joints) / (end - begin)
        joints = fill_holes(skeleton.joints, frames, layout, str(row.skeleton))
        if (times := skeleton.times) is not None:
            span = (begin, end) if row.alignment == "clock" else (float(times[0]), float(times[-1]))
            _check_gaps(times, *span, "frames", str(row.skeleton))
            count = min(round((span[1] - span[0]) * frames) + 1, 2 * len(times))
            joints = interpolate(joints, times, np.linspace(*span, count))
    samples = math.floor((end - begin) * rate + 1e-6) + 1
    if not 2 <= samples <= MOST_SAMPLES:
        raise DataError(
            f"lasts {end - begin:.3g} s, which are {samples} samples at {rate:g} Hz",
            where=row.where,
            remedy=f"Give start and stop that leave 2 to {MOST_SAMPLES} samples",
        )
    at = begin + np.arange(samples) / rate
    near = (sensor.times >= begin - _AROUND) & (sensor.times <= end + _AROUND)
    return Recording(
        id=row.recording,
        dataset=dataset,
        label=label,
        subject=row.subject,
        trial=row.trial,
        acceleration=resample(sensor.acceleration[near], sensor.times[near], at),
        rate=rate,
        skeleton=joints,
        session=row.session,
        scene=row.scene,
        take=row.accelerometer if shared else "",
        start=begin if shared else 0.0,
        side=row.side,
        aligned=row.alignment != "none" or joints is None,
    )


def _cut(row: Row, sensor: AccelerometerFile) -> tuple[float, float]:
    """Where the recording begins and ends in the time of its accelerometer file."""
    first, last = float(sensor.times[0]), float(sensor.times[-1])
    begin = first if row.start is None else row.start
    end = last if row.stop is None else row.stop
    slack = 1.5 / sensor.rate
    if begin < first - slack or end > last + slack or end <= begin:
        raise DataError(
            f"begins at {begin:.10g} and ends at {end:.10g} s, but {row.accelerometer} spans "
            f"{first:.10g} to {last:.10g} s",
            where=row.where,
            remedy="Give start and stop in the file's own time",
        )
    begin, end = max(begin, first), min(end, last)
    _check_gaps(sensor.times, begin, end, "samples", row.accelerometer)
    return begin, end


def _on_clock(
    row: Row, skeleton: SkeletonFile, begin: float, end: float
) -> tuple[float, float, SkeletonFile]:
    """The time that both share, and the skeleton around it, with times."""
    if skeleton.rate is None:
        raise DataError(
            "has no time stamps and no rate, and its alignment is clock",
            where=row.skeleton,
            remedy="Add a column t, or give its skeleton_rate where both begin at time 0",
        )
    times = skeleton.times
    if times is None:
        times = np.arange(len(skeleton.joints)) / skeleton.rate
    low, high = max(begin, float(times[0])), min(end, float(times[-1]))
    if high - low < SHORTEST:
        raise DataError(
            f"its accelerometer spans {begin:.10g} to {end:.10g} s and its skeleton "
            f"{times[0]:.10g} to {times[-1]:.10g} s: they do not share {SHORTEST:g} s",
            where=row.where,
            remedy="Give both the same clock, or alignment: stretch where they span the same trial",
        )
    near = (times >= low - _AROUND) & (times <= high + _AROUND)
    return low, high, SkeletonFile(times[near], skeleton.joints[near], skeleton.rate)


def _check_gaps(
    times: NDArray[np.float64], begin: float, end: float, things: str, name: str
) -> None:
    inside = np.array([begin, *times[(times > begin) & (times < end)], end])
    steps = np.diff(inside)
    if steps.max() > LONGEST_GAP:
        raise DataError(
            f"has no {things} for {steps.max():.3g} s after {inside[steps.argmax()]:.10g} s",
            where=name,
            remedy="Cut the recording before or after the gap with start and stop",
        )
