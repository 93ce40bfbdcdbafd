"""A simulated body with 43 markers on it, six accelerometers, and a skeleton as BVH.

Everything hangs from frames of the segments, whose columns are, at rest in a T pose, left, up and
forward. A segment turns from the one before it by the shortest arc, so its frame follows from the
joints alone. The world is that of the official files: y up, and who looks along z has x to the
left; the simulation has x to the right and looks along -z.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from pskd.data.skeleton import BERKELEY_MHAD_BVH, BERKELEY_MHAD_MARKERS, KINECT_V1
from pskd.datasets.simulation.body import Array, Motion
from pskd.datasets.simulation.people import Person
from pskd.datasets.simulation.sensor import specific_force

PLACE = np.array([0.55, 0.09, -0.05])
"""Where the body stands, m; its ankles would be on the floor."""

_TO_WORLD = np.array([-1.0, 1.0, -1.0])
_DOWN = np.array([0.0, -1.0, 0.0])
_SIDES = {"left": 1.0, "right": -1.0}
_BELOW = 0.06  # m from the middle of the hips down to the root of the BVH hierarchy


@dataclass(frozen=True)
class Figure:
    """A moving body in the world of the official files.

    Attributes:
        joints: Place of the joints of `KINECT_V1` [T, 3], m, by name.
        frames: Axes of the segments as columns [T, 3, 3], by name: `pelvis`, `trunk`, and
            `left_` and `right_` `upper_arm`, `forearm`, `thigh`, `shank`.
    """

    joints: dict[str, Array]
    frames: dict[str, Array]


def figure(motion: Motion) -> Figure:
    """Return a simulated body as a figure."""
    joints = dict(
        zip(KINECT_V1.joints, (motion.joints * _TO_WORLD + PLACE).swapaxes(0, 1), strict=True)
    )
    hips = joints["left_hip"] - joints["right_hip"]
    middle = (joints["left_hip"] + joints["right_hip"]) / 2
    frames = {
        "pelvis": _frame(hips, joints["hip_center"] - middle),
        "trunk": _frame(
            joints["left_shoulder"] - joints["right_shoulder"],
            joints["shoulder_center"] - joints["hip_center"],
        ),
    }
    for name, side in _SIDES.items():
        out = np.array([side, 0.0, 0.0])
        for segment, before, start, stop, rest in (
            ("upper_arm", "trunk", "shoulder", "elbow", out),
            ("forearm", f"{name}_upper_arm", "elbow", "wrist", out),
            ("thigh", "pelvis", "hip", "knee", _DOWN),
            ("shank", f"{name}_thigh", "knee", "ankle", _DOWN),
        ):
            bone = joints[f"{name}_{stop}"] - joints[f"{name}_{start}"]
            frames[f"{name}_{segment}"] = _swung(frames[before], rest, bone)
    return Figure(joints, frames)


def markers(body: Figure) -> Array:
    """Place of the markers [T, 43, 3], m, in the order of the official files."""
    places: dict[str, Array] = {}

    def put(marker: str, segment: str, where: Array, *offset: float) -> None:
        places[marker] = where + body.frames[segment] @ np.array(offset)

    joint = body.joints
    put("head", "trunk", joint["head"], 0, 0.10, 0.09)
    put("backt", "trunk", joint["shoulder_center"], 0, -0.12, -0.11)
    put("chest", "trunk", joint["shoulder_center"], 0, -0.12, 0.11)
    put("backl", "trunk", joint["spine"], 0, 0.05, -0.11)
    put("bell", "trunk", joint["spine"], 0, 0.08, 0.12)
    for name, s in _SIDES.items():
        at = {part.removeprefix(f"{name}_"): place for part, place in joint.items()}
        upper, fore, thigh, shank = (
            f"{name}_{segment}" for segment in ("upper_arm", "forearm", "thigh", "shank")
        )
        m = name[0]
        put(f"{m}head", "trunk", joint["head"], 0.08 * s, 0.05, 0)
        put(f"{m}back", "pelvis", joint["hip_center"], 0.09 * s, 0.05, -0.11)
        put(f"{m}side", "pelvis", joint["hip_center"], 0.10 * s, 0.04, 0.10)
        put(f"{m}sho1", "trunk", at["shoulder"], -0.06 * s, 0.05, 0)
        put(f"{m}sho2", upper, _between(at["shoulder"], at["elbow"], 0.2), 0, 0.04, 0)
        put(f"{m}arm", upper, _between(at["shoulder"], at["elbow"], 0.75), 0, 0.04, 0)
        put(f"{m}elb", fore, _between(at["elbow"], at["wrist"], 0.08), 0, 0.03, 0)
        put(f"{m}wri", fore, _between(at["elbow"], at["wrist"], 0.9), 0, 0.03, 0)
        put(f"{m}han1", fore, at["hand"], 0, 0.02, 0)
        put(f"{m}han2", fore, at["hand"], 0, 0, 0.03)
        put(f"{m}han3", fore, at["hand"], 0, 0, -0.03)
        put(f"{m}hipb", "pelvis", at["hip"], 0.03 * s, 0, -0.09)
        put(f"{m}hipf", "pelvis", at["hip"], 0.03 * s, 0.02, 0.08)
        put(f"{m}hipl", "pelvis", at["hip"], 0.06 * s, -0.03, 0)
        put(f"{m}leg", thigh, _between(at["hip"], at["knee"], 0.7), 0.06 * s, 0, 0.02)
        put(f"{m}kne", thigh, at["knee"], 0.05 * s, 0, 0.03)
        put(f"{m}ank", shank, _between(at["knee"], at["ankle"], 0.85), 0.04 * s, 0, 0)
        put(f"{m}hee", "pelvis", at["ankle"], 0, -0.05, -0.05)
        put(f"{m}foo", "pelvis", at["foot"], 0.02 * s, -0.05, 0)
    return np.stack([places[marker] for marker in BERKELEY_MHAD_MARKERS.joints], axis=1)


def forces(body: Figure, motion: Motion, who: Person) -> list[Array]:
    """What perfect sensors Shimmer01 to Shimmer06 would feel [T, 3], g."""
    sensors = []
    for part, segment in (("wrist", "_forearm"), ("hip", "pelvis"), ("ankle", "_shank")):
        for name, side in _SIDES.items():
            frame = body.frames[segment if segment == "pelvis" else name + segment]
            beside = np.array([0.04 * side, 0.0, 0.0])
            sensors.append((body.joints[f"{name}_{part}"] + frame @ beside, frame))
    sensors[1] = who.mounting.pose(motion)  # the watch of the simulation
    return [specific_force(place, frame, motion.rate) for place, frame in sensors]


@dataclass(frozen=True)
class _Node:
    parent: str
    offset: Array
    frame: str
    """The segment that it turns with."""


def skeleton(body: Figure, who: Person) -> Array:
    """Place of the joints of the BVH hierarchy [T, 30, 3], m, in the order of its layout."""
    places = {"": body.joints["hip_center"]}
    for name, node in _nodes(who).items():
        before = _nodes(who)[node.parent].frame if node.parent else "pelvis"
        places[name] = places[node.parent] + body.frames[before] @ node.offset
    return np.stack([places[name] for name in BERKELEY_MHAD_BVH.joints], axis=1)


def bvh(body: Figure, who: Person, rate: float, *, official: bool = True) -> bytes:
    """Write the motion as a BVH file, in cm.

    Args:
        body: It, at `rate` Hz.
        who: Whose lengths the bones have.
        rate: Frames a second.
        official: With the hierarchy of the official files; else with legs before arms, six channels
            at every joint and another order of rotations.
    """
    nodes = _nodes(who)
    order: Literal["ZYX", "YXZ"] = "ZYX" if official else "YXZ"
    names = list(nodes) if official else sorted(nodes, key=_legs_first)
    children: dict[str, list[str]] = {"": []}
    for name in names:
        children[name] = []
        children[nodes[name].parent].append(name)
    lines, columns = ["HIERARCHY"], []
    open_ = [(name, 0) for name in reversed(children[""])]
    while open_:
        name, depth = open_.pop()
        margin = "\t" * depth
        if name == "}":
            lines.append(margin + name)
            continue
        node = nodes[name]
        before = body.frames[nodes[node.parent].frame] if node.parent else None
        root = 100 * (body.joints["hip_center"] + body.frames["pelvis"] @ node.offset)
        offset = 100 * node.offset if node.parent else root[0]
        moves = "XYZ" if not node.parent or not official else ""
        channels = [f"{a}position" for a in moves] + [f"{a}rotation" for a in order]
        lines += [
            f"{margin}{'JOINT' if node.parent else 'ROOT'} {name}",
            f"{margin}{{",
            f"{margin}\tOFFSET {_text(offset)}",
            f"{margin}\tCHANNELS {len(channels)} {' '.join(channels)}",
        ]
        if moves:
            columns.append(np.broadcast_to(offset if node.parent else root, root.shape))
        frame = body.frames[node.frame]
        local = frame if before is None else before.swapaxes(1, 2) @ frame
        columns.append(Rotation.from_matrix(local).as_euler(order, degrees=True))
        if name in _ENDS:
            end = [
                f"{margin}\tEnd Site",
                f"{margin}\t{{",
                f"{margin}\t\tOFFSET {_text(_ENDS[name])}",
            ]
            lines += [*end, f"{margin}\t}}"]
        open_ += [("}", depth), *((child, depth + 1) for child in reversed(children[name]))]
    motion = np.hstack(columns)
    lines += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / rate:.7f}"]
    return "\n".join([*lines, *map(_text, motion.tolist()), ""]).encode()


_ENDS = {
    "Head": (0.0, 10.0, 0.0),
    "RightHand": (-8.0, 0.0, 0.0),
    "LeftHand": (8.0, 0.0, 0.0),
    "RightToeBase": (0.0, 0.0, 5.0),
    "LeftToeBase": (0.0, 0.0, 5.0),
}
"""End sites and where they are, cm."""


def _nodes(who: Person) -> dict[str, _Node]:
    """The hierarchy, offsets in metres; joints come after their parents."""
    lengths = who.body
    nodes: dict[str, _Node] = {}

    def hang(name: str, parent: str, frame: str, *offset: float) -> None:
        nodes[name] = _Node(parent, np.array(offset), frame)

    hang("Hips", "", "pelvis", 0, -_BELOW, 0)
    hang("spine", "Hips", "trunk", 0, _BELOW, 0)
    hang("spine1", "spine", "trunk", 0, 0.3 * lengths.torso, 0)
    hang("spine2", "spine1", "trunk", 0, 0.3 * lengths.torso, 0)
    hang("Neck", "spine2", "trunk", 0, 0.4 * lengths.torso, 0)
    hang("Head", "Neck", "trunk", 0, lengths.head, 0)
    for side, s in (("Right", -1.0), ("Left", 1.0)):
        upper, fore = (f"{side.lower()}_{part}" for part in ("upper_arm", "forearm"))
        arm, hand = s * lengths.upper_arm / 2, s * lengths.forearm / 2
        collar = 0.4 * lengths.torso - lengths.shoulder_drop
        hang(f"{side}Shoulder", "spine2", "trunk", 0.03 * s, collar, 0)
        out = lengths.shoulder_width - 0.03
        hang(f"{side}Arm", f"{side}Shoulder", upper, out * s, 0, 0)
        hang(f"{side}ArmRoll", f"{side}Arm", upper, arm, 0, 0)
        hang(f"{side}ForeArm", f"{side}ArmRoll", fore, arm, 0, 0)
        hang(f"{side}ForeArmRoll", f"{side}ForeArm", fore, hand, 0, 0)
        hang(f"{side}Hand", f"{side}ForeArmRoll", fore, hand, 0, 0)
    for side, s in (("Right", -1.0), ("Left", 1.0)):
        thigh, shank = (f"{side.lower()}_{part}" for part in ("thigh", "shank"))
        drop = _BELOW - lengths.hip_drop
        hang(f"{side}UpLeg", "Hips", thigh, lengths.hip_width * s, drop, 0)
        hang(f"{side}UpLegRoll", f"{side}UpLeg", thigh, 0, -lengths.thigh / 2, 0)
        hang(f"{side}Leg", f"{side}UpLegRoll", shank, 0, -lengths.thigh / 2, 0)
        hang(f"{side}LegRoll", f"{side}Leg", shank, 0, -lengths.shank / 2, 0)
        hang(f"{side}Foot", f"{side}LegRoll", "pelvis", 0, -lengths.shank / 2, 0)
        hang(f"{side}ToeBase", f"{side}Foot", "pelvis", 0, 0, lengths.foot)
    return nodes


def _legs_first(name: str) -> bool:
    return not name.endswith(("Leg", "LegRoll", "Foot", "ToeBase", "Hips"))


def _text(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.6f}" for number in numbers)


def _between(one: Array, other: Array, share: float) -> Array:
    return (1 - share) * one + share * other


def _frame(left: Array, up: Array) -> Array:
    """Frames [T, 3, 3] out of two directions [T, 3] that are at right angles."""
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (left, up))
    return np.stack([x, y, np.cross(x, y)], axis=2)


def _swung(frames: Array, rest: Array, bone: Array) -> Array:
    """Turn frames by the shortest arc that brings what lies along `rest` in them to `bone`."""
    aim = np.einsum("tij,ti->tj", frames, bone / np.linalg.norm(bone, axis=1, keepdims=True))
    half = rest + aim
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    quaternion = np.hstack([np.cross(rest, half), (half @ rest)[:, None]])
    swung: Array = frames @ Rotation.from_quat(quaternion).as_matrix()
    return swung
