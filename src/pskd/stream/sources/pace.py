"""Samples of a recording or a simulation, given out as time passes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pskd.stream.sources.base import Event
from pskd.stream.wire import MAX_SAMPLES, Samples

CHUNK_SECONDS = 0.1
"""Of our time, from one chunk to the next: as often as a watch sends."""


class Pace:
    """Gives samples out when they are due.

    Args:
        speed: Seconds of the samples' time that pass in one of ours; infinite: no waiting.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began: tuple[float, float] | None = None

    def chunks(
        self, acceleration: NDArray[np.float32], times: NDArray[np.float64]
    ) -> Iterator[Event]:
        """Give samples [n, 3] with ascending times [n], s, that go on where others ended."""
        if self._began is None:
            self._began = time.monotonic(), float(times[0])
        start, stop = 0, 0
        while start < len(times):
            stop = start + MAX_SAMPLES
            if math.isfinite(self._speed):
                end = times[start] + CHUNK_SECONDS * self._speed
                stop = min(stop, max(start + 1, int(np.searchsorted(times, end))))
            part = slice(start, stop)
            due = self._due(float(times[part][-1]))
            yield Event(due, Samples(acceleration[part], times[part]))
            start = stop

    def _due(self, at: float) -> float:
        """Wait until a sample is due, and say when it was."""
        assert self._began is not None
        if not math.isfinite(self._speed):
            return time.monotonic()
        due = self._began[0] + (at - self._began[1]) / self._speed
        time.sleep(max(0.0, due - time.monotonic()))
        return due
