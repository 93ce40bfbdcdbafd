"""Near-duplicates: one movement, recorded once, that is there twice in two guises.

The same gesture of the same person, made twice, differs in its details even where it looks alike.
A copy that was resampled, cropped, shifted, scaled, turned a little, quantised or mixed with noise
differs by white noise and hardly anything else. So two signals are brought into register
(`register`), and what remains between them is split by its autocovariance at one sample into white
noise, which says nothing, and a smooth discrepancy, which tells another movement from a copy. It
is held against the details of the movement (`Signals.detail`), not against all of it: two squats
can be alike to within the noise but for their details, so that their likeness proves nothing.

Only the nearest by shape and by spectrum (`candidates`) are compared like this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from pskd.data.audit.candidates import BATCH, Candidates
from pskd.data.audit.signals import Floats, Indices, Signals

Doubles = NDArray[np.float64]

_SCREEN, _POINTS, _LONGEST = 48, 96, 512  # samples compared: at first, to fit, to judge
_FAR = 0.06  # of the power of the movement; what differs by more at first is not looked at again
_LEAST = 40  # samples in common that differ from the one before; fewer fit anything
_WHITE = 7.0  # standard errors; an autocovariance farther from 0 is not that of noise
_NOTHING = 0.01  # of the details; a discrepancy so small may have any colour


@dataclass(frozen=True)
class Match:
    """Two recordings that may be one.

    Attributes:
        first: Index of the one on the first side.
        second: Index of the one on the second side.
        discrepancy: Smooth difference between them as a share of the details of the movement,
            with two standard errors on top, so that noise makes a match less certain, never more.
    """

    first: int
    second: int
    discrepancy: float


@dataclass(frozen=True)
class Pairs:
    """Sample k of recording b is held against sample `scale * k + offset` of recording a."""

    a: Indices
    b: Indices
    scale: Doubles
    offset: Doubles

    def where(self, keep: NDArray[np.bool_] | slice) -> Pairs:
        """Return some of the pairs."""
        return Pairs(*(getattr(self, f.name)[keep] for f in fields(self)))

    def batches(self) -> Iterator[Pairs]:
        """Return them a batch at a time."""
        return (self.where(slice(n, n + BATCH)) for n in range(0, len(self.a), BATCH))

    def turned(self, which: NDArray[np.bool_] | bool = True) -> Pairs:
        """Return the same pairs, the other signal interpolated in some of them."""
        return Pairs(
            np.where(which, self.b, self.a),
            np.where(which, self.a, self.b),
            np.where(which, 1 / self.scale, self.scale),
            np.where(which, -self.offset / self.scale, self.offset),
        )


@dataclass(frozen=True)
class Registered:
    """Two signals in register, each [P, n, 3] and without its mean.

    Attributes:
        model: Recording a in the time and amplitude of b.
        slope: Change of the model from sample to sample of a.
        target: Recording b.
        weight: 1 where both have samples, else 0 [P, n, 1].
    """

    model: Floats
    slope: Floats
    target: Floats
    weight: Floats

    @property
    def error(self) -> Floats:
        """What remains between them."""
        difference: Floats = (self.target - self.model) * self.weight
        return difference


def near_duplicates(
    signals: Signals, candidates: Candidates, first: Indices, second: Indices
) -> list[Match]:
    """Find what of the second side may be a copy of something on the first, best first.

    Each of the second side is matched once at most. Time grows with the product of the sides,
    memory with their sum.
    """
    spans = candidates.same_span(first, second)
    clocks = candidates.same_clock(first, second)
    pairs = Pairs(*(np.concatenate(x) for x in zip(spans, clocks, strict=True)))
    pairs = pairs.turned(signals.lengths[pairs.b] > signals.lengths[pairs.a])
    is_first = np.zeros(len(signals), np.bool_)
    is_first[first] = True
    best: dict[int, Match] = {}
    for batch in pairs.batches():
        likely = _fit(signals, batch, _SCREEN, 3)
        seen = register(signals, likely, _spread(signals, likely, _SCREEN))
        power = _sum(seen.target, seen.target)
        likely = likely.where(_sum(seen.error, seen.error) < _FAR * power)
        # A copy with noise of its own is told by the original interpolated, not the other way.
        fitted = _fit(signals, likely, _POINTS, 4)
        again = _fit(signals, fitted.turned(), _POINTS, 2)
        discrepancy = np.minimum(_judge(signals, fitted), _judge(signals, again))
        sides = likely.turned(~is_first[likely.a])
        for a, b, d in zip(sides.a.tolist(), sides.b.tolist(), discrepancy.tolist(), strict=True):
            if d < (best[b].discrepancy if b in best else 1):
                best[b] = Match(a, b, d)
    return sorted(best.values(), key=lambda m: (m.discrepancy, m.second))


def register(signals: Signals, pairs: Pairs, at: Indices) -> Registered:
    """Bring pairs into register at the samples `at` [P, n] of their b.

    Time is as the pairs have it. Amplitude is mapped by what makes the squared error least: a
    gain, an offset and a rotation of the axes (Kabsch).
    """
    last = (signals.lengths[pairs.a] - 1)[:, None]
    where = pairs.scale[:, None] * at + pairs.offset[:, None]
    there = (where >= 0) & (where <= last) & (at < signals.lengths[pairs.b][:, None])
    weight = there.astype(np.float32)[..., None]
    low = np.clip(where.astype(np.int64), 0, last - 1)
    rest = (where - low).astype(np.float32)[..., None]
    low += signals.starts[pairs.a][:, None]
    model = signals.samples.take(low, axis=0)
    slope = (signals.samples.take(low + 1, axis=0) - model) * weight
    model += rest * slope
    # Beyond the end of b, any sample will do: its weight is 0.
    of_b = np.minimum(at, signals.lengths[pairs.b][:, None] - 1) + signals.starts[pairs.b][:, None]
    target = signals.samples.take(of_b, axis=0)
    count = np.maximum(weight.sum(axis=1, keepdims=True), 1)
    for values in (model, target):
        values -= weight.transpose(0, 2, 1) @ values / count
        values *= weight
    power = np.maximum(_sum(model, model), 1e-9)
    u, s, vt = np.linalg.svd(model.transpose(0, 2, 1) @ target)
    sign = np.sign(np.linalg.det(u @ vt))  # a mirror image is no rotation
    u[:, :, 2] *= sign[:, None]
    rotation = u @ vt
    gain = (s[:, 0] + s[:, 1] + sign * s[:, 2]) / power
    by = gain[:, None, None] * rotation
    return Registered(model @ by, slope @ by, target, weight)


def _fit(signals: Signals, pairs: Pairs, points: int, steps: int) -> Pairs:
    """Improve scale and offset by Gauss-Newton steps on the squared error."""
    length = signals.lengths[pairs.b] - 1
    at = _spread(signals, pairs, points)
    time = (at / length[:, None]).astype(np.float32)
    start, far = pairs.scale, 0.04 * signals.lengths[pairs.a]
    for _ in range(steps):
        seen = register(signals, pairs, at)
        steep = np.einsum("pnk,pnk->pn", seen.slope, seen.slope)
        pull = np.einsum("pnk,pnk->pn", seen.slope, seen.error)
        tt, t1 = (steep * time * time).sum(axis=1), (steep * time).sum(axis=1)
        one = steep.sum(axis=1)
        tt, one = 1.001 * tt + 1e-9, 1.001 * one + 1e-9  # so that a flat signal stays where it is
        et, e1 = (pull * time).sum(axis=1), pull.sum(axis=1)
        det = tt * one - t1 * t1
        scale = pairs.scale + np.clip((et * one - e1 * t1) / det, -far, far) / length
        offset = pairs.offset + np.clip((e1 * tt - et * t1) / det, -far, far)
        pairs = Pairs(pairs.a, pairs.b, np.clip(scale, start / 1.5, start * 1.5), offset)
    return pairs


def _sum(x: Floats, y: Floats) -> Floats:
    """Sum of the products of each pair."""
    products: Floats = np.einsum("pnk,pnk->p", x, y)  # many times faster than (x * y).sum
    return products


def _spread(signals: Signals, pairs: Pairs, points: int) -> Indices:
    length = signals.lengths[pairs.b] - 1
    return (np.linspace(0, 1, points) * length[:, None]).astype(np.int64)


def _judge(signals: Signals, pairs: Pairs) -> Doubles:
    """Return the discrepancy of each pair; infinite where it is no match."""
    lengths = signals.lengths[pairs.b]
    n = min(int(lengths.max(initial=2)), _LONGEST)
    at = np.arange(n) + np.maximum(lengths - n, 0)[:, None] // 2  # adjacent, from the middle
    seen = register(signals, pairs, at)
    error = seen.error
    count = np.maximum(seen.weight.sum(axis=(1, 2)), 1)
    total = _sum(error, error) / count
    adjacent = np.maximum(_sum(seen.weight[:, 1:], seen.weight[:, :-1]), 1)
    smooth = np.maximum(_sum(error[:, 1:], error[:, :-1]) / adjacent, 0)
    deviation = np.maximum(total - smooth, 0) / np.sqrt(3 * count)
    detail = np.minimum(signals.detail[pairs.a], signals.detail[pairs.b])
    discrepancy = np.sqrt(smooth + 2 * deviation) / np.maximum(detail, 1e-9)
    white = (smooth < _WHITE * deviation) | (discrepancy < _NOTHING)
    changes = (np.diff(seen.target, axis=1) != 0).any(axis=2).sum(axis=1)
    return np.where(white & (changes >= _LEAST), discrepancy, np.inf)
