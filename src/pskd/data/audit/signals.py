"""The accelerometer signals of a store, side by side in one array."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pskd.data.recording import Recording
from pskd.data.store import Store

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

_LARGEST = 1e6  # g; beyond it nothing is acceleration, and squares might become infinite
_BLOCK = 500  # recordings worked on at once, so that memory stays bounded


@dataclass(frozen=True)
class Signals:
    """Signals one after the other, and what is known of each.

    Attributes:
        samples: All samples [sum of T, 3], g.
        starts: Index of the first sample of each recording [N].
        lengths: Samples of each recording [N].
        rates: Sampling rate of each, Hz [N].
        digests: Hash of each accelerometer signal; empty where the signal never changes, so that
            two dead sensors do not pass for copies.
        skeletons: Hash of each skeleton; empty where there is none, or where it never moves.
    """

    samples: Floats
    starts: Indices
    lengths: Indices
    rates: NDArray[np.float64]
    digests: list[bytes]
    skeletons: list[bytes]

    def __len__(self) -> int:
        return len(self.starts)

    def of(self, index: int) -> Floats:
        """Signal of one recording [T, 3]."""
        return self.samples[self.starts[index] :][: self.lengths[index]]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Duration of each recording."""
        return self.lengths / self.rates

    @cached_property
    def detail(self) -> NDArray[np.float64]:
        """Rms of what a moving average over half a second leaves of each recording, g [N]."""
        detail = np.empty(len(self))
        for low in range(0, len(self), _BLOCK):
            part = slice(low, low + _BLOCK)
            begin, length, rate = self.starts[part], self.lengths[part], self.rates[part]
            block = self.samples[begin[0] : begin[-1] + length[-1]]
            total = np.concatenate([np.zeros((1, 3)), np.cumsum(block, axis=0, dtype=np.float64)])
            begin = begin - begin[0]
            each, half = np.arange(len(block)), np.maximum(np.round(rate / 4), 1).astype(np.int64)
            first = np.maximum(each - np.repeat(half, length), np.repeat(begin, length))
            end = np.minimum(each + np.repeat(half + 1, length), np.repeat(begin + length, length))
            rest = block - (total[end] - total[first]) / (end - first)[:, None]
            detail[part] = np.sqrt(np.add.reduceat((rest**2).sum(axis=1), begin) / length)
        return detail

    def per_recording(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """Mean of one value a sample [sum of T, ...] over each recording [N, ...]."""
        sums: NDArray[np.float64] = np.add.reduceat(values, self.starts, dtype=np.float64)
        return sums / self.lengths.reshape(-1, *[1] * (values.ndim - 1))


def read_signals(store: Store) -> Signals:
    """Read every recording once; only accelerations are kept."""
    lengths = np.array([info.samples for info in store.info])
    starts = np.cumsum([0, *lengths[:-1]])
    samples = np.empty((lengths.sum(), 3), np.float32)
    digests, skeletons = [], []
    for start, recording in zip(starts, store, strict=True):
        signal = recording.acceleration
        samples[start : start + len(signal)] = np.clip(signal, -_LARGEST, _LARGEST)
        digests.append(_digest(signal))
        skeletons.append(_skeleton_digest(recording))
    rates = np.array([info.rate for info in store.info])
    return Signals(samples, starts, lengths, rates, digests, skeletons)


def _skeleton_digest(recording: Recording) -> bytes:
    return b"" if recording.skeleton is None else _digest(recording.skeleton)


def _digest(values: Floats) -> bytes:
    if (values == values[0]).all():
        return b""
    return hashlib.blake2b(values.tobytes(), digest_size=16).digest()
