"""People: bodies, habits and the way they wear a watch; and one of them performing an action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from pskd.datasets.simulation.actions import Take
from pskd.datasets.simulation.body import Array, Body, Motion, Pose, move
from pskd.datasets.simulation.sensor import ON_WRIST, Mounting

RATE = 500.0
"""Moments a second at which bodies are moved, Hz."""


@dataclass(frozen=True)
class Person:
    """One subject; angles in degrees.

    Attributes:
        body: Segment lengths.
        mounting: The watch on the right wrist.
        pace, size: Tempo and amplitude of the movements, 1 on average.
        stoop, hang, elbow, roll: Habits at rest: bent trunk, arms held away from the body, bent
            elbows, forearms rolled inward.
        sway: Size of involuntary movements.
        balance: How strongly the trunk counters raised limbs.
    """

    body: Body
    mounting: Mounting
    pace: float
    size: float
    stoop: float
    hang: float
    elbow: float
    roll: float
    sway: float
    balance: float


def person(rng: np.random.Generator) -> Person:
    """Draw a person."""
    height = rng.normal(1.0, 0.06)
    lengths = {k: v * height * rng.normal(1.0, 0.03) for k, v in vars(Body()).items()}
    roll = Rotation.from_euler("y", rng.normal(0.0, 12.0), degrees=True)
    slant = Rotation.from_rotvec(rng.normal(0.0, 7.0, 3), degrees=True)
    offset = np.array([0.03, 0.02, 0.0]) + rng.normal(0.0, 0.005, 3)
    return Person(
        body=Body(**lengths),
        mounting=Mounting((roll * slant).as_matrix() @ ON_WRIST, offset),
        pace=float(np.exp(rng.normal(0.0, 0.12))),
        size=rng.uniform(0.82, 1.15),
        stoop=rng.uniform(0, 8),
        hang=rng.uniform(5, 14),
        elbow=rng.uniform(8, 25),
        roll=rng.normal(20, 12),
        sway=rng.uniform(0.7, 1.4),
        balance=rng.uniform(0.6, 1.4),
    )


def perform(
    who: Person, action: Callable[[Take], Pose], seconds: float, rng: np.random.Generator
) -> Motion:
    """Let a person perform an action that usually takes some seconds."""
    pace = who.pace * np.exp(rng.normal(0.0, 0.08))
    size = who.size * rng.normal(1.0, 0.06)
    seconds = float(np.clip(seconds * np.exp(rng.normal(0.0, 0.07)) / pace, 2.0, 5.0))
    moments = round(seconds * RATE)
    time = np.arange(moments) / RATE
    start, stop = rng.uniform(0.02, 0.12), rng.uniform(0.88, 0.98)
    progress = (time / seconds - start) / (stop - start)
    pose = action(Take(time, progress, pace, size, rng))
    _balance(pose, who.balance)
    _habits(pose, who)
    _sway(pose, 1.6 * who.sway, time, rng)
    pose.facing = pose.facing + rng.normal(0.0, 6.0)
    return move(who.body, pose, moments, RATE)


def _balance(pose: Pose, strength: float) -> None:
    """Lean and twist against limbs that are raised."""
    right, left = pose.right_arm, pose.left_arm
    aside = right.abduction - left.abduction + 0.35 * (pose.left_leg.hip - pose.right_leg.hip)
    ahead = right.flexion + left.flexion
    pose.lean = pose.lean - strength * 0.05 * aside
    pose.bend = pose.bend - strength * 0.02 * ahead
    pose.twist = pose.twist + strength * 0.05 * (pose.right_leg.hip - pose.left_leg.hip)


def _habits(pose: Pose, who: Person) -> None:
    pose.bend = pose.bend + who.stoop
    for arm in (pose.right_arm, pose.left_arm):
        arm.abduction = arm.abduction + who.hang
        arm.elbow = arm.elbow + who.elbow
        arm.pronation = arm.pronation + who.roll


def _sway(pose: Pose, degrees: float, time: Array, rng: np.random.Generator) -> None:
    """Add slow involuntary movements to the trunk and the arms."""
    for part, names in (
        (pose, ("bend", "lean", "twist")),
        (pose.right_arm, vars(pose.right_arm)),
        (pose.left_arm, vars(pose.left_arm)),
    ):
        for name in names:
            hertz = rng.uniform([0.1, 0.3, 0.8], [0.3, 0.8, 1.6])
            start = rng.uniform(0, 2 * np.pi, 3)
            size = rng.normal(0.0, degrees, 3) / np.array([1.0, 1.5, 3.0])
            waves = np.sin(2 * np.pi * hertz[:, None] * time + start[:, None])
            setattr(part, name, getattr(part, name) + size @ waves)
