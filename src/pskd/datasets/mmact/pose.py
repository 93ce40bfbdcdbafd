"""Pose files of MMAct: two people in an image, joint by joint as x, y and confidence.

COCO joints come as JSON with the challenge data: an object of frames, each an object with
`person1` and `person2`, each a list of 17 x 3 numbers, flat or nested; empty or missing where
nobody was found. OpenPose joints, which users of the data extracted themselves, come as one array
a clip.

A frame says where the people are, not who is who. People are followed from frame to frame by the
nearest place.
"""

from __future__ import annotations

import io
import json
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pskd.data.skeleton import SkeletonLayout

FILE_BYTES = 8 << 20
"""A clip of 9 s with two people has about 0.5 MiB."""
_FRAMES = 20_000  # eleven minutes at 30 a second
_PIXELS = 1e5  # no picture is larger
_SEEN = 0.25  # least part of the joints of a person that must be seen over a clip
_STEADY = 10  # frames over which detections are averaged to tell movement from trembling
_TORSO = 0.02  # least length of a torso, in parts of the extent of the body

Array = NDArray[np.float64]


def read_coco(data: bytes) -> Array:
    """Parse JSON into [F, 2, 17, 3]: x and y in pixels, y down, and confidence; 0 if not seen.

    Frames are placed by the numbers in their names, and those left out are frames without people;
    where names have no such numbers, frames follow each other as in the file.

    Raises:
        ValueError: It is no JSON, is nested too deeply, holds a key twice, NaN or a wrong shape.
    """
    try:
        frames = json.loads(data, object_pairs_hook=_object, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"is no JSON ({error})") from None
    if not isinstance(frames, dict) or not 1 <= len(frames) <= _FRAMES:
        raise ValueError(f"is no object of 1 to {_FRAMES} frames")
    places = _places(list(frames))
    people, where = [], []
    for place, (name, frame) in zip(places, frames.items(), strict=True):
        if not isinstance(frame, dict):
            raise ValueError(f"frame {name[:40]!r} is no object with person1 and person2")
        for slot, key in enumerate(("person1", "person2")):
            if person := frame.get(key):
                people.append(person)
                where.append((place, slot))
    poses = np.zeros((max(places) + 1, 2, 17, 3))
    if people:
        try:
            values = np.asarray(people, np.float64)  # else a text among them makes a huge array
        except (ValueError, TypeError, OverflowError):
            values = np.empty(0)
        if values.shape[1:] not in ((51,), (17, 3)):
            raise ValueError("a person is not 17 joints of three numbers")
        poses[tuple(np.transpose(where))] = _in_picture(values.reshape(-1, 17, 3))
    return poses


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object holds a key twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no coordinate")


def _places(names: list[str]) -> list[int]:
    numbers = [re.search(r"(\d{1,9})\D*$", name[-40:]) for name in names]
    places = [int(number[1]) for number in numbers if number]
    first = min(places, default=0)
    if len(set(places)) == len(names) and max(places) - first < 2 * len(names):
        return [place - first for place in places]
    return list(range(len(names)))


def _in_picture(values: NDArray[Any]) -> Array:
    if not (np.abs(values) < _PIXELS).all():
        raise ValueError(f"a coordinate is not within {_PIXELS:g} pixels")
    return values.astype(np.float64)


def read_openpose(data: bytes) -> Array:
    """Parse an array [F, 18, 3] or [F, 18, 3, people] into [F, people, 18, 3]; at most 2 people.

    Raises:
        ValueError: It is no array of numbers of such a shape, or its length is not as it says.
    """
    stream = io.BytesIO(data)
    try:
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[np.lib.format.read_magic(stream)]
        shape, fortran, dtype = read(stream)
    except Exception as error:  # its header is parsed as Python, which fails in many ways
        raise ValueError("is no .npy file") from error
    if dtype.kind not in "if" or len(shape) not in (3, 4) or shape[1:3] != (18, 3):
        raise ValueError(f"holds {dtype} of shape {shape}, expected numbers [frames, 18, 3]")
    if not 1 <= shape[0] <= _FRAMES or shape[3:] not in ((), (1,), (2,)):
        raise ValueError(f"holds {shape[0]} frames of {shape[3:]} people")
    if len(data) - stream.tell() != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"is cut off, or longer than its shape {shape}")
    values = np.frombuffer(data, dtype, offset=stream.tell())
    values = values.reshape(shape, order="F" if fortran else "C").reshape(shape[0], 18, 3, -1)
    unseen = ~np.isfinite(values).all(axis=2, keepdims=True)  # as numpy users write what is missing
    return _in_picture(np.where(unseen, 0, values)).transpose(0, 3, 1, 2)


