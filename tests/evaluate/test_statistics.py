"""Small statistics against textbook formulas and values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pskd.errors import DataError
from pskd.evaluate.statistics import mcnemar, spread, t_interval, wilson_interval


def test_spread_divides_by_n_minus_one() -> None:
    across = spread([1.0, 2.0, 4.0])
    assert across.mean == pytest.approx(7 / 3)
    assert across.sd == pytest.approx(math.sqrt((16 / 9 + 1 / 9 + 25 / 9) / 2))
    assert across.values == (1.0, 2.0, 4.0)
    assert spread([0.5]).sd is None


def test_t_interval() -> None:
    low, high = t_interval([1, 2, 3, 4, 5]) or (0.0, 0.0)
    half = 2.776445 * math.sqrt(2.5) / math.sqrt(5)  # t table, 4 degrees of freedom, 97.5 %
    assert (low, high) == (pytest.approx(3 - half), pytest.approx(3 + half))
    assert t_interval([0.25, 0.25, 0.25]) is None  # how would others differ?
    assert t_interval([0.0, 0.0]) == (0.0, 0.0)
    assert t_interval([0.25]) is None


def test_wilson_interval() -> None:
    low, high = wilson_interval(0.9, 50)
    z, p, n = 1.959964, 0.9, 50
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert low == pytest.approx((centre - half) / (1 + z * z / n))
    assert high == pytest.approx((centre + half) / (1 + z * z / n))


@pytest.mark.parametrize(("won", "lost"), [(9, 2), (2, 9), (5, 5), (1, 0), (30, 14)])
def test_mcnemar_is_the_exact_binomial_tail(won: int, lost: int) -> None:
    first = np.array([1] * won + [0] * lost + [1, 1, 0], dtype=bool)
    second = np.array([0] * won + [1] * lost + [1, 1, 0], dtype=bool)
    test = mcnemar(first, second)
    n, fewer = won + lost, min(won, lost)
    tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
    assert (test.won, test.lost) == (won, lost)
    assert test.p == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_of_equals_and_of_strangers() -> None:
    assert mcnemar([True, False], [True, False]).p == 1.0
    with pytest.raises(DataError, match="cannot be paired"):
        mcnemar([True], [True, False])
