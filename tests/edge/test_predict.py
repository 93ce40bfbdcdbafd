"""Predicting windows of a user's CSV, with a student whose answer can be computed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pskd.edge.predict import cut_windows, predict_windows, read_csv
from pskd.errors import DataError, UsageError
from pskd.models.base import Model, Output, Signal
from pskd.models.student_folder import StudentConfig
from pskd.signal.resample import stretch_filtered

G = 9.80665


class MeanStudent(Model):
    """Logits are the mean of each axis over the window."""

    inputs = ("acceleration",)
    feature_channels = 3

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, acceleration: Tensor) -> Output:
        mean = acceleration.mean(dim=2)
        return Output(self.gain * mean, mean, acceleration)


def config(samples: int = 32, window: float = 1.0, hop: float = 0.5) -> StudentConfig:
    return StudentConfig(
        model="mean",
        dataset="made up",
        classes=["along x", "along y", "along z"],
        samples=samples,
        embedding=3,
        rate=samples / window,
        window_seconds=window,
        hop_seconds=hop,
        normalisation="none",
        placement="right wrist",
        protocol="none",
        protocol_note="made up",
        parameters=1,
        macs=0,
        licence="none",
        seed=0,
    )


def student() -> MeanStudent:
    model = MeanStudent(Signal(classes=3))
    model.eval()
    return model


@pytest.fixture
def write(tmp_path: Path):
    def write_text(text: str) -> Path:
        path = tmp_path / "watch.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


@pytest.fixture
def record(write):
    """Writes a recording with columns t,x,y,z."""

    def write_arrays(times: np.ndarray, xyz: np.ndarray, header: str = "t,x,y,z") -> Path:
        rows = [",".join(map(repr, map(float, row))) for row in np.column_stack([times, xyz])]
        return write("\n".join([header, *rows]) + "\n")

    return write_arrays


def still(n: int, axis: int = 2) -> np.ndarray:
    """At rest, gravity along one axis."""
    return np.eye(3)[axis] * np.ones((n, 1))


# --- windows ------------------------------------------------------------------------------------


def test_windows_slide_by_the_hop(record):
    times = 100 + np.arange(96) / 32
    file = read_csv(record(times, still(96)), unit="g")
    windows, notes = cut_windows(file, config())
    assert [w.start_s for w in windows] == pytest.approx([100, 100.5, 101, 101.5, 102])
    assert [w.end_s - w.start_s for w in windows] == pytest.approx([1.0] * 5)
    assert {w.samples.shape for w in windows} == {(32, 3)}
    assert notes == []


def test_windows_hold_the_samples_of_their_times(record):
    """At the student's own rate nothing is resampled: a window is a slice of the file."""
    rng = np.random.default_rng(0)
    xyz = rng.normal(size=(100, 3))
    file = read_csv(record(np.arange(100) / 32, xyz), unit="g")
    windows, _ = cut_windows(file, config(), hop_seconds=0.25)
    assert len(windows) == 9
    for i, window in enumerate(windows):
        np.testing.assert_allclose(window.samples, xyz[8 * i : 8 * i + 32], atol=1e-5)


def test_hops_that_are_no_whole_samples_do_not_drift(record):
    file = read_csv(record(np.arange(3200) / 32, still(3200)), unit="g")
    starts = [w.start_s for w in cut_windows(file, config(), hop_seconds=0.3)[0]]
    assert np.abs(np.array(starts) - 0.3 * np.arange(len(starts))).max() <= 0.5 / 32 + 1e-6


def test_resampling_keeps_slow_movements(record):
    times = np.arange(500) / 50
    xyz = still(500) + 0.3 * np.sin(2 * np.pi * 2 * times)[:, None]
    file = read_csv(record(times, xyz), unit="g")
    windows, notes = cut_windows(file, config(samples=40))
    assert notes == ["Resampled from 50 Hz to the student's 40 Hz."]
    window = windows[7]
    at = window.start_s + np.arange(40) / 40
    expected = 1 + 0.3 * np.sin(2 * np.pi * 2 * at)
    np.testing.assert_allclose(window.samples[:, 2], expected, atol=0.003)


@pytest.mark.parametrize(("frequency", "kept"), [(3.0, 1.0), (31.0, 0.0), (45.0, 0.0)])
def test_downsampling_does_not_fold_fast_movements_into_slow_ones(record, frequency, kept):
    """Student at 32 Hz: 31 and 45 Hz would come back as 1 and 13 Hz."""
    times = np.arange(2000) / 200
    wave = 0.5 * np.sin(2 * np.pi * frequency * times)
    file = read_csv(record(times, still(2000) + wave[:, None]), unit="g")
    windows, notes = cut_windows(file, config())
    assert notes == [
        "Resampled from 200 Hz to the student's 32 Hz, after a low-pass filter at 12.8 Hz."
    ]
    window = windows[9]
    at = window.start_s + np.arange(32) / 32
    expected = kept * 0.5 * np.sin(2 * np.pi * frequency * at)
    np.testing.assert_allclose(window.samples[:, 0], expected, atol=0.02)


