from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pskd.data.bvh import read_bvh


@dataclass
class Node:
    """A joint of the tests' own BVH writer; without channels it is an end site."""

    name: str
    offset: list[float]
    channels: list[str] | None
    children: list[Node] = field(default_factory=list)

    def text(self, kind: str = "ROOT") -> str:
        if self.channels is None:
            return f"End Site {{ OFFSET {' '.join(map(repr, self.offset))} }}\n"
        inside = "".join(child.text("JOINT") for child in self.children)
        return (
            f"{kind} {self.name}\n{{\n OFFSET {' '.join(map(repr, self.offset))}\n"
            f" CHANNELS {len(self.channels)} {' '.join(self.channels)}\n{inside}}}\n"
        )

    def walk(self, row: list[float], above: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Take this joint's numbers off a row; return the place of it and of all below it."""
        step, turn = list(self.offset), Rotation.identity()
        for channel in self.channels or []:
            value, axis = row.pop(0), channel[0].upper()
            if channel.lower().endswith("position"):
                step["XYZ".index(axis)] = value
            else:
                turn = turn * Rotation.from_euler(axis, value, degrees=True)
        own = np.eye(4)
        own[:3, :3], own[:3, 3] = turn.as_matrix(), step
        own = above @ own
        return [own[:3, 3], *(p for child in self.children for p in child.walk(row, own))]

    def count(self) -> int:
        return len(self.channels or []) + sum(child.count() for child in self.children)


def write(root: Node, motion: NDArray[np.float64], seconds: float = 1 / 30) -> bytes:
    rows = "\n".join(" ".join(map(repr, row)) for row in motion.tolist())
    head = f"MOTION\nFrames: {len(motion)}\nFrame Time: {seconds}\n"
    return f"HIERARCHY\n{root.text()}{head}{rows}\n".encode()


def body(rng: np.random.Generator, order: str) -> Node:
    def offset() -> list[float]:
        return rng.normal(0.0, 10.0, 3).tolist()

    turns = [f"{axis}rotation" for axis in order]
    moves = ["Xposition", "Yposition", "Zposition"]
    hand = Node("Hand", offset(), ["Zrotation"], [Node("Hand_end", offset(), None)])
    arm = Node("Arm", offset(), [turns[0], *moves[1:], *turns[1:]], [hand])
    spine = Node("Spine", offset(), turns, [arm, Node("Neck", offset(), [], [])])
    leg = Node("Left Leg", offset(), [t.upper() for t in turns[::-1]], [])
    leg.children.append(Node("Left Leg_end", offset(), None))
    return Node("Hips", offset(), moves + turns, [spine, leg])


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"])
def test_positions_are_those_of_matrices_multiplied_by_hand(order: str) -> None:
    rng = np.random.default_rng(len(order) + ord(order[0]) + ord(order[1]))
    root = body(rng, order)
    motion = rng.uniform(-200, 200, (7, root.count()))
    bvh = read_bvh(write(root, motion, 0.0125))
    expected = [root.walk(row, np.eye(4)) for row in motion.tolist()]
    assert bvh.joints == (
        "Hips", "Spine", "Arm", "Hand", "Hand_end", "Neck", "Left Leg", "Left Leg_end",
    )  # fmt: skip
    assert bvh.parents == (0, 0, 1, 2, 3, 1, 0, 6)
    assert bvh.frame_seconds == 0.0125 and bvh.positions.dtype == np.float32
    np.testing.assert_allclose(bvh.positions, expected, atol=1e-4)


def test_many_frames_are_moved_as_few_are() -> None:
    rng = np.random.default_rng(3)
    root = body(rng, "ZXY")
    motion = rng.uniform(-90, 90, (2500, root.count()))
    whole = read_bvh(write(root, motion)).positions
    for start in (0, 1000, 2400):
        part = read_bvh(write(root, motion[start : start + 100])).positions
        np.testing.assert_array_equal(whole[start : start + 100], part)


def test_a_position_stands_in_place_of_the_offset() -> None:
    child = Node("Child", [0.0, 1.0, 0.0], ["Yposition"])
    root = Node("Root", [50.0, 90.0, 0.0], ["Xposition", "Yposition", "Zposition"], [child])
    bvh = read_bvh(write(root, np.array([[51.0, 92.0, 3.0, 7.0]])))
    np.testing.assert_array_equal(bvh.positions[0], [[51, 92, 3], [51, 99, 3]])


GOOD = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Spine
  {
    OFFSET 0 10 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 5 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.01
1 2 3 4 5 6 7 8 9
1 2 3 4 5 6 7 8 9
"""
BAD = {
    "empty": (GOOD, "", "line 1: ends too early"),
    "text": (GOOD, "dear all", "line 1: 'dear' where HIERARCHY should be"),
    "no root": ("ROOT Hips", "JOINT Hips", "line 2: 'JOINT' where ROOT should be"),
    "no name": ("JOINT Spine", "JOINT", "line 7: a joint without a name"),
    "no brace": ("JOINT Spine\n  {", "JOINT Spine }", "line 6: '{' expected"),
    "long name": ("Spine", "S" * 101, "a word of more than 100 letters"),
    "same name": ("Spine", "Hips", "line 7: two joints are called 'Hips'"),
    "no offset": ("OFFSET 0 10 0", "", "line 14: Spine has no OFFSET"),
    "two offsets": ("OFFSET 0 10 0", "OFFSET 0 10 0 OFFSET 0 10 0", "'OFFSET' is out of place"),
    "short offset": ("OFFSET 0 10 0", "OFFSET 0 10", "'CHANNELS' where a number should be"),
    "nan": ("OFFSET 0 10 0", "OFFSET 0 nan 0", "line 8: 'nan' is not finite"),
    "infinite": ("OFFSET 0 5 0", "OFFSET 0 1e999 0", "line 12: '1e999' is not finite"),
    "channel": ("3 Zrotation", "3 Wrotation", "line 9: Spine has the channels wrotation"),
    "channel twice": ("3 Zrotation Xrotation", "3 Zrotation Zrotation", "has the channels"),
    "channels": ("CHANNELS 3 Z", "CHANNELS 9 Z", "number of channels is '9', not 0 to 6"),
    "channel count": ("CHANNELS 3 Z", "CHANNELS -3 Z", "number of channels is '-3'"),
    "end with channels": ("OFFSET 0 5 0", "OFFSET 0 5 0 CHANNELS 0", "'CHANNELS' is out of place"),
    "end with joint": ("OFFSET 0 5 0", "OFFSET 0 5 0 JOINT x {", "'JOINT' is out of place"),
    "torn": ("}\n}\nMOTION", "}\n", "out of place in Hips"),
    "frames": ("Frames: 2", "Frames: two", "line 17: the number of frames is 'two'"),
    "negative frames": ("Frames: 2", "Frames: -2", "the number of frames is '-2'"),
    "no frames": ("Frames: 2", "Frames: 0", "0 frames of 9 channels are no motion"),
    "many frames": ("Frames: 2", "Frames: 7000000", "7000000 frames of 3 joints are too many"),
    "most frames": ("Frames: 2", "Frames: " + "9" * 90, "the number of frames is '9999"),
    "frame time": ("0.01", "0", "line 18: a frame takes 0 s"),
    "long frame": ("0.01", "1e9", "a frame takes 1e[+]09 s"),
    "row missing": ("Frames: 2", "Frames: 3", "has 2 rows of motion, but says 3 frames"),
    "row too many": ("Frames: 2", "Frames: 1", "after line 18: has 2 rows, expected 1 at most"),
    "short row": ("7 8 9\n1", "7 8\n1", "after line 18: row 1 has 8 columns, expected 9"),
    "short rows": ("7 8 9", "7 8", "after line 18: has 8 columns, expected 9"),
    "no rows": ("1 2 3 4 5 6 7 8 9\n", "", "after line 18: is empty"),
    "not finite": ("7 8 9\n1", "7 8 inf\n1", "after line 18: row 1 has a value that is not finite"),
    "no number": ("7 8 9\n1", "7 8 x\n1", "after line 18: row 1 has 'x' where a number"),
    "far away": ("1 2 3 4", "1e300 2 3 4", "its joints are infinitely far away"),
    "not ascii": ("Spine", "Späne", "is no plain text"),
}


@pytest.mark.parametrize(("old", "new", "message"), BAD.values(), ids=BAD)
def test_bad_files_by_name(old: str, new: str, message: str) -> None:
    assert read_bvh(GOOD.encode()).positions.shape == (2, 3, 3)
    assert old in GOOD
    with pytest.raises(ValueError, match=message):
        read_bvh(GOOD.replace(old, new).encode())


def nested(depth: int) -> bytes:
    joints = "".join(f"JOINT j{n} {{ OFFSET 0 1 0 CHANNELS 0\n" for n in range(depth - 1))
    root = f"ROOT r {{ OFFSET 0 0 0 CHANNELS 1 Xrotation {joints}{'}' * depth}"
    return f"HIERARCHY {root} MOTION Frames: 1 Frame Time: 1\n90\n".encode()


def test_deep_trees_are_read_and_deeper_ones_refused() -> None:
    positions = read_bvh(nested(1000)).positions
    np.testing.assert_allclose(positions[0, -1], [0, 0, 999], atol=1e-3)
    with pytest.raises(ValueError, match="more than 1000 joints"):
        read_bvh(nested(1001))


def test_hostile_sizes_take_neither_memory_nor_time() -> None:
    files = (
        GOOD.replace("Frames: 2", "Frames: 800000").encode(),
        nested(200_000),
        b"HIERARCHY ROOT " + b"x " * 500_000,
        b"HIERARCHY ROOT " + b"x" * 1_000_000,
        b"{" * 1_000_000,
    )
    tracemalloc.start()
    started = time.monotonic()
    for data in files:
        with pytest.raises(ValueError):
            read_bvh(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20 and time.monotonic() - started < 5


WORDS = st.sampled_from(
    ["{", "}", "JOINT", "End Site", "OFFSET", "CHANNELS", "MOTION", "Frames:", "-1", "1e308", "nan"]
)


@settings(max_examples=300)
@given(
    cuts=st.lists(
        st.tuples(
            st.integers(0, len(GOOD)),
            st.integers(0, 12),
            st.binary(max_size=3) | WORDS.map(lambda word: f" {word} ".encode()),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_damage_is_refused_or_harmless(cuts: list[tuple[int, int, bytes]]) -> None:
    data = GOOD.encode()
    for at, length, new in cuts:
        data = data[:at] + new + data[at + length :]
    try:
        bvh = read_bvh(data)
    except ValueError:
        return
    assert np.isfinite(bvh.positions).all() and 0 < bvh.frame_seconds <= 10
    assert bvh.positions.shape[1:] == (len(bvh.joints), 3) == (len(bvh.parents), 3)
