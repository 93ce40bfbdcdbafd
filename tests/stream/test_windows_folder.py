from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pskd.data.accelerometer_file import read_csv
from pskd.data.store import open_store
from pskd.datasets.folder import Folder
from pskd.errors import UsageError
from pskd.evaluate.events import Interval
from pskd.models.student_config import read_config
from pskd.stream.labelled import LongRecording
from pskd.stream.windows_folder import _keep, label_of, write_windows

TRUTH = (Interval(10.0, 13.0, "wave"), Interval(20.0, 30.0, "walk"))


@pytest.mark.parametrize(
    ("start", "label"),
    [
        (0.0, "idle"),
        (6.8, "idle"),  # 0.8 of 3 s
        (7.2, None),  # 1.2 of 3 s: nobody could say
        (8.0, "wave"),  # 2 of 3 s
        (9.5, "wave"),
        (11.0, "wave"),
        (12.5, "idle"),
        (18.0, None),  # 2 of 4 s of walking
        (24.0, "walk"),
    ],
)
def test_a_window_is_called_by_what_it_holds(start: float, label: str | None) -> None:
    times = np.arange(0, 40, 0.02)
    one = LongRecording("", times, np.zeros((len(times), 3), np.float32), TRUTH)
    assert label_of(one, start, start + 4.0) == label


def test_windows_read_back_as_a_dataset(run: Path, cache: Path, tmp_path: Path) -> None:
    counts = write_windows(run, tmp_path / "windows", data_root=None, cache=cache, copies=1)
    config = read_config(run / "student" / "config.json")
    folder = Folder(tmp_path / "windows")
    assert folder.classes == (*config.classes, "idle")
    store = open_store(folder, tmp_path / "cache")
    assert len(store) == sum(found.total() for found in counts.values())
    sides = {side: {r.subject for r in store if r.side == side} for side in ("train", "test")}
    assert sides == {"train": {"1", "3"}, "test": {"2", "4"}}  # as the run divides them
    for recording in store:
        seconds = len(recording.acceleration) / recording.rate
        assert seconds == pytest.approx(config.window_seconds, abs=2 / recording.rate)
    idle = counts["train"]["idle"] / counts["train"].total()
    assert 0.2 < idle < 0.8


@pytest.mark.parametrize(("rate", "start"), [(104, 1_100.0), (200, 90_000.0), (31, 5_000.0)])
def test_times_keep_their_digits(tmp_path: Path, rate: float, start: float) -> None:
    """Six of them are too few after a quarter of an hour."""
    (tmp_path / "accelerometer").mkdir()
    times = start + np.arange(10 * rate) / rate
    acceleration = np.random.default_rng(0).normal(0.58, 0.1, (len(times), 3)).astype(np.float32)
    one = LongRecording("", times, acceleration, ())
    assert list(_keep(one, tmp_path, "anna", 4.0))
    file = read_csv(tmp_path / "accelerometer" / "anna.csv", unit="g")
    np.testing.assert_allclose(file.times, times, atol=1e-8)
    np.testing.assert_array_equal(file.acceleration, acceleration)
    assert file.rate == pytest.approx(rate)


def test_a_folder_that_is_there_is_left_alone(run: Path, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is there already"):
        write_windows(run, tmp_path, data_root=None, cache=cache)
    with pytest.raises(UsageError, match="no trained student"):
        write_windows(tmp_path, tmp_path / "new", data_root=None, cache=cache)
    assert not (tmp_path / "new").exists()
