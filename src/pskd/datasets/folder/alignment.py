"""Whether the accelerometer and the skeleton of a pair go together, judged from the signals.

Two things are compared that turning the sensor does not change: the norm of the specific force,
which a joint's acceleration and gravity give too; and how fast the force turns, which follows the
joint's speed. How alike they are, over all joints and lags up to 0.2 s, says little by itself: all
movements begin and end at rest. So it is compared with the skeletons of other recordings, stretched
to the same length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pskd.data.recording import STANDARD_GRAVITY, Recording
from pskd.data.skeleton import SkeletonLayout
from pskd.signal.align import stretch

RATE = 25.0
"""Samples of a trace a second."""
NEAR, FAR = 5, 25
"""Lags that are taken as none, and the largest that are tried, in samples of a trace."""
SHORTEST, LONGEST = 25, 1500
"""Samples of a trace that are needed, and that are used."""
OTHERS, IN_CLASS = 60, 20
"""Recordings that a pair is compared with, and how many more of its own class."""
ALIGNED, UNLIKE = 0.95, 0.8
"""A pair that beats so many others is aligned; one that beats fewer than these is named."""
GAIN = 0.2
"""How much more alike, as Fisher's z, a pair must be late or backwards to be called so."""
TORSO = 0.45  # metres, of an adult: skeletons come in any unit
_SMOOTH, _SPEED_SMOOTH = 0.08, 0.05  # seconds

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Trace:
    """What is compared of a pair: norm of the force and speed of turning, at 25 Hz.

    Attributes:
        sensor: Of the accelerometer [n, 2].
        joints: Of each joint of the skeleton [n, J, 2].
    """

    sensor: Array
    joints: Array


@dataclass(frozen=True)
class PairScore:
    """How well the two signals of a recording go together.

    Attributes:
        recording: Its name.
        correlation: Of the two signals at the best joint, lags up to 0.2 s.
        others: The same with skeletons of other recordings, sorted.
        beaten: Share of the others that are less alike.
        beaten_in_class: The same among others of its class; None where there are none.
        joint: Index of the best joint, at the lag where that is clearly better.
        lag: Seconds that the skeleton is late where both are most alike, up to 1 s.
        gain: How much more alike they are at that lag, as Fisher's z.
        backwards: How much more alike it is to the skeleton run backwards, as Fisher's z.
    """

    recording: str
    correlation: float
    others: tuple[float, ...]
    beaten: float
    beaten_in_class: float | None
    joint: int
    lag: float
    gain: float
    backwards: float

    @property
    def aligned(self) -> bool:
        """Whether it is more alike than 95 % of the others."""
        return self.beaten >= ALIGNED

    @property
    def late(self) -> bool:
        """Whether it is clearly more alike at a lag."""
        return self.gain > GAIN and abs(self.lag) > 2 * NEAR / RATE

    @property
    def doubtful(self) -> bool:
        """Whether it is hardly more alike than pairs of different recordings."""
        return self.beaten < UNLIKE


def make_trace(recording: Recording, layout: SkeletonLayout) -> Trace | None:
    """Make the trace of a pair; None where it is too short or has no extent."""
    assert recording.skeleton is not None
    size = min(round(recording.seconds * RATE), LONGEST)
    part = min(1.0, LONGEST / (recording.seconds * RATE))
    if size < SHORTEST:
        return None
    force = recording.acceleration[: round(part * len(recording.acceleration))]
    joints = recording.skeleton[: max(2, round(part * len(recording.skeleton)))]
    upright = (joints[:, layout.torso[0]] - joints[:, layout.torso[1]]).mean(axis=0)
    torso = float(np.linalg.norm(upright))
    if torso <= 0:
        return None
    rate = len(joints) * RATE / size
    path = _smooth(joints * (TORSO / torso), _SMOOTH * rate)
    speed = np.gradient(path, axis=0) * rate
    felt = np.gradient(speed, axis=0) * rate / STANDARD_GRAVITY
    felt[..., layout.up] += np.sign(upright[layout.up])  # y points down in pictures
    seen = (
        np.linalg.norm(felt, axis=2),
        _smooth(np.linalg.norm(speed, axis=2), _SPEED_SMOOTH * rate),
    )
    smooth = _smooth(force, _SMOOTH * recording.rate)
    turning = np.linalg.norm(np.gradient(smooth, axis=0), axis=1)
    worn = (np.linalg.norm(smooth, axis=1), _smooth(turning, _SPEED_SMOOTH * recording.rate))
    return Trace(*(stretch(np.stack(x, axis=-1).astype(np.float32), size) for x in (worn, seen)))