def skeleton(poses: Array, layout: SkeletonLayout, persons: int) -> NDArray[np.float32] | None:
    """Make a skeleton of what was seen in a picture.

    Of two people the first is the one that moves more for its size, if it was seen at least half as
    often as the other. A joint that was not seen is interpolated in time; one that was never
    seen is where its parent is, but a shoulder or hip where that of the other side is.

    Args:
        poses: [F, people, J, 3].
        layout: Layout of one person.
        persons: How many to give. A second one that is missing has all its joints at the root of
            the first.

    Returns:
        [F, persons * J, 2] in pixels, y up; None if less than a quarter of the joints of the first
        person were seen, or no torso.
    """
    if len(poses) < 2:
        return None
    if poses.shape[1] == 2 and (poses[:, 1, :, 2] > 0).any():
        poses = _followed(poses)
    bodies = [_filled(poses[:, i], layout) for i in range(poses.shape[1])]
    coverage = (poses[..., 2] > 0).mean(axis=(0, 2))
    merits = []
    for body, seen in zip(bodies, coverage, strict=True):
        well = seen >= coverage.max() / 2
        merits.append(-2.0 if body is None else _movement(body) if well else -1.0)
    first, *others = (bodies[i] for i in np.argsort(np.negative(merits), kind="stable"))
    if first is None:
        return None
    if persons == 2:
        second = others[0] if others else None
        if second is None:
            second = np.broadcast_to(first[:, layout.root, None], first.shape)
        first = np.concatenate([first, second], axis=1)
    upright: NDArray[np.float32] = (first * [1, -1]).astype(np.float32)
    return upright


def _followed(poses: Array) -> Array:
    """Swap people where their numbers were swapped: [F, 2, J, 3]."""
    weight = np.clip(poses[..., 2], 0, None)
    total = weight.sum(axis=2)
    centre = (poses[..., :2] * weight[..., None]).sum(axis=2)
    centre /= np.where(total > 0, total, 1)[..., None]
    there = total > 0
    away = np.linalg.norm(poses[..., :2] - centre[:, :, None], axis=-1)
    reach = 3 * float((away * weight).sum() / weight.sum())  # nobody gets so far in a frame
    last: list[list[float] | None] = [None, None]
    swap = []
    for found, at in zip(there.tolist(), centre.tolist(), strict=True):
        cost = [0.0, 0.0]  # as numbered, and swapped
        for slot in (0, 1):
            if found[slot]:
                for way in (0, 1):
                    old = last[slot ^ way]
                    cost[way] += reach if old is None else math.dist(old, at[slot])
        way = int(cost[1] < cost[0])
        swap.append(bool(way))
        for slot in (0, 1):
            if found[slot]:
                last[slot ^ way] = at[slot]
    return np.where(np.array(swap)[:, None, None, None], poses[:, ::-1], poses)


def _filled(body: Array, layout: SkeletonLayout) -> Array | None:
    """Positions [F, J, 2] of one person without holes, of [F, J, 3]; None if too little is seen."""
    seen = body[..., 2] > 0
    if seen.mean() < _SEEN:
        return None
    at = body[..., :2].copy()
    time = np.arange(len(body))
    for joint, count in enumerate(seen.sum(axis=0).tolist()):
        if 0 < count < len(body):
            when = np.flatnonzero(seen[:, joint])
            for axis in (0, 1):
                at[:, joint, axis] = np.interp(time, when, at[when, joint, axis])
    known: NDArray[np.bool_] = np.any(seen, axis=0)
    for joint in _outward(layout):
        if not known[joint]:
            at[:, joint] = _stand_in(at, joint, known, layout)
    upper, lower = layout.torso
    torso = np.hypot(*(at[:, upper] - at[:, lower]).T).mean()
    return at if torso > _TORSO * _size(at) else None


def _size(body: Array) -> float:
    return float(np.ptp(body, axis=1).max(axis=1).mean())


def _movement(body: Array) -> float:
    """How far joints of [F, J, 2] go from where they are on average, in sizes of the body.

    Means over a few frames count, so that the trembling of what was detected does not.
    """
    few = max(1, min(_STEADY, len(body) // 4))
    steady = body[: len(body) // few * few].reshape(-1, few, *body.shape[1:]).mean(axis=1)
    away = steady - steady.mean(axis=0)
    return float(np.hypot(away[..., 0], away[..., 1]).mean()) / _size(body)


def _stand_in(at: Array, joint: int, known: NDArray[np.bool_], layout: SkeletonLayout) -> Array:
    side, _, part = layout.joints[joint].partition("_")
    source = layout.parents[joint]
    if part in ("shoulder", "hip"):
        twin = layout.index(("left_" if side == "right" else "right_") + part)
        source = twin if known[twin] else source
    place: Array = at[:, known].mean(axis=1) if source == joint else at[:, source]
    return place


def _outward(layout: SkeletonLayout) -> list[int]:
    """Joints so that each comes after its parent."""
    order = [layout.root]
    for joint in order:
        order += [child for child, parent in layout.edges if parent == joint]
    return order