def test_gravity_passes_the_filter_up_to_the_ends(record):
    file = read_csv(record(np.arange(201) / 200, still(201)), unit="g")
    windows, _ = cut_windows(file, config())
    np.testing.assert_allclose(windows[0].samples, still(32), atol=1e-4)


def test_a_slow_file_is_said_to_lack_fast_movements(record):
    file = read_csv(record(np.arange(100) / 10, still(100)), unit="g")
    assert "above 5 Hz, which the file cannot hold" in cut_windows(file, config())[1][0]


def test_windows_do_not_span_gaps(record):
    times = np.arange(128) / 32
    times[48:] += 5
    xyz = np.concatenate([still(48, axis=0), still(80, axis=2)])
    file = read_csv(record(times, xyz), unit="g")
    windows, _ = cut_windows(file, config())
    assert [w.start_s for w in windows] == pytest.approx([0, 0.5, 6.5, 7, 7.5, 8])
    for window in windows:
        axis = 0 if window.start_s < 2 else 2
        np.testing.assert_allclose(window.samples, still(32, axis), atol=1e-6)


def test_a_recording_of_exactly_one_window_is_one_window_at_any_rate(record):
    for rate in (20, 25, 32, 50, 64, 100):
        file = read_csv(record(np.arange(rate) / rate, still(rate)), unit="g")
        windows, notes = cut_windows(file, config())
        assert [(w.start_s, w.end_s) for w in windows] == [(0, pytest.approx(1))]
        assert not any("stretched" in note for note in notes)


def test_a_short_recording_is_stretched_to_one_window(record):
    ramp = np.linspace(0, 1, 20)
    file = read_csv(record(np.arange(20) / 32, still(20, 1) + ramp[:, None]), unit="g")
    windows, notes = cut_windows(file, config())
    assert len(windows) == 1
    assert windows[0].end_s == pytest.approx(20 / 32)
    np.testing.assert_allclose(windows[0].samples[:, 0], np.linspace(0, 1, 32), atol=1e-6)
    assert "0.62 s was stretched to one window of 1 s" in notes[-1]


@pytest.mark.parametrize("rate", [40, 50, 64, 100])
def test_a_short_recording_is_what_a_clip_of_it_is_in_training(record, rate: int):
    x = np.random.default_rng(0).normal(size=(round(0.7 * rate), 3)).astype(np.float32)
    file = read_csv(record(np.arange(len(x)) / rate, x), unit="g")
    (window,), _ = cut_windows(file, config())
    np.testing.assert_allclose(window.samples, stretch_filtered(x, 32), atol=1e-5)


def test_a_shorter_recording_is_refused(record):
    file = read_csv(record(np.arange(15) / 32, still(15)), unit="g")
    with pytest.raises(DataError, match=r"0.47 s, too short for a window of 1 s"):
        cut_windows(file, config())


def test_parts_between_gaps_are_not_stretched(record):
    times = np.arange(40) / 32
    times[20:] += 5
    file = read_csv(record(times, still(40)), unit="g")
    with pytest.raises(DataError, match=r"longest part without a gap is 0\.62 s"):
        cut_windows(file, config())


@pytest.mark.parametrize("hop", [0.0, -1.0, float("nan"), float("inf"), 0.001])
def test_impossible_hops(record, hop: float):
    file = read_csv(record(np.arange(64) / 32, still(64)), unit="g")
    with pytest.raises(UsageError, match="hop"):
        cut_windows(file, config(), hop)


# --- predictions --------------------------------------------------------------------------------


def test_predictions_are_those_of_the_student(record, monkeypatch):
    monkeypatch.setattr("pskd.edge.predict.BATCH", 2)  # several batches, the last one short
    xyz = np.concatenate([still(32, 0), still(32, 1), still(32, 2)]) * 1.5
    file = read_csv(record(np.arange(96) / 32, xyz), unit="g")
    predictions = predict_windows(student(), config(), file, hop_seconds=1.0)
    assert [p.class_name for p in predictions] == ["along x", "along y", "along z"]
    assert [(p.start_s, p.end_s) for p in predictions] == [(0, 1), (1, 2), (2, 3)]
    right = np.exp(1.5) / (np.exp(1.5) + 2)
    for i, prediction in enumerate(predictions):
        assert prediction.probability == pytest.approx(right, rel=1e-5)
        expected = np.where(np.arange(3) == i, right, (1 - right) / 2)
        np.testing.assert_allclose(prediction.probabilities, expected, rtol=1e-5)


def test_notes_are_added_to_the_file_once(record):
    file = read_csv(record(np.arange(200) / 50, still(200)), unit="auto")
    predict_windows(student(), config(), file)
    predict_windows(student(), config(), file)
    assert [note.split()[0] for note in file.notes] == ["Unit", "Resampled"]
