import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pskd.errors import DataError, UsageError
from pskd.signal.align import interpolate, stretch


@given(st.integers(2, 60), st.integers(2, 200), st.integers(0, 2**31))
def test_stretch_agrees_with_numpy_interp(length: int, n: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(length, 2, 3))
    expected = np.empty((n, 2, 3))
    for index in np.ndindex(2, 3):
        column = x[:, *index]
        expected[:, *index] = np.interp(np.linspace(0, 1, n), np.linspace(0, 1, length), column)
    np.testing.assert_allclose(stretch(x, n), expected, atol=1e-12)


@given(st.integers(2, 400), st.integers(2, 400))
def test_stretch_keeps_the_ends_and_a_straight_line(length: int, n: int) -> None:
    line = np.linspace(-1, 3, length)
    stretched = stretch(line, n)
    assert stretched[0] == line[0] and stretched[-1] == line[-1]
    np.testing.assert_allclose(stretched, np.linspace(-1, 3, n), atol=1e-12)


def test_stretch_to_the_same_length_changes_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(177, 3)).astype(np.float32)
    stretched = stretch(x, 177)
    assert stretched.dtype == np.float32
    np.testing.assert_array_equal(stretched, x)


def test_stretch_by_hand() -> None:
    np.testing.assert_allclose(stretch(np.array([0.0, 2.0, 8.0]), 5), [0, 1, 2, 5, 8])


def test_two_rates_of_one_motion_align_by_stretching() -> None:
    slow = np.sin(np.linspace(0, 3, 61))
    fast = np.sin(np.linspace(0, 3, 151))
    np.testing.assert_allclose(stretch(slow, 100), stretch(fast, 100), atol=1e-3)


def test_interpolate_uneven_times_and_outside_holds_the_ends() -> None:
    x = np.array([[0.0, 1.0], [4.0, 1.0], [5.0, 3.0]])
    at = [-1, 0, 1, 3.5, 4, 9]
    expected = np.array([[0, 1], [0, 1], [2, 1], [4.75, 2.5], [5, 3], [5, 3]])
    np.testing.assert_allclose(interpolate(x, [0, 2, 4], at), expected)


@pytest.mark.parametrize("times", [[0, 1, 1], [0, 2, 1], [0, np.nan, 2]])
def test_interpolate_refuses_times_that_do_not_increase(times: list[float]) -> None:
    with pytest.raises(DataError, match="not strictly increasing"):
        interpolate(np.zeros(3), times, [0.5])


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(DataError, match="at least 2 samples"):
        stretch(np.zeros((1, 3)), 4)
    with pytest.raises(DataError, match="one time for each"):
        interpolate(np.zeros(3), [0, 1], [0.5])
    with pytest.raises(UsageError, match="stretched to 1 samples"):
        stretch(np.zeros((5, 3)), 1)
