"""A 20-joint body moved by its joint angles.

World axes are those of a Kinect that the person faces: x to the person's right, y up, z away from
the camera, so that the person looks along -z. All angles are degrees, all lengths metres.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.ndimage import gaussian_filter1d

from pskd.data.skeleton import KINECT_V1

Array = NDArray[np.float64]
Angle = float | Array
"""One angle for the whole clip, or one for each moment [T]."""

RIGHT, UP, BACK = 0, 1, 2
_FOOTING = 0.03  # metres of height over which weight passes from one foot to the other
_GIVE = 0.05  # seconds over which joints and soft tissue smooth the changes of footing


@dataclass(frozen=True)
class Body:
    """Segment lengths of one person."""

    spine: float = 0.08
    torso: float = 0.42
    head: float = 0.19
    shoulder_width: float = 0.16
    shoulder_drop: float = 0.10
    upper_arm: float = 0.27
    forearm: float = 0.24
    hand: float = 0.08
    hip_width: float = 0.08
    hip_drop: float = 0.07
    thigh: float = 0.43
    shank: float = 0.37
    foot: float = 0.09


@dataclass
class Arm:
    """Angles of one arm. All zero: it hangs, thumb forward.

    `flexion` raises it forward, `abduction` sideways away from the body, `rotation` turns the
    upper arm inward, `elbow` bends, `pronation` rolls the forearm and hand inward.
    """

    flexion: Angle = 0.0
    abduction: Angle = 0.0
    rotation: Angle = 0.0
    elbow: Angle = 0.0
    pronation: Angle = 0.0


@dataclass
class Leg:
    """Angles of one leg: `hip` raises the thigh forward, `spread` sideways, `knee` bends."""

    hip: Angle = 0.0
    spread: Angle = 0.0
    knee: Angle = 0.0


@dataclass
class Pose:
    """All angles of a body. All zero: it stands upright with hanging arms.

    The trunk can `bend` forward, `lean` to its right and `twist` to its left; `facing` turns the
    whole body to its left; `rise` lifts it off the floor, metres.
    """

    bend: Angle = 0.0
    lean: Angle = 0.0
    twist: Angle = 0.0
    facing: Angle = 0.0
    rise: Angle = 0.0
    right_arm: Arm = field(default_factory=Arm)
    left_arm: Arm = field(default_factory=Arm)
    right_leg: Leg = field(default_factory=Leg)
    left_leg: Leg = field(default_factory=Leg)


@dataclass(frozen=True)
class Motion:
    """A body in motion.

    Attributes:
        joints: Positions [T, 20, 3] in the order of `KINECT_V1`.
        forearm: Orientation of the right distal forearm and hand [T, 3, 3]; the columns are its
            axes in the world. The hand lies along its -y axis, its back looks along +x and its
            thumb along -z.
        rate: Moments a second, Hz.
    """

    joints: Array
    forearm: Array
    rate: float


def turn(frame: Array, axis: int, degrees: Angle) -> Array:
    """Rotate frames [3, 3, T] (columns are axes) about one of their own axes, right-handed."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    j, k = (axis + 1) % 3, (axis + 2) % 3
    out = np.empty(frame.shape[:2] + np.broadcast_shapes(frame.shape[2:], np.shape(c)))
    out[:, axis] = frame[:, axis]
    out[:, j] = c * frame[:, j] + s * frame[:, k]
    out[:, k] = c * frame[:, k] - s * frame[:, j]
    return out


def move(body: Body, pose: Pose, moments: int, rate: float) -> Motion:
    """Move a body through a pose that changes over `moments` samples at `rate` Hz.

    The feet carry the body: whichever is lower neither slides nor leaves the floor (y = 0 at the
    ankles), so that a gait travels and a squat sinks without a path being given. The body starts
    over x = z = 0.
    """
    pelvis = turn(np.eye(3)[:, :, None], UP, pose.facing)
    trunk = turn(turn(turn(pelvis, UP, pose.twist), RIGHT, -pose.bend), BACK, -pose.lean)
    points = {
        "hip_center": np.zeros((3, 1)),
        "spine": body.spine * trunk[:, UP],
        "shoulder_center": body.torso * trunk[:, UP],
        "head": (body.torso + body.head) * trunk[:, UP],
    }
    shoulder = points["shoulder_center"] - body.shoulder_drop * trunk[:, UP]
    hip = -body.hip_drop * pelvis[:, UP]
    forearm = trunk
    for name, side, arm, leg in (
        ("left", -1, pose.left_arm, pose.left_leg),
        ("right", 1, pose.right_arm, pose.right_leg),
    ):
        forearm, chain = _arm(body, trunk, side, arm)
        chain |= _leg(body, pelvis, side, leg)
        start = {
            "shoulder": shoulder + side * body.shoulder_width * trunk[:, RIGHT],
            "hip": hip + side * body.hip_width * pelvis[:, RIGHT],
        }
        for joint, (origin, offset) in chain.items():
            start[joint] = start[origin] + offset
        points |= {f"{name}_{joint}": place for joint, place in start.items()}
    joints = np.stack([np.broadcast_to(points[j], (3, moments)) for j in KINECT_V1.joints])
    feet = joints[[KINECT_V1.index("left_ankle"), KINECT_V1.index("right_ankle")]]
    joints = joints + _root(feet, pose.rise, rate)
    forearm = np.broadcast_to(forearm, (3, 3, moments))
    return Motion(joints.transpose(2, 0, 1), forearm.transpose(2, 0, 1), rate)


_Chain = dict[str, tuple[str, Array]]  # joint -> (the one it hangs from, offset [3, T])


def _arm(body: Body, trunk: Array, side: int, arm: Arm) -> tuple[Array, _Chain]:
    upper = turn(turn(trunk, RIGHT, arm.flexion), BACK, side * arm.abduction)
    upper = turn(upper, UP, side * arm.rotation)
    forearm = turn(turn(upper, RIGHT, arm.elbow), UP, side * arm.pronation)
    return forearm, {
        "elbow": ("shoulder", -body.upper_arm * upper[:, UP]),
        "wrist": ("elbow", -body.forearm * forearm[:, UP]),
        "hand": ("wrist", -body.hand * forearm[:, UP]),
    }


def _leg(body: Body, pelvis: Array, side: int, leg: Leg) -> _Chain:
    thigh = turn(turn(pelvis, RIGHT, leg.hip), BACK, side * leg.spread)
    shank = turn(thigh, RIGHT, -leg.knee)
    return {
        "knee": ("hip", -body.thigh * thigh[:, UP]),
        "ankle": ("knee", -body.shank * shank[:, UP]),
        "foot": ("ankle", -body.foot * pelvis[:, BACK]),  # feet stay level
    }


def _root(feet: Array, rise: Angle, rate: float) -> Array:
    """Path [3, T] of the hip centre that keeps the lower foot still, from feet [2, 3, T]."""
    height = feet[:, UP]
    weight = np.exp(-(height - height.min(axis=0)) / _FOOTING)
    weight /= weight.sum(axis=0)
    drift = (weight[:, None] * np.gradient(feet, 1 / rate, axis=-1)).sum(axis=0)
    path: Array = -cumulative_trapezoid(drift, dx=1 / rate, axis=-1, initial=0)
    path[UP] = rise - (weight * height).sum(axis=0)
    smooth: Array = gaussian_filter1d(path, _GIVE * rate, axis=-1, mode="nearest")
    return smooth
