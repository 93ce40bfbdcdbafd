"""What an accelerometer measures of a limb that turns, sways or is held still."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pskd.data.recording import STANDARD_GRAVITY

Signal = NDArray[np.float64]
"""Specific force [n, 3] in g, or a pose [3]: the unit vector that it is at rest."""


def turn(start: Signal, stop: Signal, seconds: float, count: int, lever: Signal) -> Signal:
    """What a sensor measures that turns about a joint from one pose to another.

    Args:
        start: First pose.
        stop: Last pose.
        seconds: Duration of the turn.
        count: Samples of it.
        lever: From the sensor to the joint, in axes of the sensor, m.

    Returns:
        Specific force [count, 3], g.
    """
    across = np.cross(start, stop)
    angle = np.arctan2(np.linalg.norm(across), start @ stop)
    if np.linalg.norm(across) < 1e-9:  # the same pose, or upside down: about any axis
        across = np.cross(start, np.eye(3)[np.abs(start).argmin()])
    axis = unit(across)
    share, speed, change = minimum_jerk(np.linspace(0, 1, count))
    at = (angle * share)[:, None]
    poses = np.cos(at) * start + np.sin(at) * np.cross(axis, start)
    # Gravity turns one way in the sensor's axes because the sensor turns the other way.
    rate = -(angle * speed / seconds)[:, None] * axis
    growth = -(angle * change / seconds**2)[:, None] * axis
    accelerated = np.cross(growth, -lever) + np.cross(rate, np.cross(rate, -lever))
    measured: Signal = poses + accelerated / STANDARD_GRAVITY
    return measured


def minimum_jerk(t: Signal) -> tuple[Signal, Signal, Signal]:
    """Way from 0 to 1 over a time from 0 to 1, with its first two derivatives."""
    return (
        t**3 * (10 - 15 * t + 6 * t**2),
        30 * t**2 * (1 - t) ** 2,
        60 * t * (1 - t) * (1 - 2 * t),
    )


def quietest_noise(signals: Sequence[Signal], rate: float) -> float:
    """Standard deviation of the white noise in signals [T, 3], in their unit.

    Second differences leave little of a smooth movement, and of white noise six times its variance.
    Those of the quietest tenth of all half seconds count.

    Args:
        signals: With movement or without.
        rate: Samples a second.
    """
    count = max(round(0.5 * rate), 1)
    variances = []
    for signal in signals:
        bent = np.diff(signal, n=2, axis=0)
        whole = len(bent) // count * count
        variances += (bent[:whole].reshape(-1, 3 * count) ** 2).mean(1).tolist()
    return float(np.sqrt(np.quantile(variances, 0.1) / 6)) if variances else 0.0


def sway(count: int, rate: float, size: float, seconds: float, draw: np.random.Generator) -> Signal:
    """A slow random walk that is drawn back to 0, [count, 3].

    Args:
        count: Samples.
        rate: Samples a second.
        size: Standard deviation.
        seconds: Time constant.
        draw: Where it is drawn from.
    """
    keep = np.exp(-1 / (seconds * rate))
    steps = size * np.sqrt(1 - keep**2) * draw.standard_normal((count, 3))
    walk: Signal = np.empty_like(steps)
    now = np.zeros(3)
    for index, step in enumerate(steps):
        now = keep * now + step
        walk[index] = now
    return walk


def unit(vector: Signal) -> Signal:
    """A vector of length 1 in the same direction."""
    scaled: Signal = vector / np.linalg.norm(vector)
    return scaled


def degrees_between(a: Signal, b: Signal) -> float:
    """Angle between two poses."""
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))
