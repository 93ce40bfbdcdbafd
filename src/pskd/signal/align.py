"""Bringing signals of different rates to a common time axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pskd.errors import DataError, UsageError


def interpolate(
    x: NDArray[np.floating[Any]], times: ArrayLike, at: ArrayLike
) -> NDArray[np.floating[Any]]:
    """Interpolate a signal linearly in time, its first and last value held outside its span.

    Args:
        x: Signal [T, ...], floating.
        times: Time of each sample [T], strictly increasing.
        at: Times wanted [n], in the same unit.

    Returns:
        Signal [n, ...], of the dtype of `x`.

    Raises:
        DataError: Fewer than two samples, or times that are not strictly increasing.
    """
    times, at = np.asarray(times, np.float64), np.asarray(at, np.float64)
    if len(x) < 2 or times.shape != (len(x),):
        raise DataError(
            f"a signal of shape {x.shape} with times of shape {times.shape} "
            "cannot be interpolated: it needs at least 2 samples and one time for each"
        )
    if not (np.diff(times) > 0).all():
        raise DataError("times of the signal are not strictly increasing")
    return between(x, times, at)


def between(
    x: NDArray[np.floating[Any]], times: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.floating[Any]]:
    """Do what `interpolate` does, for a caller that knows its times to be in order."""
    after = np.minimum(np.maximum(times.searchsorted(at, side="right"), 1), len(x) - 1)
    before = after - 1
    start = times[before]
    weight = np.minimum(np.maximum((at - start) / (times[after] - start), 0), 1)
    weight = weight.reshape(-1, *[1] * (x.ndim - 1))
    given: NDArray[np.floating[Any]] = x[before] * (1 - weight) + x[after] * weight
    return given.astype(x.dtype)


def stretch(x: NDArray[np.floating[Any]], n: int) -> NDArray[np.floating[Any]]:
    """Stretch a signal to `n` samples: its span becomes [0, 1], its ends stay its ends.

    Two signals of one clip are aligned by stretching both, whatever their nominal rates say. In
    UTD-MHAD the skeleton is labelled 30 fps and runs at about 19, so nominal rates misalign it.

    Args:
        x: Signal [T, ...], floating.
        n: Samples wanted, at least 2.

    Returns:
        Signal [n, ...], of the dtype of `x`.

    Raises:
        DataError: Fewer than two samples.
        UsageError: `n` is below 2.
    """
    if n < 2:
        raise UsageError(f"a signal cannot be stretched to {n} samples", remedy="Ask for 2 or more")
    return interpolate(x, np.linspace(0, 1, len(x)), np.linspace(0, 1, n))
