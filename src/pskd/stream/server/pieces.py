"""Samples in pieces that are little work: then it is the others' turn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pskd.stream.server.limits import PIECE
from pskd.stream.wire import Samples


def pieces(samples: Samples, seconds: float, rate: float | None) -> Iterator[Samples]:
    """Cut samples into pieces of at most `PIECE`, and of so many seconds.

    Sparse samples are many windows once they are resampled.

    Args:
        samples: As they were sent.
        seconds: Of their own time.
        rate: Samples a second, where they have no times.
    """
    acceleration, times = samples
    start = 0
    while start < len(acceleration):
        stop = start + PIECE
        if times is not None:
            stop = min(stop, int(np.searchsorted(times, times[start] + seconds)))
        elif rate:
            stop = min(stop, start + int(seconds * rate))
        stop = max(stop, start + 1)
        yield Samples(acceleration[start:stop], None if times is None else times[start:stop])
        start = stop
