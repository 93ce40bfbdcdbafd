from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pskd.errors import CheckpointError, UsageError
from pskd.stream.runtime import open_student


def test_without_an_export_pytorch_runs_the_student(run: Path) -> None:
    student = open_student(run)
    assert student.runtime == "torch"
    assert open_student(run / "student").config == student.config


def test_an_export_is_used_where_it_is_there(run: Path, cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from pskd.edge.export import export_student
    from pskd.edge.material import load_material

    copy = shutil.copytree(run, tmp_path / "run")
    export_student(load_material(run, data_root=None, cache=cache), ["onnx"], copy / "export")
    fast, slow = open_student(copy), open_student(copy, "torch")
    assert fast.runtime == "onnx"
    window = np.random.default_rng(0).normal(size=(1, 3, fast.config.samples)).astype(np.float32)
    np.testing.assert_allclose(fast.runner(window).logits, slow.runner(window).logits, atol=1e-4)

    listing = copy / "export" / "export.json"
    sound = json.loads(listing.read_text())
    for change in ({"onnx": sound["files"]["onnx"] | {"accepted": True}}, {}):
        listing.write_text(json.dumps(sound | {"files": change}))
        assert open_student(copy).runtime == "torch"  # known to be wrong; not listed yet
    listing.write_text(json.dumps(sound))
    with pytest.raises(UsageError, match=r"no export for c here.*pskd export"):
        open_student(copy, "c")
    content = json.loads(listing.read_text()) | {"student_sha256": "0" * 64}
    listing.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="another student"):
        open_student(copy)


def test_what_is_no_student_is_refused(tmp_path: Path, run: Path) -> None:
    with pytest.raises(UsageError, match="no trained student here"):
        open_student(tmp_path)
    with pytest.raises(UsageError, match=r"unknown runtime 'onx'.*Did you mean 'onnx'"):
        open_student(run, "onx")