def score_pairs(
    names: Sequence[str],
    labels: Sequence[int],
    traces: Sequence[Trace],
    progress: Callable[[int, int], None] | None = None,
) -> list[PairScore]:
    """Score every pair against others drawn at random, the same ones every time."""
    scores = []
    for index in range(len(names)):
        scores.append(score_pair(index, names, labels, traces))
        if progress:
            progress(index + 1, len(names))
    return scores


def score_pair(
    index: int, names: Sequence[str], labels: Sequence[int], traces: Sequence[Trace]
) -> PairScore:
    """Score one of the pairs; there must be two or more."""
    rng = np.random.default_rng(index)
    rest = rng.permutation([i for i in range(len(names)) if i != index])
    alike = [i for i in rest if labels[i] == labels[index]][:IN_CLASS]
    rest = rest[:OTHERS]
    own, size = traces[index], len(traces[index].sensor)
    many = [stretch(traces[i].joints, size) for i in (*rest, *alike)]
    near = range(-NEAR, NEAR + 1)
    found = alikeness(own.sensor, np.concatenate(many, axis=1), near).max(axis=0)
    found = found.reshape(len(many), -1).max(axis=1)
    others, in_class = found[: len(rest)], found[len(rest) :]
    far = min(FAR, size // 3)
    wide = alikeness(own.sensor, own.joints, range(-far, far + 1))
    here = wide[far - NEAR : far + NEAR + 1]
    best, gain = float(here.max()), float(wide.max() - here.max())
    return PairScore(
        recording=names[index],
        correlation=float(np.tanh(best)),
        others=tuple(np.sort(np.tanh(others)).tolist()),
        beaten=float((best > others).mean()),
        beaten_in_class=float((best > in_class).mean()) if alike else None,
        joint=int((wide if gain > GAIN else here).max(axis=0).argmax()),
        lag=float((wide.max(axis=1).argmax() - far) / RATE),
        gain=gain,
        backwards=float(alikeness(own.sensor, own.joints[::-1], near).max()) - best,
    )


def alikeness(sensor: Array, joints: Array, lags: range) -> NDArray[np.float64]:
    """Mean over both signals of Fisher's z of their correlation: [lags, K] of [n, 2], [n, K, 2].

    At a positive lag the joints come later; what then has no partner is left out.
    """
    size = len(sensor)
    place = np.arange(size) - np.array(lags)[:, None]
    shared = ((place >= 0) & (place < size)).astype(np.float32)
    count = shared.sum(axis=1, keepdims=True)
    total: NDArray[np.float64] = np.zeros((len(lags), joints.shape[1]))
    for a, b in zip(sensor.T, np.moveaxis(joints, 2, 0), strict=True):
        moved = shared * a[place % size]
        moved = shared * (moved - moved.sum(axis=1, keepdims=True) / count)
        b = np.ascontiguousarray(b - b.mean(axis=0))
        power = _sums(shared, b * b) - _sums(shared, b) ** 2 / count
        power = np.maximum(power, 0) * (moved**2).sum(axis=1, keepdims=True)
        r = _sums(moved, b) / np.sqrt(power + 1e-12)
        total += np.arctanh(np.clip(r, -0.99, 0.99))
    total /= sensor.shape[1]
    return total


def _sums(weights: Array, values: Array) -> Array:
    """Sums [lags, K] of values [n, K] by weights [lags, n].

    The matrix product of so small matrices waits for its threads far longer than it computes, on a
    machine that is busy.
    """
    sums: Array = np.einsum("ln,nk->lk", weights, values)
    return sums


def _smooth(x: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
    return gaussian_filter1d(x, sigma, axis=0, mode="nearest")
