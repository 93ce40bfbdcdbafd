"""Signals brought to another sampling rate without aliases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pskd.signal.align import interpolate


def resample(
    x: NDArray[np.float32], times: NDArray[np.float64], rate: float, at: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Sample a signal at other times, evenly spaced.

    Where these are much slower than the signal, what the slower rate cannot hold is filtered out
    first: it would fold back into slow movements.

    Args:
        x: Signal [T, C], float32.
        times: Time of each sample [T], s, strictly increasing.
        rate: Sampling rate of the signal, Hz.
        at: Times wanted [n], s, at least two.

    Returns:
        Signal [n, C].
    """
    wanted = 1 / float(at[1] - at[0])
    if needs_filter(rate, wanted):
        from scipy.signal import butter, sosfiltfilt  # slow to import, and seldom needed

        count = round((times[-1] - times[0]) * rate) + 1
        even = np.linspace(times[0], times[-1], count)
        sections = butter(8, cutoff(wanted), fs=rate, output="sos")
        # The ends are extended by two periods of the cut-off, as far as the signal allows.
        pad = min(count - 1, round(2 * rate / cutoff(wanted)))
        x = sosfiltfilt(sections, interpolate(x, times, even), axis=0, padlen=pad)
        x, times = x.astype(np.float32), even
    sampled: NDArray[np.float32] = interpolate(x, times, at)
    return sampled


def needs_filter(rate: float, wanted: float) -> bool:
    """Whether a signal of some rate is filtered before it is sampled at a lower one."""
    return rate > 1.5 * wanted


def cutoff(wanted: float) -> float:
    """Cut-off of the anti-alias filter in Hz: a fifth below the Nyquist frequency."""
    return 0.4 * wanted
