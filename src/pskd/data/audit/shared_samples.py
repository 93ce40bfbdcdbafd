"""Stretches of samples that are bit for bit in two recordings: windows that overlap, crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pskd.data.audit.signals import Indices, Signals

_RUN = 16  # samples hashed together, a power of 2
_CHANGES = 12  # so many of them differ from the one before; sensors at rest repeat themselves
_LEAST = 32  # equal samples in a row that count
_STILL = 0.03  # g; a stretch that moves less may be equal by chance
_MIX = np.array([[0x9E3779B97F4A7C15], [0xC2B2AE3D27D4EB4F], [0x165667B19E3779F9]], np.uint64)


@dataclass(frozen=True)
class Stretch:
    """Samples that recordings of two sides have in common.

    Attributes:
        first: Index of the recording on the first side.
        second: Index of the one on the second side.
        samples: How many samples in a row.
    """

    first: int
    second: int
    samples: int


class Fingerprints:
    """Hashes of short runs of samples of all recordings.

    One hash in eight is kept, chosen by its value and so alike wherever the run occurs. Of a
    stretch of 100 equal samples none is kept once in 80,000 times.
    """

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        bits = np.ascontiguousarray(signals.samples).view(np.uint32)
        sample = np.zeros(len(bits), np.uint64)
        for axis, factor in enumerate(_MIX):
            sample = (sample ^ bits[:, axis]) * factor
            sample ^= sample >> np.uint64(29)
        changed = np.concatenate([[0], np.cumsum(sample[1:] != sample[:-1])])
        run, length, factor = sample, 1, _MIX[0]
        while length < _RUN:  # each half is a run of half the length
            run = run[:-length] + factor * run[length:]
            length, factor = 2 * length, factor * factor
        run = (run ^ (run >> np.uint64(32))) * _MIX[1]
        changes = changed[_RUN - 1 :] - changed[: len(run)]
        place = np.flatnonzero((run >> np.uint64(61) == 0) & (changes >= _CHANGES))
        of = np.searchsorted(signals.starts, place, side="right") - 1
        inside = place + _RUN <= (signals.starts + signals.lengths)[of]
        self._hash, self._place, self._of = run[place[inside]], place[inside], of[inside]

    def between(self, first: Indices, second: Indices) -> list[Stretch]:
        """Find what of the second side has samples of the first, each with one partner."""
        ours, theirs = (np.flatnonzero(np.isin(self._of, side)) for side in (first, second))
        known, at = np.unique(self._hash[ours], return_index=True)
        if not len(known):
            return []
        found = np.minimum(np.searchsorted(known, self._hash[theirs]), len(known) - 1)
        same = known[found] == self._hash[theirs]
        stretches: dict[int, Stretch] = {}
        for i, j in zip(ours[at[found[same]]], theirs[same], strict=True):
            if int(self._of[j]) not in stretches:
                stretch = self._stretch(i, j)
                if stretch is not None:
                    stretches[stretch.second] = stretch
        return list(stretches.values())

    def _stretch(self, i: int, j: int) -> Stretch | None:
        """Grow two runs that have the same hash as far as their samples are equal."""
        a, b = int(self._of[i]), int(self._of[j])
        x, y = self._signals.of(a), self._signals.of(b)
        at_x = int(self._place[i] - self._signals.starts[a])
        at_y = int(self._place[j] - self._signals.starts[b])
        back = min(at_x, at_y)
        x, y = x[at_x - back :], y[at_y - back :]
        n = min(len(x), len(y))
        differ = np.flatnonzero((x[:n] != y[:n]).any(axis=1))
        edge = int(np.searchsorted(differ, back))
        start = int(differ[edge - 1]) + 1 if edge else 0
        stop = int(differ[edge]) if edge < len(differ) else n
        if stop - start < _LEAST or x[start:stop].std(axis=0).max() < _STILL:
            return None
        return Stretch(a, b, stop - start)
