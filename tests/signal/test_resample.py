from __future__ import annotations

import numpy as np
import pytest

from pskd.errors import DataError, UsageError
from pskd.signal.align import stretch
from pskd.signal.resample import Resampler, resample, stretch_filtered


def wave(hertz: float, times: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * times)[:, None].astype(np.float32)


def test_the_times_of_the_samples_give_the_samples() -> None:
    times = np.arange(100) / 50
    x = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    np.testing.assert_array_equal(resample(x, times, times), x)


@pytest.mark.parametrize(("hertz", "kept"), [(2.0, 1.0), (23.0, 0.0)])
def test_what_the_slower_rate_cannot_hold_is_gone(hertz: float, kept: float) -> None:
    """Sampled at 25 Hz, a wave of 23 Hz would look like one of 2 Hz."""
    times, at = np.arange(800) / 100, np.arange(200) / 25
    got = resample(wave(hertz, times), times, at)
    np.testing.assert_allclose(got[20:-20], kept * wave(hertz, at)[20:-20], atol=0.02)


@pytest.mark.parametrize("length", [2, 50, 128, 180])
def test_stretching_filters_only_what_becomes_much_slower(length: int) -> None:
    x = np.random.default_rng(0).normal(size=(length, 3)).astype(np.float32)
    np.testing.assert_array_equal(stretch_filtered(x, 128), stretch(x, 128))


def test_stretching_a_long_signal_filters_it() -> None:
    """Noise keeps what is below the cut-off, two parts of five, less the slope."""
    x = np.random.default_rng(0).normal(size=(20_000, 3)).astype(np.float32)
    assert stretch_filtered(x, 10_000).var() == pytest.approx(0.37, abs=0.03)


def test_what_cannot_be_stretched_is_refused() -> None:
    with pytest.raises(DataError, match="at least 2 samples"):
        stretch_filtered(np.zeros((1, 3), np.float32), 4)
    with pytest.raises(UsageError, match="to 1 samples"):
        stretch_filtered(np.zeros((5, 3), np.float32), 1)


@pytest.mark.parametrize("rate", [31.05, 128 / 3.54, 50.0])
@pytest.mark.parametrize("start", [0.0, 1.6e9])
def test_samples_at_the_wanted_rate_are_neither_lost_nor_doubled(rate: float, start: float) -> None:
    """Whatever rounding does to times of a clock of our days."""
    times = start + np.arange(300) / rate
    x = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    resampler = Resampler(rate)
    given = [resampler.push(x[k : k + 7], times[k : k + 7]) for k in range(0, 300, 7)]
    assert len(np.concatenate([*given, resampler.finish()])) == 300
