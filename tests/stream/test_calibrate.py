"""What is chosen for a student, and on whom."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pskd.edge.settings import STREAM, StreamSettings, read_settings
from pskd.errors import DataError, UsageError
from pskd.models.student_config import read_config
from pskd.stream import calibrate as module
from pskd.stream.calibrate import calibrate


def test_settings_are_kept_with_the_student(run: Path, cache: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    found = calibrate(copy, data_root=None, cache=cache)
    assert read_settings(copy / "student") == found.settings
    assert found.settings.student_sha256 == read_config(copy / "student" / "config.json").sha256
    assert "training side" in found.settings.note
    assert found.f1 in [trial.f1 for trial in found.trials]
    assert found.f1 >= found.trials[0].f1
    for curve in found.curves.values():
        assert (curve.kept[0], curve.let_through[0]) == (1, 1)
        assert curve.kept == sorted(curve.kept, reverse=True)


@pytest.mark.parametrize("reject", [0.05, 0.3])
def test_a_threshold_rejects_the_share_that_was_asked_for(
    run: Path, cache: Path, tmp_path: Path, reject: float
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    found = calibrate(copy, data_root=None, cache=cache, reject=reject)
    for kind in ("probability", "energy"):
        (trial,) = [t for t in found.trials[1:] if t.settings.rejection == kind][:1]
        curve = found.curves[kind]
        kept = np.interp(trial.settings.threshold, curve.thresholds, curve.kept)
        assert kept == pytest.approx(1 - reject, abs=0.1)  # of windows that are not idle


def test_what_gains_too_little_is_left_as_it_was(
    run: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST_GAIN", 2.0)  # more than anything can
    copy = shutil.copytree(run, tmp_path / "run")
    found = calibrate(copy, data_root=None, cache=cache)
    own = {"note": found.settings.note, "student_sha256": found.settings.student_sha256}
    assert found.settings == StreamSettings(**own)
    assert found.f1 == found.trials[0].f1


def test_a_student_folder_is_calibrated_on_the_people_of_its_run(
    run: Path, cache: Path, tmp_path: Path
) -> None:
    student = shutil.copytree(run / "student", tmp_path / "mine")
    found = calibrate(student, of=run, data_root=None, cache=cache)
    assert read_settings(student) == found.settings
    assert not (student / "student").exists()


def test_no_share(run: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match=r"1\.5 is no share"):
        calibrate(run, data_root=None, cache=cache, reject=1.5)


def test_nobody_to_calibrate_with(run: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        module, "long_recordings_of", lambda _, side, **__: asked.append(side) or []
    )
    with pytest.raises(DataError, match="no recordings to calibrate with"):
        calibrate(run, data_root=None, cache=cache)
    assert asked == ["validation", "train"]  # and never the test side


@pytest.mark.parametrize(
    "content", ["{", StreamSettings(student_sha256="0" * 64).model_dump_json()]
)
def test_settings_that_cannot_be_used_are_replaced(
    run: Path, cache: Path, tmp_path: Path, content: str
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "student" / STREAM).write_text(content)
    found = calibrate(copy, data_root=None, cache=cache)
    assert read_settings(copy / "student") == found.settings
