from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pskd.edge.settings import STREAM, StreamSettings, read_settings, write_settings
from pskd.errors import CheckpointError
from pskd.models.student_config import read_config


@pytest.fixture
def student(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run / "student", tmp_path / "student")


def test_a_student_without_the_file_has_the_defaults(student: Path) -> None:
    assert read_settings(student) == StreamSettings()


def test_what_was_written_is_read(student: Path) -> None:
    sha256 = read_config(student / "config.json").sha256
    settings = StreamSettings(student_sha256=sha256, rejection="energy", threshold=-1.5, idle_g=0.1)
    write_settings(student, settings)
    assert read_settings(student) == settings


def test_settings_of_another_student_are_refused(student: Path) -> None:
    write_settings(student, StreamSettings(student_sha256="0" * 64))
    with pytest.raises(CheckpointError, match="calibrated for another student"):
        read_settings(student)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "reads up to 1. Install a newer pskd"),
        ({"smoothing": "magic"}, "smoothing"),
        ({"treshold": 1}, "treshold"),
        ({"idle_g": -1}, "idle_g"),
    ],
)
def test_settings_that_are_none_are_refused(
    student: Path, change: dict[str, object], message: str
) -> None:
    content = StreamSettings().model_dump(mode="json") | change
    (student / STREAM).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=message):
        read_settings(student)


def test_a_torn_file_is_refused(student: Path) -> None:
    (student / STREAM).write_text('{"format": 1,')
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_settings(student)
