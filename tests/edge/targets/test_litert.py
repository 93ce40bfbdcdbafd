"""LiteRT exports, converted where litert-torch is and run by ai-edge-litert here."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pskd.edge.material import Material
from pskd.edge.targets import TARGETS
from pskd.edge.targets.litert import VARIABLE, converter_python
from pskd.errors import CheckpointError, UsageError

pytest.importorskip("ai_edge_litert")

LITERT, INT8 = TARGETS["litert"], TARGETS["litert-int8"]


@pytest.fixture(scope="module")
def converter() -> None:
    try:
        converter_python()
    except UsageError as missing:
        pytest.skip(missing.what)


@pytest.fixture(scope="module")
def exported(converter: None, material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("litert")
    LITERT.export(material, folder)
    INT8.export(material, folder)
    return folder


def of_torch(material: Material, windows: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return material.student(torch.from_numpy(windows)).logits.numpy()


def deviation(answers: np.ndarray, logits: np.ndarray) -> float:
    """Root mean square of what logits are off by, as a share of their range."""
    return float(np.sqrt(np.mean((answers - logits) ** 2)) / np.ptp(logits))


def operators(path: Path) -> list[tuple[str, type]]:
    """Name of each operator and kind of numbers that it gives, in order."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    kinds = {t["index"]: t["dtype"] for t in interpreter.get_tensor_details()}
    return [(op["op_name"], kinds[op["outputs"][0]]) for op in interpreter._get_ops_details()]


def test_logits_and_probabilities_are_those_of_torch(exported: Path, material: Material):
    run = LITERT.load(exported / LITERT.file)
    logits = of_torch(material, material.test)
    e = np.exp(logits.astype(np.float64))
    answers = [run(window[None]) for window in material.test]
    np.testing.assert_allclose([a.logits for a in answers], logits, atol=1e-4)
    expected = e / e.sum(1, keepdims=True)
    np.testing.assert_allclose([a.probabilities for a in answers], expected, atol=1e-5)


def test_an_answer_stays_when_the_next_window_comes(exported: Path, material: Material):
    run = LITERT.load(exported / LITERT.file)
    first = run(material.test[:1])
    kept = first.logits.copy()
    assert not np.array_equal(run(material.test[1:2]).logits, kept)
    np.testing.assert_array_equal(first.logits, kept)


def test_int8_agrees_with_torch_and_calculates_in_integers(exported: Path, material: Material):
    run = INT8.load(exported / INT8.file)
    logits = of_torch(material, material.test)
    answers = np.array([run(window[None]).logits for window in material.test])
    assert (answers.argmax(1) == logits.argmax(1)).mean() >= 0.95
    assert 0 < deviation(answers, logits) < 0.05
    found = operators(exported / INT8.file)
    weighted = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD"}
    assert {kind for name, kind in found if name in weighted} == {np.int8}
    assert found[-1] == ("SOFTMAX", np.float32)


def test_the_layout_of_memory_changes_once_before_the_convolutions(exported: Path):
    names = [name for name, _ in operators(exported / LITERT.file)]
    last = len(names) - names[::-1].index("CONV_2D")
    assert names[:last].count("TRANSPOSE") == 1


def test_what_gaf_does_to_raw_samples_stays_float(
    converter: None, gaf_material: Material, tmp_path: Path
):
    INT8.export(gaf_material, tmp_path)
    found = operators(tmp_path / INT8.file)
    images = [name for name, _ in found].index("QUANTIZE")
    assert {"SQRT", "DIV", "BATCH_MATMUL"} <= {name for name, _ in found[:images]}
    assert np.int8 not in {kind for _, kind in found[:images]}
    assert {kind for name, kind in found if "CONV_2D" in name} == {np.int8}
    run = INT8.load(tmp_path / INT8.file)
    logits = of_torch(gaf_material, gaf_material.test)
    answers = np.array([run(window[None]).logits for window in gaf_material.test])
    assert deviation(answers, logits) < 0.05


def test_a_torn_file_is_refused(exported: Path, tmp_path: Path):
    whole = (exported / LITERT.file).read_bytes()
    torn = tmp_path / LITERT.file
    for size in (0, 6, 100, len(whole) // 2, len(whole) - 20):
        torn.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"Export it again"):
            LITERT.load(torn)


def test_a_file_with_other_outputs_is_refused(exported: Path, tmp_path: Path):
    foreign = tmp_path / LITERT.file
    foreign.write_bytes((exported / LITERT.file).read_bytes().replace(b"logits", b"scores"))
    with pytest.raises(CheckpointError, match="logits"):
        LITERT.load(foreign)


@pytest.mark.parametrize("content", [b"PK\3\4 an archive", b"\x1c\0\0\0TFL3" + bytes(range(200))])
def test_a_foreign_file_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "student.tflite").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"student\.tflite"):
        LITERT.load(tmp_path / "student.tflite")


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="No such file"):
        LITERT.load(tmp_path / "student.tflite")


# --- no converter, or one that fails ------------------------------------------------------------


def test_a_missing_converter_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(UsageError, match=r"make litert.*pip install litert-torch==.* torch=="):
        converter_python()
    (tmp_path / "litert" / "bin").mkdir(parents=True)
    (tmp_path / "litert" / "bin" / "python").touch()
    assert converter_python() == tmp_path / "litert" / "bin" / "python"


def test_an_interpreter_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "python"))
    with pytest.raises(UsageError, match=VARIABLE):
        converter_python()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Makes a shell script take the place of the converter's Python."""

    def make(script: str) -> None:
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        monkeypatch.setenv(VARIABLE, str(python))

    return make


def test_an_operator_without_a_lowering_is_named_and_nothing_is_written(
    stand_in: Callable[[str], None], material: Material, tmp_path: Path
):
    stand_in("echo 'RuntimeError: Lowering not found: aten._linalg_eigh' >&2; exit 1")
    folder = tmp_path / "export"
    folder.mkdir()
    with pytest.raises(UsageError, match=r"temporal_cnn: .*aten\._linalg_eigh"):
        LITERT.export(material, folder)
    assert not list(folder.iterdir())


def test_int8_without_windows_to_calibrate_with_is_refused(
    stand_in: Callable[[str], None], material: Material, tmp_path: Path
):
    stand_in("exit 1")
    with pytest.raises(UsageError, match="calibrate"):
        INT8.export(replace(material, calibration=material.calibration[:0]), tmp_path)
