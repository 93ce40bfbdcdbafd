"""The certificate: who passes, who does not, and that one failure hides no other export."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pskd.cli import certify as commands
from pskd.data.accelerometer_file import read_csv
from pskd.edge import bench as module
from pskd.edge.certify import FILE, PAGE, certify
from pskd.edge.export import export_student
from pskd.edge.golden import golden_windows, load_golden
from pskd.edge.material import Material, load_material
from pskd.edge.wearer import adapt_student
from pskd.errors import CheckpointError, DataError, PskdError, UsageError
from pskd.evaluate.certificate.facts import Certificate, load_certificate
from tests.edge import fakes
from tests.edge.conftest import make_material

ALL = ("right", "off", "off-int8", "lost-class", "absent", "torn")


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.enter(monkeypatch)
    monkeypatch.setattr(module, "Worker", fakes.Here)


@pytest.fixture
def own(material: Material, tmp_path: Path) -> tuple[Material, Path]:
    """A material whose student has a checksum, and its student folder."""
    return fakes.saved(material, tmp_path / "student"), tmp_path / "student"


@pytest.fixture
def certificate(own: tuple[Material, Path], tmp_path: Path) -> Certificate:
    folder = fakes.write_exports(own[0], tmp_path / "export", *ALL)
    return certify(folder, *own, calls=100)


def test_each_export_has_its_verdict(certificate: Certificate):
    assert {name: facts.status for name, facts in certificate.targets.items()} == {
        "torch": "passed",
        "right": "passed",
        "off": "failed",
        "off-int8": "passed",
        "lost-class": "failed",
        "absent": "not measured",
        "torn": "failed",
    }
    assert certificate.failed == ["off", "lost-class", "torn"]
    assert "student has 5 classes" in certificate.targets["lost-class"].reason
    assert "pip install" in certificate.targets["absent"].reason
    off = certificate.targets["off"].parity
    assert off is not None and off.difference == pytest.approx(2e-4, rel=0.01)


def test_figures_are_those_of_the_files_and_the_data(
    certificate: Certificate, own: tuple[Material, Path], tmp_path: Path
):
    material, student = own
    assert certificate.student.sha256 == material.config.sha256
    assert certificate.data.test == len(material.test)
    assert certificate.data.calibration == len(material.calibration)
    assert certificate.targets["off"].bytes == 3
    assert certificate.targets["torch"].bytes == (student / "model.safetensors").stat().st_size
    latency = certificate.targets["right"].latency
    assert latency is not None and (latency.calls, latency.p50_us) == (100, 4.5)
    assert {"pskd", "python", "torch", "numpy"} <= set(certificate.versions)
    golden = golden_windows(material)
    assert tuple(w.name for w in certificate.golden) == golden.names
    for window in certificate.golden:
        assert set(window.differences) == {"torch", "right", "off", "off-int8"}
        assert window.differences["off"] == pytest.approx(2e-4, rel=0.15)
    kept, logits = load_golden(tmp_path / "export")
    np.testing.assert_array_equal(kept.windows, golden.windows)
    assert logits.shape == (len(golden.names), 5)


def test_the_file_says_the_same_and_the_page_is_there(certificate: Certificate, tmp_path: Path):
    assert load_certificate(tmp_path / "export" / FILE) == certificate
    assert "off-int8" in (tmp_path / "export" / PAGE).read_text(encoding="utf-8")


def test_what_was_accepted_is_a_waiver_and_no_failure(own: tuple[Material, Path], tmp_path: Path):
    folder = fakes.write_exports(own[0], tmp_path / "export", "off", accepted="off")
    certificate = certify(folder, *own, calls=100)
    assert certificate.targets["off"].status == "accepted"
    assert certificate.failed == []


def test_a_runtime_that_crashes_fails_alone(
    own: tuple[Material, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from pskd.edge.worker import Worker

    real = {"aborts": Worker}
    monkeypatch.setattr(
        module, "Worker", lambda name, *a, **k: real.get(name, fakes.Here)(name, *a, **k)
    )
    folder = fakes.write_exports(own[0], tmp_path / "export", "aborts", "right")
    certificate = certify(folder, *own, calls=100)
    assert certificate.failed == ["aborts"]
    assert "SIGABRT" in certificate.targets["aborts"].reason
    assert certificate.targets["right"].latency is not None


def test_exports_of_another_student_are_refused(own: tuple[Material, Path], tmp_path: Path):
    material, student = own
    folder = fakes.write_exports(material, tmp_path / "export", "right")
    config = material.config.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(CheckpointError, match="another student"):
        certify(folder, replace(material, config=config), student)


def test_pytorch_is_not_measured_on_another_student(own: tuple[Material, Path], tmp_path: Path):
    material, _ = own
    folder = fakes.write_exports(material, tmp_path / "export", "right")
    fakes.saved(make_material(), tmp_path / "other")
    with pytest.raises(UsageError, match="other: is not the student that was exported"):
        certify(folder, material, tmp_path / "other", calls=20)


def test_other_windows_than_those_of_the_run(own: tuple[Material, Path], tmp_path: Path):
    """The labels are PyTorch's own answers: it reaches 100 % on these 40 windows."""
    material, student = own
    folder = fakes.write_exports(material, tmp_path / "export", "right")

    def claims(accuracy: float) -> Material:
        return replace(material, config=material.config.model_copy(update={"accuracy": accuracy}))

    certify(folder, claims(1 - 0.4 / 40), student, calls=20)
    with pytest.raises(DataError, match=r"100\.00 % on them, and says 97\.50 %.*--data-root"):
        certify(folder, claims(39 / 40), student, calls=20)


