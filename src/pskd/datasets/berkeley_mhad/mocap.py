"""Motion capture of Berkeley-MHAD: optical markers, skeletons solved from them, camera stamps.

Markers have rows of 43 x (x, y, z) in mm, frame number and unix time, at 480 Hz; y is up, and x
points to the left of somebody who looks along z. A marker at (0, 0, 0) is hidden. Skeletons are BVH
files at 480 Hz, in cm and with the axes of the markers; they have no clock, but their frames are
the rows of the marker file. Cameras have rows of `frame unix_time`, at 22 Hz; what the markers
cover has the same middle to 2 ms, and begins and ends one camera frame outside.

Known from one marker file, s01_a01_r01. No BVH file was at hand: joints, unit, axes and rate are
those of a conversion of skl_s01_a01_r01 that others published (2,797 frames; the markers have
2,799 rows), and that frames go with rows is how a demonstration of the dataset draws both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from pskd.data.bvh import read_bvh
from pskd.data.rows import read_rows
from pskd.data.skeleton import BERKELEY_MHAD_BVH, BERKELEY_MHAD_MARKERS, SkeletonLayout
from pskd.datasets.berkeley_mhad.signals import SECONDS, Array, in_order
from pskd.signal.align import interpolate

FILE_BYTES = 64 << 20
"""The longest official trial has 14,567 frames: 20 MiB of markers."""
CAMERA_BYTES = 1 << 20
RATE = 60.0
"""Frames a second that are kept."""

_MARKERS = len(BERKELEY_MHAD_MARKERS.joints)
_MOST_FRAMES = 60_000
_LEAST_SEEN = 22  # markers that must be seen at some time
_CUT_OFF = 24.0  # Hz; body movements end far below, and 60 frames a second bear it
_TORSO = (0.05, 1.0)  # metres
_FARTHEST = 100.0  # metres from the origin
_FASTEST = 1000.0  # frames a second, above which filtering would take long


def read_markers(data: bytes) -> tuple[Array, Array]:
    """Parse a marker file; hidden markers are put between where they were seen.

    One that is never seen is put amid its neighbours on the body.

    Returns:
        Times [F], unix, s, strictly increasing, and positions [F, 43, 3], m.

    Raises:
        ValueError: It is no such file, or too little of a person is seen.
    """
    rows = in_order(read_rows(data, 3 * _MARKERS + 2, _MOST_FRAMES), -1, SECONDS)
    times = rows[:, -1]
    positions = rows[:, :-2].reshape(-1, _MARKERS, 3) / 1000
    _check(times, positions)
    hidden = (positions == 0).all(axis=2)
    seen = ~hidden.all(axis=0)
    if seen.sum() < _LEAST_SEEN:
        raise ValueError(f"only {seen.sum()} of {_MARKERS} markers are ever seen")
    for marker in np.flatnonzero(hidden.any(axis=0) & seen):
        there = ~hidden[:, marker]
        for axis in range(3):
            path = positions[:, marker, axis]
            path[~there] = np.interp(times[~there], times[there], path[there])
    _fill_unseen(positions, seen)
    _check_torso(positions, BERKELEY_MHAD_MARKERS)
    return times, positions


def read_skeleton(data: bytes) -> tuple[Array, Array]:
    """Parse a BVH file, whatever its hierarchy, that has the joints of `BERKELEY_MHAD_BVH`.

    Returns:
        Times from the first frame [F], s, and positions [F, 30, 3], m.

    Raises:
        ValueError: It is no such file, or a joint is missing.
    """
    bvh = read_bvh(data)
    where = {name.lower(): index for index, name in enumerate(bvh.joints)}
    missing = [name for name in BERKELEY_MHAD_BVH.joints if name.lower() not in where]
    if missing:
        raise ValueError(f"has no joint {missing[0]!r}")
    chosen = [where[name.lower()] for name in BERKELEY_MHAD_BVH.joints]
    positions = bvh.positions[:, chosen].astype(np.float64) / 100
    times = np.arange(len(positions), dtype=np.float64) * bvh.frame_seconds
    if len(times) < 2 or not SECONDS[0] <= times[-1] <= SECONDS[1]:
        raise ValueError(f"its {len(times)} frames take {times[-1]:.3g} s")
    _check(times, positions)
    _check_torso(positions, BERKELEY_MHAD_BVH)
    return times, positions


def marker_start(data: bytes) -> float:
    """Return the time of the first frame of a marker file, unix, s; ValueError if it is none."""
    rows = read_rows(data, 3 * _MARKERS + 2, _MOST_FRAMES)
    return float(in_order(rows, -1, SECONDS)[0, -1])


def camera_middle(data: bytes) -> float:
    """Return the middle of the time of a camera, unix, s; ValueError if it is no such file."""
    times = in_order(read_rows(data, 2, _MOST_FRAMES), 1, SECONDS)[:, 1]
    return float(times[0] + times[-1]) / 2


def resample(times: Array, positions: Array, at: Array) -> NDArray[np.float32]:
    """Interpolate positions [F, J, 3] after taking out what so few frames cannot hold."""
    rate = (len(times) - 1) / (times[-1] - times[0])
    if rate <= 2 * _CUT_OFF:  # there is nothing above that to take out
        return interpolate(positions, times - times[0], at - times[0]).astype(np.float32)
    half = round(rate / _CUT_OFF)
    steps = np.arange(-half, half + 1)
    taps = np.sinc(2 * _CUT_OFF / rate * steps) * np.hanning(2 * half + 3)[1:-1]
    smooth = convolve1d(positions, taps / taps.sum(), axis=0, mode="nearest")
    return interpolate(smooth, times - times[0], at - times[0]).astype(np.float32)


def _fill_unseen(positions: Array, seen: NDArray[np.bool_]) -> None:
    near: list[list[int]] = [[] for _ in seen]
    for one, other in BERKELEY_MHAD_MARKERS.edges:
        near[one].append(other)
        near[other].append(one)
    while not seen.all():
        known = seen.copy()
        for marker in np.flatnonzero(~known):
            if around := [m for m in near[marker] if known[m]]:
                positions[:, marker] = positions[:, around].mean(axis=1)
                seen[marker] = True


def _check(times: Array, positions: Array) -> None:
    rate = (len(times) - 1) / (times[-1] - times[0])
    if rate > _FASTEST:
        raise ValueError(f"has {rate:.3g} frames a second, more than {_FASTEST:g}")
    far = float(np.abs(positions).max())
    if far > _FARTHEST:
        raise ValueError(f"somebody is {far:.3g} m away, more than {_FARTHEST:g}")


def _check_torso(positions: Array, layout: SkeletonLayout) -> None:
    upper, lower = layout.torso
    torso = float(np.linalg.norm(positions[:, upper] - positions[:, lower], axis=1).mean())
    if not _TORSO[0] <= torso <= _TORSO[1]:
        raise ValueError(f"its torso is {torso:.3g} m long, not {_TORSO[0]} to {_TORSO[1]}")
