"""Cameras around a simulated person, and the key points that are found in their pictures."""

from __future__ import annotations

import numpy as np

from pskd.data.skeleton import COCO_17, KINECT_V1
from pskd.datasets.simulation.body import Array

CAMERAS = 4
FPS = 30.0
PICTURE = (1920, 1080)  # pixels
_FOCAL = 1300.0  # pixels
_PLACES = [(np.deg2rad(a), 5.5, 2.3) for a in (15.0, 100.0, 195.0, 280.0)]  # turn, metres, height
_LOOKED_AT = np.array([0.0, 0.9, 0.0])
_JITTER = 1.5  # pixels, of the trunk
_UNSURE = {"elbow": 1.3, "wrist": 2.0, "knee": 1.2, "ankle": 1.5}

_OF_KINECT = {
    joint: KINECT_V1.index(joint) for joint in COCO_17.joints if joint in KINECT_V1.joints
}


def key_points(joints: Array) -> Array:
    """Make the 17 points of COCO [F, 17, 3] of the joints of a Kinect [F, 20, 3], metres."""
    left, right, head, neck = (
        joints[:, KINECT_V1.index(j)]
        for j in ("left_shoulder", "right_shoulder", "head", "shoulder_center")
    )
    across, up = _unit(right - left), _unit(head - neck)
    ahead = np.cross(up, across)
    face = {
        "nose": head + 0.10 * ahead,
        "left_eye": head + 0.09 * ahead - 0.03 * across + 0.03 * up,
        "right_eye": head + 0.09 * ahead + 0.03 * across + 0.03 * up,
        "left_ear": head - 0.075 * across,
        "right_ear": head + 0.075 * across,
    }
    return np.stack(
        [face[j] if j in face else joints[:, _OF_KINECT[j]] for j in COCO_17.joints], axis=1
    )


def photograph(points: Array, camera: int) -> Array:
    """Project points [..., 3], metres, y up, into the picture of a camera from 1 to 4.

    Returns:
        [..., 2], pixels from the top left corner; also of what is outside the picture.
    """
    turn, distance, height = _PLACES[camera - 1]
    place = np.array([distance * np.sin(turn), height, -distance * np.cos(turn)])
    ahead = _unit(_LOOKED_AT - place)
    right = _unit(np.cross(ahead, [0.0, 1.0, 0.0]))
    axes = np.stack([right, np.cross(ahead, right), ahead])  # right, down, ahead
    seen = (points - place) @ axes.T
    flat: Array = seen[..., :2] / np.maximum(seen[..., 2:], 0.5) * _FOCAL
    return flat + np.array(PICTURE) / 2


def detect(pixels: Array, rng: np.random.Generator) -> Array:
    """What a pose estimator makes of points in a picture: [F, 17, 2] -> x, y, confidence."""
    scale = np.array([_UNSURE.get(j.split("_")[-1], 1.0) for j in COCO_17.joints])
    jitter = rng.normal(0.0, _JITTER, pixels.shape) * scale[:, None]
    confidence = np.clip(
        0.97 - 0.07 * scale - np.abs(rng.normal(0, 0.05, pixels.shape[:2])), 0.05, 1
    )
    return np.concatenate([pixels + jitter, confidence[..., None]], axis=2).round(2)


def as_openpose(poses: Array) -> Array:
    """Reorder COCO joints [..., 17, 3] to the 18 of OpenPose; the neck is between shoulders."""
    neck = poses[..., 5:7, :].mean(axis=-2, keepdims=True)
    both = np.concatenate([poses, neck], axis=-2)
    return both[..., [0, 17, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3], :]


def _unit(vectors: Array) -> Array:
    unit: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
