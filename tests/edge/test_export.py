"""Export folders: what is kept, what is refused, and what their JSON says."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from pskd.edge.export import EXPORT, export_student, parse_targets, read_export
from pskd.edge.material import Material, load_material
from pskd.edge.targets import TARGETS, Answer, Runner, Target
from pskd.edge.targets.torch import Torch
from pskd.edge.worker import Answers, Worker
from pskd.errors import CheckpointError, PskdError, UsageError
from pskd.models.adapt import adapt
from pskd.models.student_config import read_config
from pskd.models.student_folder import load_student, save_student


class Off(Torch):
    """PyTorch with an error of its own in the first logit."""

    name = "off"
    file = "off/student"
    error: ClassVar[float] = 0.0

    def export(self, material: Material, folder: Path) -> None:
        (folder / "off").mkdir()
        super().export(material, folder)
        (folder / "off" / "error").write_text(str(self.error))

    def load(self, path: Path) -> Runner:
        run, error = super().load(path), float((path.parent / "error").read_text())

        def shifted(window: np.ndarray) -> Answer:
            logits = run(window).logits.copy()
            logits[0] += error
            powers = np.exp(logits - logits.max())
            return Answer(logits, powers / powers.sum())

        return shifted


class Absent(Target):
    """A runtime that nobody has."""

    name, file, needs, extra = "absent", "absent.bin", ("no_such_runtime",), "watch"

    def export(self, material: Material, folder: Path) -> None:
        raise AssertionError

    def load(self, path: Path) -> Runner:
        raise AssertionError


class Here(Worker):
    """A worker without a process, which would take most of the time of these tests."""

    def __enter__(self) -> "Here":
        self._run = self._target.load(self._path)
        return self

    def __exit__(self, *_: object) -> None: ...

    def answers(self, windows: np.ndarray) -> Answers:
        answers = [self._run(window[None]) for window in windows]
        return Answers(*(np.stack(values) for values in zip(*answers, strict=True)))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for target in (Off, Absent):
        monkeypatch.setitem(TARGETS, target.name, target())
    monkeypatch.setattr("pskd.edge.parity.Worker", Here)


@pytest.fixture
def folder(material: Material, tmp_path: Path) -> tuple[Material, Path]:
    """A material whose student has a checksum, and where its exports go."""
    from pskd.models.student_folder import load_student

    save_student(tmp_path / "student", material.student, material.config)
    config = load_student(tmp_path / "student")[1]
    return replace(material, config=config), tmp_path / "export"


def test_the_json_says_what_goes_in_and_what_comes_out(folder: tuple[Material, Path]):
    material, out = folder
    export_student(material, ["torch", "off"], out)
    said = json.loads((out / EXPORT).read_text())
    assert said["format"] == 1
    assert said["input"]["shape"] == [1, 3, 64]
    assert said["input"]["unit"] == "g"
    assert said["input"]["channels"] == ["x", "y", "z"]
    assert said["input"]["rate"] * said["input"]["window_seconds"] == 64
    assert said["outputs"] == {"logits": 5, "probabilities": 5}
    assert said["classes"] == ["walk", "wave", "clap", "jog", "sit"]
    assert said["licence"] == "none"
    assert "medical" in said["intended_use"]
    assert said["calibration"] == 64
    assert said["student_sha256"] == material.config.sha256
    assert set(said["files"]) == {"torch", "off"}
    sizes = sum(p.stat().st_size for p in (out / "off").rglob("*") if p.is_file())
    assert said["files"]["off"]["bytes"] == sizes
    assert "off/error" in said["files"]["off"]["sha256"]
    assert read_export(out).model_dump(mode="json") == said
    assert not list(out.glob(".export-*"))


def test_a_float_export_that_is_off_is_refused_and_the_rest_is_kept(
    folder: tuple[Material, Path], monkeypatch: pytest.MonkeyPatch
):
    material, out = folder
    monkeypatch.setattr(Off, "error", 2e-4)
    with pytest.raises(PskdError, match=r"off is not the student: .*0\.0002.*--accept"):
        export_student(material, ["off", "torch"], out)
    assert set(read_export(out).files) == {"torch"}
    assert not (out / "off").exists()


def test_what_is_accepted_is_said(folder: tuple[Material, Path], monkeypatch: pytest.MonkeyPatch):
    material, out = folder
    monkeypatch.setattr(Off, "error", 2e-4)
    export = export_student(material, ["off", "torch"], out, accept=True)
    assert export.files["off"].accepted
    assert not export.files["torch"].accepted
    assert export.files["off"].parity.difference == pytest.approx(2e-4, rel=0.05)


def test_an_int8_export_may_differ_but_not_lose_a_point(
    folder: tuple[Material, Path], monkeypatch: pytest.MonkeyPatch
):
    material, out = folder
    monkeypatch.setattr(Off, "int8", True)
    monkeypatch.setattr(Off, "error", 2e-4)
    assert export_student(material, ["off"], out).files["off"].parity.passed
    monkeypatch.setattr(Off, "error", 100.0)  # the first class always
    share = float((material.labels == 0).mean())
    with pytest.raises(PskdError, match=rf"falls by {100 - 100 * share:.2f} points"):
        export_student(material, ["off"], out)
    assert read_export(out).files["off"].parity.accuracy == 1  # the good one stays


def test_a_missing_runtime_is_told_before_anything_is_written(folder: tuple[Material, Path]):
    material, out = folder
    with pytest.raises(UsageError, match=r"no_such_runtime.*pskd\[watch\]"):
        export_student(material, ["torch", "absent"], out)
    assert not out.exists()


def test_what_cannot_be_made_here_can_be_left_out(folder: tuple[Material, Path]):
    material, out = folder
    told: dict[str, str] = {}
    export = export_student(
        material, ["absent", "torch"], out, left_out=lambda name, e: told.update({name: str(e)})
    )
    assert set(export.files) == {"torch"}
    assert told.keys() == {"absent"} and "pskd[watch]" in told["absent"]


def test_two_failures_are_both_told(folder: tuple[Material, Path], monkeypatch: pytest.MonkeyPatch):
    material, out = folder
    monkeypatch.setattr(Off, "error", 1.0)
    monkeypatch.setitem(TARGETS, "again", Off())
    with pytest.raises(PskdError, match=r"2 exports failed.*off is not.*off is not"):
        export_student(material, ["off", "again"], out)


def test_exports_of_another_student_are_left_alone(folder: tuple[Material, Path], made):
    material, out = folder
    export_student(material, ["torch"], out)
    other = replace(material, config=material.config.model_copy(update={"sha256": "0" * 64}))
    with pytest.raises(UsageError, match="another student"):
        export_student(other, ["torch"], out)


def test_a_folder_of_something_else_is_left_alone(folder: tuple[Material, Path]):
    material, out = folder
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="no export of pskd"):
        export_student(material, ["torch"], out)


def test_an_export_that_was_killed_is_no_hindrance(folder: tuple[Material, Path]):
    material, out = folder
    (out / ".export-abc").mkdir(parents=True)
    export_student(material, ["torch"], out)
    assert set(read_export(out).files) == {"torch"}


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_folder_that_cannot_be_written(folder: tuple[Material, Path], tmp_path: Path):
    material, _ = folder
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PskdError, match=r"file.*cannot be written.*--out"):
        export_student(material, ["torch"], tmp_path / "file" / "export")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-1] + b"?"), "checksum"),
        (lambda p: p.unlink(), "missing"),
    ],
)
def test_a_file_that_is_not_the_one_is_named(folder: tuple[Material, Path], harm, message: str):
    material, out = folder
    export_student(material, ["torch"], out)
    harm(out / "student" / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: .*{message}"):
        read_export(out)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "no list of exports"),
        ('{"format": 2}', "has format 2.*newer pskd"),
        ('{"format": 1, "trust": true}', "no list of exports: student_sha256"),
    ],
)
def test_a_json_that_is_torn_foreign_or_newer(tmp_path: Path, text: str, message: str):
    (tmp_path / EXPORT).write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_export(tmp_path)


@pytest.mark.parametrize("path", ["../../../etc/passwd", "/etc/passwd", "a//b", "./a", ""])
@pytest.mark.parametrize("where", ["sha256", "file"])
def test_files_outside_of_the_folder_are_not_read(
    folder: tuple[Material, Path], path: str, where: str
):
    material, out = folder
    export_student(material, ["torch"], out)
    said = json.loads((out / EXPORT).read_text())
    said["files"]["torch"]["sha256"][path] = "0" * 64
    if where == "file":
        said["files"]["torch"]["file"] = path
    (out / EXPORT).write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match="no list of exports"):
        read_export(out)


def test_a_link_that_leads_outside_is_not_read(folder: tuple[Material, Path], tmp_path: Path):
    material, out = folder
    export_student(material, ["torch"], out)
    weights = out / "student" / "model.safetensors"
    weights.rename(tmp_path / "mine")
    weights.symlink_to(tmp_path / "mine")
    with pytest.raises(CheckpointError, match="outside of the folder"):
        read_export(out)


def test_what_is_opened_has_a_checksum(folder: tuple[Material, Path]):
    material, out = folder
    export_student(material, ["torch"], out)
    said = json.loads((out / EXPORT).read_text())
    said["files"]["torch"]["file"] = "other"
    (out / EXPORT).write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match="other has no checksum"):
        read_export(out)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("input", {"shape": [1, 3, 10**9]}),
        ("input", {"shape": [1, 3, -5]}),
        ("input", {"unit": "feet"}),
        ("files", {"[/x]": {}}),
        ("files", {"\x1b[2J": {}}),
    ],
)
def test_a_json_of_somebody_else_cannot_ask_for_much(
    folder: tuple[Material, Path], key: str, value: dict
):
    material, out = folder
    export_student(material, ["torch"], out)
    said = json.loads((out / EXPORT).read_text())
    old = said["files"]["torch"]
    said[key] |= {name: old if new == {} else new for name, new in value.items()}
    (out / EXPORT).write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match=f"no list of exports: {key}"):
        read_export(out)


def test_nothing_that_can_be_made_is_an_error_that_leaves_nothing(folder: tuple[Material, Path]):
    material, out = folder
    with pytest.raises(UsageError, match="no target can be made"):
        export_student(material, ["absent"], out, left_out=lambda name, error: None)
    assert not out.exists()


def test_names_of_targets():
    assert parse_targets("torch, off,torch") == ["torch", "off"]
    assert parse_targets("all") == [name for name in TARGETS if name != "torch"]
    with pytest.raises(UsageError, match=r"'tourch'.*'torch'"):
        parse_targets("tourch")


def test_a_run_gives_windows_of_each_side(run: Path, cache: Path):
    material = load_material(run, data_root=None, cache=cache)
    sides = json.loads((run / "summary.json").read_text())["protocol"]["sides"]
    assert material.calibration.shape == (min(sides["train"], 256), 3, 32)
    assert material.test.shape == (sides["test"], 3, 32)
    with (run / "predictions" / "student.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["side"] == "test"]
    with torch.inference_mode():
        said = material.student(torch.from_numpy(material.test)).logits.argmax(1)
    assert said.tolist() == [int(row["predicted"]) for row in rows]
    assert material.labels.tolist() == [int(row["true"]) for row in rows]


def test_a_student_without_its_run_cannot_be_checked(run: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="without its run"):
        load_material(run / "student", data_root=None, cache=tmp_path)


def test_a_folder_without_a_student(tmp_path: Path):
    with pytest.raises(UsageError, match="no finished run here"):
        load_material(tmp_path, data_root=None, cache=tmp_path)


def test_a_student_that_came_of_the_runs_is_exported_with_its_windows(
    run: Path, cache: Path, tmp_path: Path
) -> None:
    model, config = load_student(run / "student")
    windows = load_material(run, data_root=None, cache=cache).test
    save_student(tmp_path / "mine", adapt(model, torch.from_numpy(windows[:8])), config)
    material = load_material(run, student=tmp_path / "mine", data_root=None, cache=cache)
    made = export_student(material, ["torch"], tmp_path / "export")
    own, theirs = (
        read_config(f / "config.json").sha256 for f in (tmp_path / "mine", run / "student")
    )
    assert made.student_sha256 == own != theirs

    other = config.model_copy(update={"classes": [f"{name}!" for name in config.classes]})
    save_student(tmp_path / "other", model, other)
    with pytest.raises(UsageError, match=r"other: its classes are not those of the student of"):
        load_material(run, student=tmp_path / "other", data_root=None, cache=cache)
