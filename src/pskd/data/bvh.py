"""Joint positions out of BVH files, from untrusted bytes.

Format: Biovision Hierarchy. HIERARCHY is a tree of joints, each with its OFFSET from its parent and
the names of its CHANNELS; MOTION has a row of numbers for every frame, the channels of all joints
in the order of the tree. Rotations are degrees about the joint's own axes, done in the order in
which the channels stand. A position channel stands in place of the OFFSET along its axis and is not
added to it, so that a root that has both is where its channels say.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pskd.data.rows import read_rows

_MOST_JOINTS = 1000
_MOST_NUMBERS = 8_000_000  # frames times joints, or times channels; 1.4 million in Berkeley-MHAD
_LONGEST_NAME = 100
_LONGEST_FRAME = 10.0  # seconds
_BLOCK = 1024  # frames moved at once, which bounds the memory

_TOKEN = re.compile(rb"[{}]|[^\s{}]+")
_CHANNEL = re.compile("[XYZ](position|rotation)", re.IGNORECASE)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Bvh:
    """What a BVH file says.

    Attributes:
        joints: Names of the J joints, in the order of the file. End sites count as joints and are
            called `<parent>_end`.
        parents: Index of the parent of each joint; the root is its own parent.
        frame_seconds: Seconds from one frame to the next.
        positions: Place of every joint [F, J, 3], float32, finite, in the unit of the file.
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    frame_seconds: float
    positions: NDArray[np.float32]


@dataclass
class _Joint:
    name: str
    parent: int
    end: bool
    offset: list[float] = field(default_factory=list)
    channels: list[str] | None = None


def read_bvh(data: bytes) -> Bvh:
    """Parse a file and move its skeleton.

    Raises:
        ValueError: It is no such file, torn, over a bound, or not finite; and where.
    """
    tokens = _Tokens(data)
    joints = _hierarchy(tokens)
    tokens.expect("MOTION", "FRAMES:")
    frames = tokens.whole("the number of frames", _MOST_NUMBERS)
    tokens.expect("FRAME", "TIME:")
    seconds = tokens.number()
    if not 0 < seconds <= _LONGEST_FRAME:
        raise tokens.error(f"a frame takes {seconds:g} s")
    channels = sum(len(joint.channels or ()) for joint in joints)
    if not frames or not channels:
        raise tokens.error(f"{frames} frames of {channels} channels are no motion")
    if frames * max(channels, len(joints)) > _MOST_NUMBERS:
        raise tokens.error(f"{frames} frames of {len(joints)} joints are too many")
    try:
        motion = read_rows(data[tokens.end :], channels, frames)
    except ValueError as error:
        raise ValueError(f"after line {tokens.line}: {error}") from error
    if len(motion) != frames:
        raise ValueError(f"has {len(motion)} rows of motion, but says {frames} frames")
    positions = _move(joints, motion)
    if not np.isfinite(positions).all():
        raise ValueError("its joints are infinitely far away")
    names = tuple(joint.name for joint in joints)
    return Bvh(names, tuple(joint.parent for joint in joints), seconds, positions)


class _Tokens:
    """The words of a file, one by one."""

    def __init__(self, data: bytes) -> None:
        if not data.isascii():
            raise ValueError("is no plain text")
        self._data = data
        self._matches = _TOKEN.finditer(data)
        self.end = 0

    @property
    def line(self) -> int:
        """Line of the last word."""
        return self._data.count(b"\n", 0, self.end) + 1

    def error(self, what: str) -> ValueError:
        return ValueError(f"line {self.line}: {what}")

    def next(self) -> str:
        match = next(self._matches, None)
        if match is None:
            raise self.error("ends too early")
        self.end = match.end()
        if match.end() - match.start() > _LONGEST_NAME:
            raise self.error(f"a word of more than {_LONGEST_NAME} letters")
        return match[0].decode()

    def expect(self, *words: str) -> None:
        for word in words:
            if (found := self.next()).upper() != word:
                raise self.error(f"{found!r} where {word} should be")

    def name(self) -> str:
        """Read words up to the next brace."""
        words: list[str] = []
        while (word := self.next()) != "{":
            words.append(word)
            if word == "}" or sum(map(len, words)) > _LONGEST_NAME:
                raise self.error("'{' expected after the name of a joint")
        if not words:
            raise self.error("a joint without a name")
        return " ".join(words)

    def number(self) -> float:
        word = self.next()
        try:
            value = float(word)
        except ValueError:
            raise self.error(f"{word!r} where a number should be") from None
        if not math.isfinite(value):
            raise self.error(f"{word!r} is not finite")
        return value

    def whole(self, what: str, most: int) -> int:
        word = self.next()
        if not word.isdigit() or len(word) > 9 or int(word) > most:
            raise self.error(f"{what} is {word!r}, not 0 to {most}")
        return int(word)


