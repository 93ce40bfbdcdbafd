"""Instruments: an accelerometer on the right wrist and a camera that sees the joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pskd.data.recording import STANDARD_GRAVITY
from pskd.data.skeleton import KINECT_V1
from pskd.datasets.simulation.body import Array, Motion

RANGE = 8.0
"""The accelerometer clips at plus and minus this, g."""

ON_WRIST = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Axes of a watch worn straight, as columns in the forearm's frame: x along the fingers, y to the
thumb, z out of the back of the hand."""

_GRAVITY = np.array([0.0, -STANDARD_GRAVITY, 0.0])
_SENSOR_NOISE, _SENSOR_BIAS = 0.015, 0.02  # g
_CAMERA_JITTER, _CAMERA_BIAS = 0.006, 0.012  # metres, at the trunk
_LIMB_NOISE = {"elbow": 1.5, "wrist": 2.0, "hand": 2.5, "knee": 1.2, "ankle": 1.5, "foot": 2.0}


@dataclass(frozen=True)
class Mounting:
    """How a sensor sits on the forearm.

    Attributes:
        rotation: Axes of the sensor [3, 3], columns in the forearm's frame.
        offset: Place of the sensor [3] in the forearm's frame, metres from the wrist.
    """

    rotation: Array
    offset: Array

    def pose(self, motion: Motion) -> tuple[Array, Array]:
        """Path [T, 3] and orientation [T, 3, 3] of a sensor that moves with the forearm."""
        wrist = motion.joints[:, KINECT_V1.index("right_wrist")]
        return wrist + motion.forearm @ self.offset, motion.forearm @ self.rotation


def specific_force(position: Array, orientation: Array, rate: float) -> Array:
    """What a perfect accelerometer feels: f = R^T (a - g).

    Args:
        position: Path of the sensor [T, 3], metres, y up.
        orientation: R, the sensor's axes as columns in the world [T, 3, 3].
        rate: Samples a second, Hz; high enough for central differences.

    Returns:
        Specific force [T, 3] in the sensor's turning frame, g.
    """
    velocity = np.gradient(position, 1 / rate, axis=0, edge_order=2)
    acceleration = np.gradient(velocity, 1 / rate, axis=0, edge_order=2)
    force: Array = np.einsum("tij,ti->tj", orientation, acceleration - _GRAVITY)
    return force / STANDARD_GRAVITY


def digitise(force: Array, rng: np.random.Generator, noise: float) -> Array:
    """Add bias and white noise, `noise` times those of a cheap sensor, and clip to its range."""
    bias = rng.normal(0.0, noise * _SENSOR_BIAS, 3)
    white = rng.normal(0.0, noise * _SENSOR_NOISE, force.shape)
    return np.clip(force + bias + white, -RANGE, RANGE)


def film(motion: Motion, frames: int, rng: np.random.Generator, noise: float) -> Array:
    """Joints [frames, 20, 3] as a depth camera sees them, evenly over the whole motion.

    Each joint is off by a constant and by jitter, `noise` times those of a Kinect; the ends of
    the limbs are seen worse than the trunk.
    """
    at = np.linspace(0, len(motion.joints) - 1, frames)
    low = np.minimum(at.astype(int), len(motion.joints) - 2)
    part = (at - low)[:, None, None]
    joints = motion.joints[low] * (1 - part) + motion.joints[low + 1] * part
    scale = noise * np.array([_LIMB_NOISE.get(j.split("_")[-1], 1.0) for j in KINECT_V1.joints])
    bias = rng.normal(0.0, _CAMERA_BIAS, joints.shape[1:])
    jitter = rng.normal(0.0, _CAMERA_JITTER, joints.shape)
    seen: Array = joints + scale[:, None] * (bias + jitter)
    return seen
