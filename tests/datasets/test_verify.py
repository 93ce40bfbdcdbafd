from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from pskd.datasets import verify as verify_module
from pskd.datasets.twins.utd_mhad import write
from pskd.datasets.verify import FileState, VerifyReport, verify
from pskd.errors import UsageError


def states(report: VerifyReport) -> dict[str, str]:
    return {state.file.name: state.state for state in report.files}


@pytest.fixture
def twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """Six simulated recordings in two zips, and a table of hashes that knows them."""
    root = tmp_path / "root"
    write(root / "utd-mhad", subjects=1, trials=2, classes=3)
    verify_module._main("utd_mhad", str(root))
    (tmp_path / "utd_mhad.csv").write_text(capsys.readouterr().out)
    monkeypatch.setattr(verify_module, "_HASHES", tmp_path)
    return root


def unpack(root: Path) -> Path:
    """Put the two folders in the place of the two zips; return the inertial one."""
    for kind in ("Inertial", "Skeleton"):
        archive = root / "utd-mhad" / f"{kind}.zip"
        shutil.unpack_archive(archive, archive.parent)
        archive.unlink()
    return root / "utd-mhad" / "Inertial"


def inertial(root: Path) -> FileState:
    [state] = [s for s in verify("utd_mhad", root).files if s.file.name == "Inertial.zip"]
    return state


def test_however_it_is_packed_it_is_right(twin: Path) -> None:
    report = verify("utd_mhad", twin)
    assert report.passed and states(report) == {"Inertial.zip": "right", "Skeleton.zip": "right"}
    assert [state.right for state in report.files] == [6, 6]
    folder = unpack(twin)
    for file in folder.iterdir():  # the same numbers, written anew
        scipy.io.savemat(file, {"d_iner": scipy.io.loadmat(file)["d_iner"]}, do_compression=False)
    assert verify("utd_mhad", twin).passed
    with tarfile.open(folder.with_name("inertial.TGZ"), "w:gz") as archive:
        archive.add(folder, "elsewhere/Inertial")
    shutil.rmtree(folder)
    assert verify("utd_mhad", twin / "utd-mhad").passed


def test_a_changed_number_is_found_in_its_recording(twin: Path) -> None:
    file = unpack(twin) / "a2_s1_t1_inertial.mat"
    signal = scipy.io.loadmat(file)["d_iner"]
    signal[3, 4] = np.nextafter(signal[3, 4], 9)
    scipy.io.savemat(file, {"d_iner": signal})
    report = verify("utd_mhad", twin)
    assert not report.passed
    assert states(report) == {"Inertial.zip": "wrong", "Skeleton.zip": "right"}
    assert inertial(twin).wrong == ("a2_s1_t1 inertial: its numbers differ",)
    assert inertial(twin).right == 5


def test_missing_torn_double_and_unknown_recordings_are_named(twin: Path) -> None:
    folder = unpack(twin)
    (folder / "a1_s1_t1_inertial.mat").unlink()
    state = inertial(twin)
    assert (state.state, state.missing) == ("incomplete", ("a1_s1_t1 inertial",))
    assert not verify("utd_mhad", twin).passed
    other = folder / "a1_s1_t2_inertial.mat"
    shutil.copy(other, folder / "a9_s9_t9_inertial.mat")
    (folder / "copy").mkdir()
    shutil.copy(other, folder / "copy")
    torn = folder / "a3_s1_t2_inertial.mat"
    torn.write_bytes(torn.read_bytes()[:300])
    state = inertial(twin)
    assert state.state == "wrong" and state.unknown == ("a9_s9_t9 inertial",)
    assert sorted(w.partition(":")[0] for w in state.wrong) == [
        "a1_s1_t2 inertial", "a3_s1_t2 inertial",
    ]  # fmt: skip
    assert "is there twice" in str(state.wrong) and "cut short" in str(state.wrong)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html>moved</html>", "it is a web page"),
        (b"PK\x03\x04 but no more", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_a_file_that_is_no_archive_is_said(twin: Path, content: bytes, why: str) -> None:
    (twin / "utd-mhad" / "Inertial.zip").write_bytes(content)
    state = inertial(twin)
    assert state.state == "wrong" and why in state.detail
    assert not verify("utd_mhad", twin).passed


def test_what_is_required_must_be_there(twin: Path) -> None:
    (twin / "utd-mhad" / "Skeleton.zip").unlink()
    report = verify("utd_mhad", twin)
    assert states(report) == {"Inertial.zip": "right", "Skeleton.zip": "missing"}
    assert not report.passed


def test_what_nothing_is_known_of_is_readable_or_not(tmp_path: Path) -> None:
    (tmp_path / "acc_watch_clip" / "subject1").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "trimmed_pose.zip", "w") as archive:
        archive.writestr("pose/action.json", "{}" * 1000)
    report = verify("mmact", tmp_path)
    assert report.passed
    assert {name: state for name, state in states(report).items() if state != "missing"} == {
        "acc_watch_clip.tar.gz": "readable", "trimmed_pose.zip": "readable",
    }  # fmt: skip
    pose = bytearray((tmp_path / "trimmed_pose.zip").read_bytes())
    pose[200] ^= 1
    (tmp_path / "trimmed_pose.zip").write_bytes(pose)
    report = verify("mmact", tmp_path)
    assert states(report)["trimmed_pose.zip"] == "wrong" and not report.passed


def test_datasets_without_files_and_folders_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no files to verify"):
        verify("simulated", tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        verify("utd_mhad", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="unknown dataset"):
        verify("nothing", tmp_path)


def test_the_official_utd_mhad_is_right(real_data: Callable[[str], Path]) -> None:
    root = real_data("utd-mhad")
    report = verify("utd_mhad", root)
    assert report.passed and [s.right for s in report.files] == [861, 861]
    table = verify_module._table("utd_mhad")
    for kind, name in (("inertial", "d_iner"), ("skeleton", "d_skel")):
        with zipfile.ZipFile(root / f"{kind.title()}.zip") as archive:
            data = archive.read(f"{kind.title()}/a7_s3_t2_{kind}.mat")
        numbers = scipy.io.loadmat(io.BytesIO(data))[name]
        expected = hashlib.sha256(numbers.astype("<f8").tobytes(order="C")).hexdigest()
        assert table["a7_s3_t2", kind] == expected[:12]


def test_the_official_accelerometers_of_berkeley_mhad_are_right(
    real_data: Callable[[str], Path],
) -> None:
    root = real_data("berkeley-mhad")
    report = verify("berkeley_mhad", root)
    [state] = [s for s in report.files if s.file.name == "Accelerometer.tar.gz"]
    assert (state.state, state.right) == ("right", 658 * 6) and report.passed
    with tarfile.open(root / "Accelerometer.tar.gz") as archive:
        text = archive.extractfile("Accelerometer/Shimmer05/acc_h05_s07_a03_r02.txt")
        assert text
        numbers = np.array([[float(n) for n in line.split()] for line in text])
    expected = hashlib.sha256(numbers.tobytes()).hexdigest()[:12]
    assert verify_module._table("berkeley_mhad")["s07_a03_r02", "h05"] == expected
