"""Accelerometer files of Berkeley-MHAD: rows of `x y z unix_time`, in g and seconds.

Stamps are those of a radio receiver that looked for samples every 22 ms: of one sensor samples come
22 or 44 ms apart, or many at once after a pause, yet 31.05 in a second on the whole. They were
taken evenly: a sample is closer to the mean of its two neighbours than to the line between them
in the time of their stamps, for all six sensors. So a sample is put at its place in an even row,
late by the median delay of the second around it.

Sixteen rows of all files have values over the sensor's range of 2 g, up to 60 g. They are not
movement but a packet read out of step: the low byte of the last such value is always FE, and the
axis after it always at -2 g, the least there is. Clipped, such a row would stay false; it is left
out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from pskd.data.rows import read_rows

FILE_BYTES = 1 << 20
"""The largest official file has 43 KiB."""
RATE = 31.05
"""Samples a second: the median over all files."""
RANGE = 2.01
"""No sample of the sensor is over this, g."""
SECONDS = (0.2, 300.0)
"""A clip is neither shorter nor longer; the official ones have 0.3 to 30."""

_RATES = (0.5 * RATE, 2 * RATE)
_MOST_ROWS = 50_000
_MOST_SPIKES = 0.1

Array = NDArray[np.float64]


def read_samples(data: bytes) -> tuple[Array, Array]:
    """Parse a file.

    Returns:
        Times [T], unix, s, strictly increasing, and the acceleration at them [T, 3], g.

    Raises:
        ValueError: It is no such file, or not what the sensor gives.
    """
    rows = read_rows(data, 4, _MOST_ROWS)
    possible = (np.abs(rows[:, :3]) <= RANGE).all(axis=1)
    if np.mean(~possible) > _MOST_SPIKES:
        raise ValueError(f"{np.sum(~possible)} of {len(rows)} samples are over {RANGE} g")
    rows = in_order(rows[possible], 3, SECONDS)
    stamps = rows[:, 3] - rows[0, 3]
    rate = (len(rows) - 1) / stamps[-1]
    if not _RATES[0] <= rate <= _RATES[1]:
        raise ValueError(f"has {rate:.3g} samples a second, not about {RATE}")
    even = np.arange(len(rows)) / RATE
    delay = median_filter(stamps - even, size=round(RATE), mode="nearest")
    return rows[0, 3] + even + delay, rows[:, :3]


def in_order(rows: Array, column: int, seconds: tuple[float, float]) -> Array:
    """Sort rows by their time stamps; of several with the same stamp the first stays.

    Raises:
        ValueError: They are too few, or span less or more than `seconds` allows.
    """
    rows = rows[np.unique(rows[:, column], return_index=True)[1]]
    span = float(rows[-1, column]) - float(rows[0, column])
    if len(rows) < 2 or not seconds[0] <= span <= seconds[1]:
        raise ValueError(
            f"{len(rows)} time stamps over {span:.3g} s, not {seconds[0]:g} to {seconds[1]:g} s"
        )
    return rows