def _hierarchy(tokens: _Tokens) -> list[_Joint]:
    tokens.expect("HIERARCHY", "ROOT")
    joints = [_Joint(tokens.name(), 0, end=False)]
    names = {joints[0].name}
    inside = [0]  # joints whose braces are open
    while inside:
        joint = joints[inside[-1]]
        word = tokens.next().upper()
        if word == "}":
            if not joint.offset:
                raise tokens.error(f"{joint.name} has no OFFSET")
            inside.pop()
        elif word == "OFFSET" and not joint.offset:
            joint.offset = [tokens.number() for _ in range(3)]
        elif word == "CHANNELS" and joint.channels is None and not joint.end:
            count = tokens.whole("the number of channels", 6)
            joint.channels = [tokens.next().lower() for _ in range(count)]
            if len(set(joint.channels)) < count or not all(map(_CHANNEL.fullmatch, joint.channels)):
                raise tokens.error(f"{joint.name} has the channels {' '.join(joint.channels)}")
        elif word in ("JOINT", "END") and not joint.end:
            name = tokens.name()
            if word == "END":
                name = f"{joint.name}_end"
            if name in names:
                raise tokens.error(f"two joints are called {name!r}")
            if len(joints) == _MOST_JOINTS:
                raise tokens.error(f"more than {_MOST_JOINTS} joints")
            names.add(name)
            joints.append(_Joint(name, inside[-1], end=word == "END"))
            inside.append(len(joints) - 1)
        else:
            raise tokens.error(f"{word!r} is out of place in {joint.name}")
    return joints


def _move(joints: list[_Joint], motion: Array) -> NDArray[np.float32]:
    positions = np.empty((len(motion), len(joints), 3), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is found afterwards
        for start in range(0, len(motion), _BLOCK):
            positions[start : start + _BLOCK] = _move_block(joints, motion[start : start + _BLOCK])
    return positions


def _move_block(joints: list[_Joint], motion: Array) -> Array:
    """Forward kinematics of F frames: [F, J, 3]."""
    places = np.empty((len(motion), len(joints), 3))
    frames: list[Array] = []  # the axes of each joint in the world, as columns [F, 3, 3]
    columns = iter(motion.T)
    for index, joint in enumerate(joints):
        root = index == joint.parent
        frame = np.broadcast_to(np.eye(3), (len(motion), 3, 3)) if root else frames[joint.parent]
        step = np.tile(joint.offset, (len(motion), 1))
        turned = frame
        for channel in joint.channels or ():
            axis = "xyz".index(channel[0])
            if channel.endswith("position"):
                step[:, axis] = next(columns)
            else:
                turned = _turn(turned, axis, next(columns))
        frames.append(turned)
        places[:, index] = np.einsum("fij,fj->fi", frame, step)
        if not root:
            places[:, index] += places[:, joint.parent]
    return places


def _turn(frames: Array, axis: int, degrees: Array) -> Array:
    """Rotate frames [F, 3, 3], whose columns are axes, about one of their own axes."""
    angle = np.deg2rad(degrees)[:, None]
    c, s = np.cos(angle), np.sin(angle)
    j, k = (axis + 1) % 3, (axis + 2) % 3
    turned = frames.copy()
    turned[:, :, j] = c * frames[:, :, j] + s * frames[:, :, k]
    turned[:, :, k] = c * frames[:, :, k] - s * frames[:, :, j]
    return turned
