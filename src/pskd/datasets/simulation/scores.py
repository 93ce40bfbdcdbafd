"""Actions written as data: angles through key poses, a rhythm, and steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from pskd.data.recording import STANDARD_GRAVITY
from pskd.datasets.simulation.actions import Take
from pskd.datasets.simulation.body import Arm, Array, Leg, Pose

Keys = Mapping[float, float]
"""Degrees by progress, 0 to 1; 0 degrees at both ends unless they are given."""


@dataclass(frozen=True)
class Steps:
    """Steps in the rhythm of a score, or hops on both feet.

    Attributes:
        stride: Degrees that each thigh swings back and forth; below 0 it walks backward.
        lift: Degrees that each thigh is lifted.
        knee: Degrees that each knee bends as its leg comes forward, or before a hop.
        arms: Degrees that each arm swings against its leg.
        flight: Part of each step in the air, where 1 is as long as on the ground.
        hops: Jumps in each beat of the score; 0 for steps.
    """

    stride: float = 0.0
    lift: float = 0.0
    knee: float = 0.0
    arms: float = 0.0
    flight: float = 0.0
    hops: int = 0

    def add(self, pose: Pose, take: Take, phase: Array, hertz: float) -> None:
        """Add them to a pose, from shortly after the start to shortly before the end."""
        going = take.hold(0.0, 0.15, 0.85, 1.0)
        airborne = phase * (self.hops or 2)
        spring = 2 * np.pi * hertz * take.pace * (self.hops or 2)  # radians a second
        height = self.flight * STANDARD_GRAVITY / spring**2  # what falls freely comes back in time
        pose.rise = pose.rise + going * height * np.clip(np.sin(airborne), 0, None)
        for leg, arm, p in (
            (pose.right_leg, pose.right_arm, phase),
            (pose.left_leg, pose.left_arm, phase + np.pi),
        ):
            if self.hops:
                crouch = going * self.knee * np.clip(-np.sin(airborne), 0, None) ** 2
                leg.hip, leg.knee = leg.hip + crouch / 2, leg.knee + crouch
                continue
            lifted = self.lift * take.size * np.clip(np.sin(p), 0, None) ** 2
            swung = self.knee * np.clip(np.cos(p), 0, None) ** 2
            leg.hip = leg.hip + going * (self.stride * take.size * np.sin(p) + lifted)
            leg.knee = leg.knee + going * (6 + swung + 1.5 * lifted)
            arm.flexion = arm.flexion - going * self.arms * take.size * np.sin(p)


@dataclass(frozen=True)
class Score:
    """A programme of joint angles, called like those of `actions`.

    Angles are named as in `body`: `bend` is of the trunk, `right_elbow` and `left_knee` are of one
    side, `elbow` and `knee` of both.

    Attributes:
        keys: Key poses of each angle, with a smooth movement from each to the next.
        beats: (degrees, part of a cycle that it comes later) of each angle that goes from 0 to
            its degrees and back, over and over, in the middle of the action.
        hertz: Beats a second, or strides.
        steps: Steps to the same rhythm.
    """

    keys: Mapping[str, Keys] = field(default_factory=dict)
    beats: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    hertz: float = 1.0
    steps: Steps | None = None

    def __call__(self, take: Take) -> Pose:
        """Return the angles of one performance."""
        late = take.rng.normal(0.0, 0.04) * np.sin(np.pi * np.clip(take.progress, 0, 1))
        take = replace(take, progress=take.progress + late)
        phase = take.phase(self.hertz)
        pose = Pose()
        for angle, keys in self.keys.items():
            _add(pose, angle, _through(take, {0.0: 0.0, 1.0: 0.0, **keys}), take)
        beating = take.hold(0.1, 0.28, 0.72, 0.9)
        for angle, (degrees, later) in self.beats.items():
            wave = 0.5 - 0.5 * np.cos(phase - 2 * np.pi * later)
            _add(pose, angle, degrees * beating * wave, take)
        if self.steps:
            self.steps.add(pose, take, phase, self.hertz)
        return pose


def _through(take: Take, keys: Keys) -> Array:
    points = sorted(keys)
    value = np.full(len(take.time), float(keys[points[0]]))
    for start, stop in pairwise(points):
        if keys[stop] != keys[start]:
            value += (keys[stop] - keys[start]) * take.ease(start, stop)
    return value


def _add(pose: Pose, angle: str, value: Array, take: Take) -> None:
    """Add an angle to a pose, as large as the person does it this time."""
    side, _, name = angle.rpartition("_")
    if hasattr(pose, name):
        parts: list[Pose | Arm | Leg] = [pose]
    else:
        limb = "leg" if name in Leg.__dataclass_fields__ else "arm"
        parts = [getattr(pose, f"{s}_{limb}") for s in ([side] if side else ("right", "left"))]
    for part in parts:
        size = 1.0 if isinstance(part, Leg) else take.size
        now = getattr(part, name) + value * size * take.rng.normal(1.0, 0.05)
        setattr(part, name, now)
