"""Samples as they come from a device, put in order: what is usable, and where parts begin.

All rules look at one sample after the other, so that it does not matter in which pieces they come.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GAP_SECONDS, GAP_STEPS = 0.25, 5
"""A longer step than both, `GAP_STEPS` times the usual one, is a gap."""
MAX_GAP_SECONDS = 1.0
"""A longer step is a gap in any case, or where no step is known yet."""
STEPS = 16
"""The usual step is the mean of so many before."""
MIN_STEP = 5e-5
"""A sample that follows sooner is a duplicate: no accelerometer of a watch is that fast."""
MAX_WAITING = 4096
"""Samples that wait for late ones, at most."""
JUMP_SECONDS = 1.0
"""Late samples that go on for so long of their own time: the clock was set back."""

Times = NDArray[np.float64]
Values = NDArray[np.float32]


@dataclass
class Counts:
    """What came, and what could not be used.

    Attributes:
        samples: All that came.
        duplicates: With the time of one that was used, or next to it.
        late: After a later one was used.
        not_finite: With a time or value that is not a finite number.
        gaps: Breaks in time; no window spans one.
        clock_jumps: Times that the clock of the device was set back.
        windows: That were predicted.
    """

    samples: int = 0
    duplicates: int = 0
    late: int = 0
    not_finite: int = 0
    gaps: int = 0
    clock_jumps: int = 0
    windows: int = 0


class Piece(NamedTuple):
    """Samples in order of time, without a gap."""

    begins: bool
    """Whether a new part begins with its first sample."""
    acceleration: Values
    """[n, 3]"""
    times: Times
    """[n], s."""


class Intake:
    """Puts samples in order and finds gaps.

    Args:
        counts: Filled in as samples come.
        lateness: Seconds that a sample may come after a later one; all wait for that long.
    """

    def __init__(self, counts: Counts, lateness: float = 0.0) -> None:
        self.counts = counts
        self._lateness = lateness
        self._newest = -math.inf
        self._used = -math.inf
        """Time of the last sample that was given."""
        self._waiting: list[tuple[float, int, Values]] = []
        self._number = count()
        self._late: tuple[float, float] | None = None
        """Times of the first and the last sample of a run of late ones."""
        self._recent: Times = np.empty(0)
        """Times of the last samples of the part."""

    def push(self, acceleration: Values, times: Times) -> Iterator[Piece]:
        """Take samples [n, 3] and their times [n] in the order in which they came."""
        self.counts.samples += len(times)
        if not len(times):
            return
        if self._is_clean(acceleration, times):
            begins = not len(self._recent)
            self._newest, self._late = float(times[-1]), None
            self._go_on(np.concatenate([self._recent, times]))
            yield Piece(begins, acceleration, times)
            return
        finite = np.isfinite(times) & np.isfinite(acceleration).all(axis=1)
        self.counts.not_finite += int((~finite).sum())
        ordered: list[tuple[float, Values]] = []
        for time, value in zip(times[finite].tolist(), acceleration[finite], strict=True):
            if time <= self._used:
                if not self._went_back(time):
                    continue
                ordered += self._until(math.inf)
                yield from self._parts(*_stacked(ordered))
                ordered = []
                self._recent = np.empty(0)
                self._newest = self._used = -math.inf
            self._late = None
            self._newest = max(self._newest, time)
            heapq.heappush(self._waiting, (time, next(self._number), value))
            ordered += self._until(self._newest - self._lateness)
        yield from self._parts(*_stacked(ordered))

    def finish(self) -> Iterator[Piece]:
        """Give the samples that wait for late ones."""
        yield from self._parts(*_stacked(self._until(math.inf)))

    def _until(self, time: float) -> list[tuple[float, Values]]:
        """Waiting samples up to a time, in order, one of each time."""
        given = []
        while self._waiting and (self._waiting[0][0] <= time or len(self._waiting) > MAX_WAITING):
            at, _, value = heapq.heappop(self._waiting)
            if at - self._used < MIN_STEP:
                self.counts.duplicates += 1
                continue
            self._used = at
            given.append((at, value))
        return given

    def _went_back(self, time: float) -> bool:
        """Count a sample that comes too late; whether the clock was set back."""
        if time == self._used:
            self.counts.duplicates += 1
            return False
        self.counts.late += 1
        first, last = self._late or (time, time)
        self._late = (first, time) if time >= last else (time, time)
        if time - self._late[0] < JUMP_SECONDS:
            return False
        self.counts.clock_jumps += 1
        return True

    def _parts(self, acceleration: Values, times: Times) -> Iterator[Piece]:
        """Split samples in order at gaps."""
        if not len(times):
            return
        old = len(self._recent)
        known = np.concatenate([self._recent, times])
        begins, begin, part = not old, old, 0  # of the piece; where it and its part begin in known
        steps = np.diff(known)
        for gap in np.flatnonzero(steps > GAP_SECONDS).tolist():
            if gap + 1 < old:
                continue  # judged when it came
            before = steps[max(part, gap - STEPS) : gap]
            usual = float(before.mean()) if len(before) else math.inf
            if steps[gap] <= min(GAP_STEPS * usual, MAX_GAP_SECONDS):
                continue
            self.counts.gaps += 1
            if gap + 1 > begin:
                yield Piece(
                    begins, acceleration[begin - old : gap + 1 - old], known[begin : gap + 1]
                )
            begins, begin, part = True, gap + 1, gap + 1
        yield Piece(begins, acceleration[begin - old :], known[begin:])
        self._go_on(known[part:])

    def _go_on(self, part: Times) -> None:
        self._recent = part[-STEPS - 1 :].copy()  # and not the whole piece
        self._used = float(part[-1])

    def _is_clean(self, acceleration: Values, times: Times) -> bool:
        """Whether no rule applies, as nearly always: samples in order, no gap, all finite."""
        if self._lateness:
            return False
        begins = self._used == -math.inf and math.isfinite(times[0])
        with np.errstate(invalid="ignore"):  # infinities give NaN, which is not clean
            steps = times[1:] - times[:-1]
            return bool(
                (begins or MIN_STEP <= times[0] - self._used <= GAP_SECONDS)
                and (not len(steps) or (steps.min() >= MIN_STEP and steps.max() <= GAP_SECONDS))
                and math.isfinite(acceleration.sum())
            )


def _stacked(samples: list[tuple[float, Values]]) -> tuple[Values, Times]:
    times = np.array([time for time, _ in samples])
    return np.array([value for _, value in samples], np.float32).reshape(-1, 3), times
