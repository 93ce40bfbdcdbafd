from __future__ import annotations

import numpy as np
import pytest

from pskd.signal.windows import Windows


@pytest.mark.parametrize(("hop", "starts"), [(1.0, [0, 1, 2, 3]), (1.5, [0, 1.5, 3]), (3, [0, 3])])
def test_windows_start_every_hop(hop: float, starts: list[float]) -> None:
    times = np.arange(50) / 10  # 5 s, held to the end of the last step
    x = np.repeat(times[:, None], 3, axis=1).astype(np.float32)
    windows = Windows(samples=20, seconds=2.0, hop=hop)
    found = [*windows.push(x[:13], times[:13]), *windows.push(x[13:], times[13:])]
    found += windows.finish()
    assert [w.start_s for w in found] == pytest.approx(starts)
    assert [w.end_s for w in found] == pytest.approx([s + 2 for s in starts])
    for window in found:
        expected = window.start_s + np.arange(20) / 10
        np.testing.assert_allclose(window.samples[:, 0], expected, atol=1e-6)


def test_a_window_is_due_with_its_last_sample() -> None:
    times = np.arange(50) / 10
    windows = Windows(samples=20, seconds=2.0, hop=0.5)
    list(windows.push(np.zeros((17, 3), np.float32), times[:17]))
    assert windows.due == pytest.approx(1.9)
    assert len(list(windows.push(np.zeros((3, 3), np.float32), times[17:20]))) == 1
    assert windows.due == pytest.approx(2.4)
