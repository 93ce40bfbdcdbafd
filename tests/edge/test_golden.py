"""Golden windows: what they are, and that they are kept as they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pskd.edge.golden import FILE, golden_windows, load_golden, save_golden
from pskd.edge.material import Material
from pskd.errors import CheckpointError


@pytest.fixture(scope="module")
def windows(material: Material) -> dict[str, np.ndarray]:
    golden = golden_windows(material)
    assert len(set(golden.names)) == len(golden.names) == len(golden.windows)
    return dict(zip(golden.names, golden.windows, strict=True))


def test_they_are_finite_windows_of_the_student(material: Material, windows):
    for window in windows.values():
        assert window.shape == (3, material.config.samples)
        assert window.dtype == np.float32
        assert np.isfinite(window).all()


def test_one_recorded_window_of_each_class_that_was_tested(material: Material, windows):
    recorded = [name for name in windows if "test window" in name]
    classes = [name.partition(",")[0] for name in recorded]
    assert classes == [material.config.classes[k] for k in np.unique(material.labels)]
    for name in recorded:
        index = int(name.split()[-1])
        np.testing.assert_array_equal(windows[name], material.test[index])
        assert material.config.classes[material.labels[index]] == name.partition(",")[0]


def test_edge_cases_are_what_their_names_say(windows):
    assert not windows["silence"].any()
    np.testing.assert_array_equal(windows["gravity along minus y"][:, 5], [0, -1, 0])
    for limit in (2, 4, 8, 16):
        at_limit = np.abs(windows[f"saturated at {limit} g"]) == limit
        assert 0.5 < at_limit.mean() < 1
    assert np.count_nonzero(windows["one impulse of 16 g"]) == 1
    assert windows["noise of 0.1 g"].std() == pytest.approx(0.1, rel=0.15)
    assert np.ptp(windows["ramp from -16 to 16 g"]) == 32
    tiny = np.abs(windows["smallest numbers there are"])
    assert set(np.unique(tiny)) <= {np.float32(0), np.float32(1e-45)}
    assert tiny.any()
    beyond = [name for name, w in windows.items() if np.abs(w).max() > 16]
    assert beyond == ["saturated at 100 g", "noise of 100 g"]


def test_the_same_student_and_data_give_the_same(material: Material):
    first, again = golden_windows(material), golden_windows(material)
    assert first.names == again.names
    np.testing.assert_array_equal(first.windows, again.windows)
    other = golden_windows(replace(material, test=material.test[::-1]))
    assert not np.array_equal(first.windows, other.windows)


def test_they_are_kept_without_pickle(material: Material, tmp_path: Path):
    golden = golden_windows(material)
    logits = np.arange(len(golden.names) * 5, dtype=np.float32).reshape(-1, 5)
    save_golden(tmp_path, golden, logits)
    read, read_logits = load_golden(tmp_path)
    assert read.names == golden.names
    np.testing.assert_array_equal(read.windows, golden.windows)
    np.testing.assert_array_equal(read_logits, logits)
    first = (tmp_path / FILE).read_bytes()
    save_golden(tmp_path, golden, logits)
    assert (tmp_path / FILE).read_bytes() == first


@pytest.mark.parametrize("content", [b"", b"PK\3\4torn", b"\x93NUMPY"])
def test_a_torn_file_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"golden.npz: golden windows cannot be read"):
        load_golden(tmp_path)


def test_pickles_are_not_opened(tmp_path: Path):
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / FILE, names=objects, windows=objects, logits=objects, allow_pickle=True)
    with pytest.raises(CheckpointError, match="allow_pickle"):
        load_golden(tmp_path)
