"""Signals brought to another sampling rate without aliases, whole or as they come.

Every sample of the output depends on the few samples of the input around it and on nothing else, so
that a signal that comes in pieces gives the same numbers, to the bit, as the whole.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pskd.signal.align import between, stretch

STEPS = 16
"""The local rate is the mean of so many steps between samples."""

HALF_WIDTH = 6
"""Of the anti-alias filter, in periods of the output."""

_BLOCK = 1024
"""Outputs that are filtered at once, to bound memory."""

Signal = NDArray[np.float32]
Times = NDArray[np.float64]


def resample(x: Signal, times: Times, at: Times) -> Signal:
    """Sample a signal at other times, evenly spaced; its ends are held outside its span.

    Where these are much slower than the signal, what the slower rate cannot hold is filtered out
    first: it would fold back into slow movements.

    Args:
        x: Signal [T, C], float32, at least two samples.
        times: Time of each sample [T], s, strictly increasing.
        at: Times wanted [n], s, at least two.

    Returns:
        Signal [n, C].
    """
    wanted = 1 / float(at[1] - at[0])
    return _sample(x, times, at, wanted, needs_filter(_local_rates(times, at), wanted))


def stretch_filtered(x: Signal, n: int) -> Signal:
    """Do what `pskd.signal.align.stretch` does, with the filter of `resample` where it is needed.

    Args:
        x: Signal [T, C], float32, evenly spaced.
        n: Samples wanted, at least 2.

    Returns:
        Signal [n, C].

    Raises:
        DataError: Fewer than two samples.
        UsageError: `n` is below 2.
    """
    if min(len(x), n) < 2:
        return stretch(x, n)  # which says what is wrong
    return resample(x, np.linspace(0, 1, len(x)), np.linspace(0, 1, n))


def needs_filter(rate: Any, wanted: float) -> Any:
    """Whether a signal of some rate, or of each of some rates, is filtered for a lower one."""
    return rate > 1.5 * wanted


def cutoff(wanted: float) -> float:
    """Cut-off of the anti-alias filter in Hz: a fifth below the Nyquist frequency."""
    return 0.4 * wanted


class Resampler:
    """A signal without gaps brought to an even rate as it comes.

    Output k is the signal at `start + k / rate`, where `start` is the time of the first sample.

    Args:
        rate: Of the output, Hz.
        channels: C.
    """

    def __init__(self, rate: float, channels: int = 3) -> None:
        self.rate = rate
        self.start = math.nan
        self.made = 0
        """Outputs given so far."""
        self._taken = 0
        self._x: Signal = np.empty((0, channels), np.float32)
        self._times: Times = np.empty(0)

    def push(self, x: Signal, times: Times) -> Signal:
        """Take samples [n, C], later than all before; give the outputs that they settle [m, C]."""
        if not len(x):
            return self._x[:0]
        if not self._taken:
            self.start = float(times[0])
        self._taken += len(x)
        self._x = np.concatenate([self._x, x])
        self._times = np.concatenate([self._times, times])
        newest = self._times[-1]
        at = self._until(float(newest))
        at = at[: at.searchsorted(newest, side="right")]
        if self._taken <= STEPS or not len(at):  # till then the local rate is not known
            return self._x[:0]
        fast = needs_filter(_local_rates(self._times, at), self.rate)
        if fast.any():
            waits = fast & (at + HALF_WIDTH / self.rate > newest)
            ready = int(waits.argmax()) if waits.any() else len(at)
            at, fast = at[:ready], fast[:ready]
        return self._give(at, fast)

    @property
    def input_rate(self) -> float:
        """Mean rate of the samples so far, Hz; 0 where there are fewer than two."""
        if self._taken < 2:
            return 0.0
        return (self._taken - 1) / (float(self._times[-1]) - self.start)

    def finish(self) -> Signal:
        """Give what is left [m, C]; nothing may be pushed after.

        T samples last T steps, as clips do: the last one is held for the last step.
        """
        if self._taken < 2:
            return self._x[:0]
        at = self._until(float(self._times[-1]) + 1 / self.input_rate)[:-1]
        return self._give(at, needs_filter(_local_rates(self._times, at), self.rate))

    def _until(self, time: float) -> Times:
        """Times of the outputs that are not given yet, up to the last at `time` or before."""
        count = math.floor((time - self.start) * self.rate + 1e-6) + 1
        return self.start + np.arange(self.made, count) / self.rate

    def _give(self, at: Times, fast: NDArray[np.bool_]) -> Signal:
        if not len(at):
            return self._x[:0]
        given = _sample(self._x, self._times, at, self.rate, fast)
        self.made += len(at)
        following = self.start + self.made / self.rate
        reach = self._times.searchsorted(following - HALF_WIDTH / self.rate) - 1
        steps = self._times.searchsorted(following) - STEPS
        needed = max(0, min(int(reach), int(steps)))
        self._x, self._times = self._x[needed:], self._times[needed:]
        return given


def _sample(x: Signal, times: Times, at: Times, wanted: float, fast: NDArray[np.bool_]) -> Signal:
    sampled: Signal = between(x, times, at)
    filtered = fast.nonzero()[0]
    for first in range(0, len(filtered), _BLOCK):
        some = filtered[first : first + _BLOCK]
        sampled[some] = _filtered(x, times, at[some], wanted)
    return sampled


def _local_rates(times: Times, at: Times) -> Times:
    """Rate of the steps that end with the sample at each time or after; first of the first."""
    newest = len(times) - 1
    last = np.minimum(np.maximum(times.searchsorted(at), min(STEPS, newest)), newest)
    first = np.maximum(last - STEPS, 0)
    rates: Times = (last - first) / (times[last] - times[first])
    return rates


def _filtered(x: Signal, times: Times, at: Times, wanted: float) -> NDArray[np.float64]:
    """Mean of the samples around each time under a sinc in a Hann window."""
    half = HALF_WIDTH / wanted
    first = np.searchsorted(times, at - half)
    count = np.searchsorted(times, at + half, side="right") - first
    near = first[:, None] + np.arange(count.max())
    inside = np.arange(count.max()) < count[:, None]
    near = np.minimum(near, len(times) - 1)
    away = times[near] - at[:, None]
    # A sample counts for the step before it, so that a change of the rate shifts nothing.
    before = np.where(near > 0, times[near] - times[near - 1], times[1] - times[0])
    weights = np.sinc(2 * cutoff(wanted) * away) * np.cos(np.pi * away / (2 * half)) ** 2 * before
    weights = np.where(inside, weights, 0)[:, :, None]
    # Summed one after the other: numpy's sum would round by how many windows come at once.
    totals: NDArray[np.float64] = (weights * x[near]).cumsum(axis=1)[:, -1]
    totals /= weights.cumsum(axis=1)[:, -1]
    return totals
