from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("fastapi")

from pskd.stream.server.limits import PIECE
from pskd.stream.server.pieces import pieces
from pskd.stream.wire import Samples


@pytest.mark.parametrize(
    ("step", "rate", "most"),
    [(0.02, None, PIECE), (0.99, None, 4), (None, 50, PIECE), (None, 1, 3)],
)
def test_a_piece_is_little_work(step: float | None, rate: float | None, most: int) -> None:
    values = np.arange(3000, dtype=np.float32).reshape(-1, 3)
    times = None if step is None else np.arange(1000) * step
    found = list(pieces(Samples(values, times), 3.5, rate))
    assert max(len(piece.acceleration) for piece in found) == most
    np.testing.assert_array_equal(np.concatenate([p.acceleration for p in found]), values)
    if times is not None:
        np.testing.assert_array_equal(np.concatenate([p.times for p in found]), times)


def test_a_long_step_is_a_piece_of_its_own() -> None:
    found = list(pieces(Samples(np.zeros((2, 3), np.float32), np.array([0.0, 100.0])), 3.5, None))
    assert [len(piece.acceleration) for piece in found] == [1, 1]
