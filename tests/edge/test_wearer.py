"""A student folder that has adapted to its wearer."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pskd.data.accelerometer_file import read_csv
from pskd.edge.predict import cut_windows
from pskd.edge.settings import StreamSettings, read_settings, write_settings
from pskd.edge.wearer import adapt_student
from pskd.errors import CheckpointError
from pskd.models.adapt import adapt
from pskd.models.student_config import read_config
from pskd.models.student_folder import load_student


@pytest.fixture
def student(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run / "student", tmp_path / "student"))


def test_it_adapts_to_windows_that_do_not_overlap(
    student: Path, recording: Path, tmp_path: Path
) -> None:
    out = tmp_path / "adapted"
    assert adapt_student(student, [read_csv(recording), read_csv(recording)], out) == 6
    model, config = load_student(student)
    cut, _ = cut_windows(read_csv(recording), config, hop_seconds=config.window_seconds)
    windows = torch.from_numpy(np.stack([window.samples.T for window in cut] * 2))
    expected = adapt(model, windows).state_dict()
    for name, value in load_student(out)[0].state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert not (out / "stream.json").exists()


def test_how_it_decides_on_a_stream_comes_along(
    student: Path, recording: Path, tmp_path: Path
) -> None:
    mine = read_config(student / "config.json").sha256
    settings = StreamSettings(student_sha256=mine, agree=3, note="On subject 1.")
    write_settings(student, settings)
    adapt_student(student, [read_csv(recording)], tmp_path / "adapted")
    found = read_settings(tmp_path / "adapted")
    assert found.agree == 3 and found.student_sha256 != mine
    assert found.note == "On subject 1. Calibrated before the student adapted to its wearer."


def test_settings_that_nobody_calibrated_stay_so_and_notes_do_not_grow(
    student: Path, recording: Path, tmp_path: Path
) -> None:
    write_settings(student, StreamSettings(agree=2))
    adapt_student(student, [read_csv(recording)], tmp_path / "plain")
    assert read_settings(tmp_path / "plain") == StreamSettings(agree=2)

    mine = read_config(student / "config.json").sha256
    write_settings(student, StreamSettings(student_sha256=mine, note="x" * 1990))
    once, twice = tmp_path / "once", tmp_path / "twice"
    adapt_student(student, [read_csv(recording)], once)
    adapt_student(once, [read_csv(recording)], twice)
    assert read_settings(once).note == read_settings(twice).note


def test_settings_of_another_student_stop_it_before_anything_is_written(
    student: Path, recording: Path, tmp_path: Path
) -> None:
    write_settings(student, StreamSettings(student_sha256="0" * 64))
    with pytest.raises(CheckpointError, match="another student"):
        adapt_student(student, [read_csv(recording)], tmp_path / "adapted")
    assert not (tmp_path / "adapted").exists()
