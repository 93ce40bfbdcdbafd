from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pskd.edge.material import Material, score
from pskd.edge.targets import TARGETS
from pskd.edge.targets.c99 import compiler
from pskd.errors import CheckpointError, UsageError

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, material: Material) -> Path:
    made = tmp_path_factory.mktemp("export")
    for name in ("c", "c-int8"):
        TARGETS[name].export(material, made)
    return made


@needs_compiler
@pytest.mark.parametrize(("name", "off"), [("c", 1e-4), ("c-int8", 0.5)])
def test_a_loaded_student_answers_like_pytorch(folder, material, name, off):
    target = TARGETS[name]
    run = target.load(folder / target.file)
    with torch.inference_mode():
        expected = score(material.student, torch.from_numpy(material.test))
    found = [run(window[None]) for window in material.test]
    logits = np.stack([answer.logits for answer in found])
    probabilities = np.stack([answer.probabilities for answer in found])
    assert np.abs(logits - expected.logits.numpy()).max() < off
    assert np.abs(probabilities - expected.probabilities.numpy()).max() < off
    assert np.mean(logits.argmax(1) == material.labels) > 0.9
    assert logits.dtype == probabilities.dtype == np.float32


@needs_compiler
def test_two_loaded_students_do_not_share_memory(folder, material):
    target = TARGETS["c"]
    first, second = (target.load(folder / target.file) for _ in range(2))
    before = first(material.test[:1]).logits
    second(material.test[1:2])
    assert np.array_equal(before, first(material.test[:1]).logits)


def test_int8_needs_windows_to_calibrate_with(tmp_path, material):
    empty = Material(
        *(material.student, material.config, material.calibration[:0]),
        *(material.test, material.labels),
    )
    with pytest.raises(UsageError, match="no windows"):
        TARGETS["c-int8"].export(empty, tmp_path)


def test_no_compiler_is_said(folder, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CC", "none-such -O2")
    with pytest.raises(UsageError, match=r"no C compiler.*Install gcc"):
        TARGETS["c"].load(folder / "c/student.c")


def test_the_compiler_may_be_named_with_options(monkeypatch):
    monkeypatch.setenv("CC", "sh -x")
    assert compiler() == ["sh", "-x"]


@needs_compiler
def test_a_torn_file_is_refused(folder, tmp_path):
    shutil.copytree(folder / "c", tmp_path / "c")
    path = tmp_path / "c/student.c"
    path.write_text(path.read_text()[:9000])
    with pytest.raises(CheckpointError, match=r"student\.c.*compiler refuses.*Export again"):
        TARGETS["c"].load(path)


def test_bytes_in_a_product_are_those_of_the_compiled_student(material: Material, tmp_path: Path):
    if shutil.which("size") is None or shutil.which("cc") is None:
        pytest.skip("no compiler, or no size, is installed")
    sizes = {}
    for name in ("c", "c-int8"):
        TARGETS[name].export(material, tmp_path)
        sizes[name] = TARGETS[name].product_bytes(tmp_path / TARGETS[name].file)
    weights = sum(w.numel() for n, w in material.student.named_parameters() if w.dim() > 1)
    assert 4 * 0.6 * weights < sizes["c"] < 4 * weights + 8000
    assert sizes["c"] > sizes["c-int8"] > 0.6 * weights
