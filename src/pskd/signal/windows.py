"""Windows of an even rate, cut from a signal without gaps as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pskd.signal.resample import Resampler


class Window(NamedTuple):
    """A part of a signal, as a model takes it."""

    start_s: float
    """Time of its first sample, in the time of the signal."""
    end_s: float
    samples: NDArray[np.float32]
    """[S, C]"""


class Windows:
    """Window i starts at sample `round(i * hop * rate)` of the resampled signal.

    Args:
        samples: In a window, S.
        seconds: Duration of a window; the rate is `samples / seconds`.
        hop: Time from one window to the next, s, at least one sample.
    """

    def __init__(self, samples: int, seconds: float, hop: float) -> None:
        self.samples, self.seconds = samples, seconds
        self._hop = hop * samples / seconds
        self._resampler = Resampler(samples / seconds)
        self._index = 0
        self._held: NDArray[np.float32] = np.empty((0, 3), np.float32)
        self._first = 0
        """Place of the first held sample in the resampled signal."""

    @property
    def due(self) -> float:
        """Time of the signal before which no window is complete."""
        last = round(self._index * self._hop) + self.samples - 1
        return self._resampler.start + last / self._resampler.rate

    @property
    def input_rate(self) -> float:
        """Mean rate of the samples so far, Hz; 0 where there are fewer than two."""
        return self._resampler.input_rate

    def push(self, x: NDArray[np.float32], times: NDArray[np.float64]) -> Iterator[Window]:
        """Take samples [n, 3], later than all before; give the windows that are complete."""
        yield from self._cut(self._resampler.push(x, times))

    def finish(self) -> Iterator[Window]:
        """Give the windows that are complete once the last sample is held for its step."""
        yield from self._cut(self._resampler.finish())

    def _cut(self, x: NDArray[np.float32]) -> Iterator[Window]:
        self._held = np.concatenate([self._held, x])
        rate = self._resampler.rate
        while True:
            first = round(self._index * self._hop)
            at = first - self._first
            if at + self.samples > len(self._held):
                break
            start = self._resampler.start + first / rate
            yield Window(start, start + self.seconds, self._held[at : at + self.samples])
            self._index += 1
        needed = min(max(at, 0), len(self._held))
        self._held, self._first = self._held[needed:], self._first + needed