def test_files_are_named_below_the_folder(own: tuple[Material, Path], tmp_path: Path):
    folder = fakes.write_exports(own[0], tmp_path / "export", "c", "c-int8")
    certificate = certify(folder, *own, calls=20)
    files = {name: facts.file for name, facts in certificate.targets.items()}
    assert files == {"torch": "student", "c": "c/student.c", "c-int8": "c-int8/student.c"}


def test_a_folder_that_cannot_be_written(
    own: tuple[Material, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = fakes.write_exports(own[0], tmp_path / "export", "right")
    (folder / FILE).mkdir()
    (folder / FILE / "in the way").touch()
    with pytest.raises(PskdError, match=r"certificate\.json: cannot be written"):
        certify(folder, *own, calls=100)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache: Path):
    """Run `pskd certify` or `pskd bench`; give back stdout."""
    monkeypatch.setenv("PSKD_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["pskd", *map(str, words)])
        commands.app(standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_commands(call, run: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """On a finished run: `certify` fails, after it wrote everything, where an export does."""
    monkeypatch.setattr("pskd.edge.parity.Worker", fakes.Here)
    folder = tmp_path / "export"
    material = load_material(run, data_root=None, cache=cache)
    export_student(material, ["torch"], folder)
    printed = call("certify", run, "--folder", folder, "--calls", 20)
    assert "is the student" in printed and str(folder / PAGE) in printed
    said = json.loads(call("bench", folder, "--calls", 20, "--json"))
    assert said["exports"]["torch"]["times_torch"] == 1
    assert said["exports"]["torch"]["latency"]["calls"] == 20
    assert "p99" in call("bench", folder, "--calls", 20)

    fakes.write_exports(material, folder, "right", "off")
    (folder / FILE).unlink()
    with pytest.raises(PskdError, match="off is not the student") as failed:
        call("certify", run, "--folder", folder, "--calls", 20, "--json")
    assert failed.value.exit_code == 1
    assert load_certificate(folder / FILE).failed == ["off"]


def test_a_student_that_adapted_is_certified_by_its_run(
    call,
    run: Path,
    recording: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("pskd.edge.parity.Worker", fakes.Here)
    adapted = tmp_path / "adapted"
    adapt_student(run / "student", [read_csv(recording)], adapted)
    material = load_material(run, student=adapted, data_root=None, cache=cache)
    export_student(material, ["torch"], adapted / "export")
    assert "is the student" in call("certify", run, "--student", adapted, "--calls", 20)
    found = load_certificate(adapted / "export" / FILE)
    assert found.student.sha256 == material.config.sha256
    with pytest.raises(CheckpointError, match="exports of another student"):
        call("certify", run, "--folder", adapted / "export")


def test_bench_fails_after_it_printed_everything(
    call, own: tuple[Material, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = fakes.write_exports(own[0], tmp_path / "export", "absent", "right")
    assert "pip install" in call("bench", folder, "--calls", 20)  # not installed is no failure
    fakes.write_exports(own[0], folder, "torn", "right")
    for flags in ((), ("--json",)):
        with pytest.raises(PskdError, match="torn failed") as failed:
            call("bench", folder, "--calls", 20, *flags)
        assert failed.value.exit_code == 1
        printed = capsys.readouterr().out
        assert "right" in printed and "is torn" in printed
    assert json.loads(printed)["exports"]["right"]["latency"]["calls"] == 20
    assert "< 64" in call("bench", fakes.write_exports(own[0], folder, "right"), "--calls", 20)
