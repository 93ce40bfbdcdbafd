"""Which recordings of another side are worth a closer look.

Two descriptions of a recording, each a short vector whose scalar products cost little even for
28,000 recordings against 7,000: its shape, stretched to a fixed number of points, which is what a
copy keeps that was resampled or plays at another speed; and its amplitude spectrum on the clock,
which a shift or a crop hardly changes. Thresholds are loose: `near` tells what is no copy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pskd.data.audit.signals import Floats, Indices, Signals

Doubles = NDArray[np.float64]
Found = tuple[Indices, Indices, Doubles, Doubles]
"""Recordings a and b, and the scale and offset of `near.Pairs` to begin with."""

BATCH = 500  # recordings or pairs looked at together
_BINS = 192  # of each signal, whatever its length
_POINTS = 32  # of a stretched shape
_BANDS = np.arange(0.4, 8.01, 0.25)  # Hz, edges
_BLOCKS = 32  # of the first side; each gives its best
_NEAREST = 4  # of these bests are looked at
_LAG = 0.2  # of a clip, the largest shift
_FFT = 512  # more than 5/4 + 1 times the bins, so that nothing wraps round


class Candidates:
    """Descriptions of all recordings of a store."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._bins = np.empty((len(signals), _BINS, 3), np.float32)
        self._shapes = np.empty((len(signals), _POINTS * 3), np.float32)
        self._spectra = np.empty((len(signals), (len(_BANDS) - 1) * 3), np.float32)
        for low in range(0, len(signals), BATCH):
            part = slice(low, low + BATCH)
            bins = _binned(signals, part)
            points = bins.reshape(len(bins), _POINTS, -1, 3).mean(axis=2)
            self._bins[part] = bins
            self._shapes[part] = _unit(points - points.mean(axis=1, keepdims=True))
            self._spectra[part] = _spectrum(bins, signals.seconds[part])

    def same_span(self, first: Indices, second: Indices) -> Found:
        """Pairs that look alike when both are stretched to one span."""
        a, b, likeness = _nearest(self._shapes, first, second)
        a, b = a[likeness > 0.9], b[likeness > 0.9]
        length = self._signals.lengths
        return a, b, (length[a] - 1) / (length[b] - 1), np.zeros(len(a))

    def same_clock(self, first: Indices, second: Indices) -> Found:
        """Pairs with like spectra whose changes correlate at some shift."""
        seconds, rates = self._signals.seconds, self._signals.rates
        a, b, likeness = _nearest(self._spectra, first, second)
        ratio = seconds[b] / seconds[a]
        keep = (likeness > 0.8) & (ratio > 0.8) & (ratio < 1.25)
        a, b = a[keep], b[keep]
        lag, correlation = self._shift(a, b)
        keep = correlation > 0.6
        a, b, lag = a[keep], b[keep], lag[keep]
        return a, b, rates[a] / rates[b], lag * rates[a]

    def _shift(self, a: Indices, b: Indices) -> tuple[Doubles, Doubles]:
        """Seconds by which b begins later than a, and the correlation of their changes there."""
        lag, correlation = np.empty(len(a)), np.empty(len(a))
        seconds, most = self._signals.seconds, int(_LAG * _BINS)
        for low in range(0, len(a), BATCH):
            part = slice(low, low + BATCH)
            i, j = a[part], b[part]
            # b in bins as long as those of a
            at = (np.arange(_BINS * 5 // 4) + 0.5) * (seconds[i] / seconds[j])[:, None] - 0.5
            left = np.clip(at.astype(np.int64), 0, _BINS - 2)
            rest = (at - left).astype(np.float32)[..., None]
            moved = self._bins[j[:, None], left]
            moved += rest * (self._bins[j[:, None], left + 1] - moved)
            x = np.diff(self._bins[i], axis=1)
            y = np.diff(moved, axis=1) * (at <= _BINS - 1)[:, 1:, None]
            product = np.fft.rfft(x, _FFT, axis=1) * np.fft.rfft(y, _FFT, axis=1).conj()
            cross = np.fft.irfft(product.sum(axis=2), _FFT, axis=1)
            cross = np.concatenate([cross[:, -most:], cross[:, : most + 1]], axis=1)
            peak = cross.argmax(axis=1)
            power = (x**2).sum(axis=(1, 2)) * (y**2).sum(axis=(1, 2))
            correlation[part] = cross[np.arange(len(i)), peak] / np.sqrt(power + 1e-12)
            lag[part] = (peak - most) * seconds[i] / _BINS
        return lag, correlation


def _nearest(features: Floats, first: Indices, second: Indices) -> tuple[Indices, Indices, Floats]:
    """For each of `second` the best few of `first`, each the best of its block, and how alike.

    The best of each block is far cheaper to find than the best few of all, and a copy is the best
    of its block.
    """
    blocks = np.array_split(first, min(_BLOCKS, len(first)))
    which = np.empty((len(second), len(blocks)), np.int64)
    likeness = np.empty(which.shape, np.float32)
    for low in range(0, len(second), 4 * BATCH):
        part = slice(low, low + 4 * BATCH)
        asked = features[second[part]]
        for n, block in enumerate(blocks):
            product = asked @ features[block].T
            best = product.argmax(axis=1)
            which[part, n], likeness[part, n] = block[best], product[np.arange(len(best)), best]
    order = np.argsort(-likeness, axis=1, kind="stable")[:, :_NEAREST]
    which = np.take_along_axis(which, order, axis=1)
    likeness = np.take_along_axis(likeness, order, axis=1)
    return which.ravel(), np.repeat(second, which.shape[1]), likeness.ravel()


def _binned(signals: Signals, part: slice) -> Floats:
    """Means over equal parts of each signal [n, bins, 3], whatever its length."""
    starts, lengths = signals.starts[part], signals.lengths[part]
    block = signals.samples[starts[0] : starts[-1] + lengths[-1]]
    total = np.concatenate([np.zeros((1, 3)), np.cumsum(block, axis=0, dtype=np.float64)])
    edges = np.linspace(0, 1, _BINS + 1) * lengths[:, None]
    offset = (starts - starts[0])[:, None]
    upto = _between(total, np.minimum(edges, lengths[:, None]) + offset)
    means = np.diff(upto, axis=1) * (_BINS / lengths)[:, None, None]
    return means.astype(np.float32)


def _spectrum(bins: Floats, seconds: Doubles) -> Floats:
    """Amplitude of the changes in each band and axis, of length 1."""
    change = np.diff(bins, axis=1) * np.hanning(_BINS + 1)[1:-1, None].astype(np.float32)
    power = np.abs(np.fft.rfft(change, 2 * _BINS, axis=1)) ** 2
    total = np.concatenate([np.zeros_like(power[:, :1]), np.cumsum(power, axis=1)], axis=1)
    edges = np.minimum(2 * _BANDS * seconds[:, None] + 0.5, _BINS + 1)
    # One recording after the other, as if it were one signal
    row = np.arange(len(bins))[:, None] * total.shape[1]
    upto = _between(total.reshape(-1, 3), edges + row)
    return _unit(np.sqrt(np.maximum(np.diff(upto, axis=1), 0)))


def _between(values: NDArray[np.floating], at: Doubles) -> NDArray[np.floating]:
    """Values [n, 3] at places between the samples [...], linearly interpolated [..., 3]."""
    low = np.minimum(at.astype(np.int64), len(values) - 2)
    between: NDArray[np.floating] = values[low + 1] - values[low]
    return values[low] + (at - low)[..., None] * between


def _unit(values: NDArray[np.floating]) -> Floats:
    flat = values.reshape(len(values), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    unit: Floats = (flat / np.maximum(length, 1e-9)).astype(np.float32)
    return unit
