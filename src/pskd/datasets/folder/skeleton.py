"""Skeletons of a folder: CSV, npy and BVH files."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pskd.data.bvh import Bvh, read_bvh
from pskd.data.csv_table import LARGEST, read_table, shown
from pskd.data.skeleton import SkeletonLayout
from pskd.datasets.folder.settings import FRAME_RATES
from pskd.errors import DataError, nearest

MAX_BYTES = 64 << 20
MAX_LINE = 65_536
LONGEST_HOLE = 0.5
"""Seconds over which a joint that was not seen is interpolated."""
_MOST_UNSEEN = 0.5  # share of the frames of a joint


@dataclass(frozen=True)
class SkeletonFile:
    """A skeleton as its file has it.

    Attributes:
        times: Time of each frame [F], s, strictly increasing, as in the file; None without.
        joints: Positions [F, J, C], float32, nan where a joint was not seen.
        rate: Frames a second, None where the file does not say.
    """

    times: NDArray[np.float64] | None
    joints: NDArray[np.float32]
    rate: float | None


def read_skeleton(
    data: bytes, name: str, layout: SkeletonLayout, rate: float | None
) -> SkeletonFile:
    """Read a skeleton by the ending of its name.

    Args:
        data: The whole file.
        name: Its name.
        layout: The joints wanted, found by name in CSV and BVH and by place in npy files.
        rate: Frames a second of a file without time stamps.

    Raises:
        DataError: No such file, other joints than those of the layout, a value that is no number,
            time stamps that do not increase.
    """
    times = None
    if name.lower().endswith(".bvh"):
        bvh = parse_bvh(data, name)
        joints, rate = _pick_joints(bvh.joints, bvh.positions, layout, name), 1 / bvh.frame_seconds
    elif name.lower().endswith(".npy"):
        joints = _npy(data, name, layout)
    else:
        table = read_table(
            data, name, lambda header: _columns(header, layout, name), widest=MAX_LINE, holes=True
        )
        joints = table.values.reshape(-1, len(layout.joints), layout.dims).astype(np.float32)
        times = table.times
        if times is not None:
            steps: NDArray[np.float64] = np.diff(times)
            if steps.min() <= 0:
                raise DataError(
                    "time stamp is not later than the one before",
                    where=f"{name}, line {table.lines[int((steps <= 0).argmax()) + 1]}",
                    remedy="Sort the lines by time and keep one of each time stamp",
                )
            rate = 1 / float(np.median(steps))
    if rate is not None and not FRAME_RATES[0] <= rate <= FRAME_RATES[1]:
        raise DataError(
            f"has {rate:.3g} frames a second, which no camera's skeletons have",
            where=name,
            remedy="Name the column of times after its unit: t_s, t_ms, t_us or t_ns",
        )
    return SkeletonFile(times, joints, rate)


def fill_holes(
    joints: NDArray[np.float32], rate: float, layout: SkeletonLayout, name: str
) -> NDArray[np.float32]:
    """Interpolate joints in time where they were not seen for a short while.

    Args:
        joints: Positions [F, J, C], nan where a joint was not seen.
        rate: Frames a second.
        layout: Names of the joints.
        name: Name of the file.

    Raises:
        DataError: A joint is unseen for over half a second at once, or in over half of all frames.
    """
    unseen = np.asarray(np.isnan(joints).any(axis=2))
    if not unseen.any():
        return joints
    filled = joints.copy()
    frames = np.arange(len(joints))
    for joint in np.flatnonzero(unseen.any(axis=0)):
        holes = unseen[:, joint]
        edges = np.flatnonzero(np.diff(np.concatenate([[0], holes, [0]])))
        longest = (edges[1::2] - edges[::2]).max() / rate
        if longest > LONGEST_HOLE or holes.mean() > _MOST_UNSEEN:
            raise DataError(
                f"joint {layout.joints[joint]!r} is not seen for {longest:.2f} s at once and in "
                f"{100 * holes.mean():.0f} % of the frames",
                where=name,
                remedy="Mend the track, leave the joint out of layout.yaml, or leave the skeleton "
                "of this recording out",
            )
        for axis in range(joints.shape[2]):
            filled[holes, joint, axis] = np.interp(
                frames[holes], frames[~holes], joints[~holes, joint, axis]
            )
    return filled


def parse_bvh(data: bytes, name: str) -> Bvh:
    """Read a BVH file; DataError where it is none."""
    try:
        return read_bvh(data)
    except ValueError as error:
        raise DataError(
            f"cannot be read as BVH ({error})", where=name, remedy="Export it again"
        ) from error


def _pick_joints(
    there: Sequence[str], positions: NDArray[np.float32], layout: SkeletonLayout, name: str
) -> NDArray[np.float32]:
    folded = [joint.casefold() for joint in there]
    missing = [joint for joint in layout.joints if joint.casefold() not in folded]
    if missing or layout.dims != 3:
        raise DataError(
            f"has no joint {missing[0]!r}" if missing else "has three coordinates, not two",
            where=name,
            remedy=nearest(missing[0], there)[:500] if missing else "Say dims: 3 in layout.yaml",
        )
    return positions[:, [folded.index(joint.casefold()) for joint in layout.joints]]


def _columns(header: Sequence[str], layout: SkeletonLayout, name: str) -> list[int]:
    """Indices of the coordinates of all joints, in the order of the layout."""
    place = {column: i for i, column in enumerate(header)}
    wanted = [f"{joint.lower()}_{axis}" for joint in layout.joints for axis in "xyz"[: layout.dims]]
    for column in wanted:
        if column not in place or header.count(column) > 1:
            raise DataError(
                f"{'several columns' if column in place else 'no column'} {column!r} in the "
                f"header {shown(header)!r}",
                where=f"{name}, line 1",
                remedy=f"Name a column for each coordinate of layout {layout.name!r}, as in "
                f"{', '.join(wanted[: layout.dims])}",
            )
    return [place[column] for column in wanted]


def _npy(data: bytes, name: str, layout: SkeletonLayout) -> NDArray[np.float32]:
    """The array of an npy file, after a check of all that its header says."""
    want = (len(layout.joints), layout.dims)
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(stream, max_header_size=1000)
    except Exception as error:  # numpy raises nearly anything on a torn header
        raise DataError(
            "is no npy file", where=name, remedy="Write it with numpy.save, as floating numbers"
        ) from error
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind != "f" or len(shape) != 3 or shape[1:] != want or shape[0] < 2:
        raise DataError(
            f"holds {dtype} of shape {shape}, not floating numbers of shape "
            f"(frames, {want[0]}, {want[1]})",
            where=name,
            remedy=f"Save the {want[0]} joints of layout {layout.name!r}, two frames or more",
        )
    if len(data) - stream.tell() != size:
        raise DataError(
            f"holds {len(data) - stream.tell()} bytes of numbers where its header says {size}",
            where=name,
            remedy="Write it again",
        )
    values = np.frombuffer(data, dtype, offset=stream.tell())
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        joints = values.reshape(shape, order="F" if fortran else "C").astype(np.float32, order="C")
    if (np.abs(joints) > LARGEST).any():
        raise DataError("holds infinite numbers", where=name, remedy="Write nan where unseen")
    return joints
