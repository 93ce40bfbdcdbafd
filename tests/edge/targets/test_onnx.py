"""ONNX exports against the student itself, run by ONNX Runtime on windows of its own."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pskd.edge.material import Material
from pskd.edge.targets import TARGETS
from pskd.errors import CheckpointError, UsageError
from pskd.models.base import Output

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def folder(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both exports of the temporal student."""
    folder = tmp_path_factory.mktemp("export")
    for name in ("onnx", "onnx-int8"):
        TARGETS[name].export(material, folder)
    return folder


def logits_of(target: str, material: Material, folder: Path) -> np.ndarray:
    run = TARGETS[target].load(folder / TARGETS[target].file)
    return np.stack([run(window[None]).logits for window in material.test])


def expected(material: Material) -> np.ndarray:
    with torch.inference_mode():
        return material.student(torch.from_numpy(material.test)).logits.numpy()


def kinds(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_float_says_what_the_student_says(material: Material, folder: Path) -> None:
    np.testing.assert_allclose(
        logits_of("onnx", material, folder), expected(material), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_probabilities_are_the_softmax_of_the_logits(
    material: Material, folder: Path, name: str
) -> None:
    answer = TARGETS[name].load(folder / TARGETS[name].file)(material.test[:1])
    e = np.exp(answer.logits.astype(np.float64) - answer.logits.max())
    np.testing.assert_allclose(answer.probabilities, e / e.sum(), rtol=1e-4)


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_the_graph_is_the_one_agreed_on(material: Material, folder: Path, name: str) -> None:
    graph = onnx.load(folder / TARGETS[name].file).graph

    def shapes(values: list) -> dict[str, tuple[int, list[int]]]:
        return {
            v.name: (
                v.type.tensor_type.elem_type,
                [d.dim_value for d in v.type.tensor_type.shape.dim],
            )
            for v in values
        }

    f = onnx.TensorProto.FLOAT
    assert shapes(graph.input) == {"acceleration": (f, [1, 3, 64])}
    assert shapes(graph.output) == {"logits": (f, [1, 5]), "probabilities": (f, [1, 5])}
    assert b".py" not in (folder / TARGETS[name].file).read_bytes()  # no lines of source code


def test_normalisation_is_folded_away(folder: Path) -> None:
    found = kinds(folder / "student.onnx")
    assert found["Conv"] == 7 and not found["BatchNormalization"] and not found["Dropout"]


def test_int8_is_near_with_weights_rounded_by_channel(material: Material, folder: Path) -> None:
    want, got = expected(material), logits_of("onnx-int8", material, folder)
    assert 0 < np.abs(got - want).max() < 0.1 * np.ptp(want)
    model = onnx.load(folder / "student-int8.onnx")
    tensors = {t.name: t for t in model.graph.initializer}
    rounded = [
        node.input
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
        and node.input[0] in tensors
        and tensors[node.input[0]].data_type == onnx.TensorProto.INT8
    ]
    assert len(rounded) == 7 + 1
    for weight, scale in rounded:  # without a zero point: it is 0
        values = onnx.numpy_helper.to_array(tensors[weight])
        assert onnx.numpy_helper.to_array(tensors[scale]).size in values.shape
    weight, scale = next(
        (onnx.numpy_helper.to_array(tensors[w]), onnx.numpy_helper.to_array(tensors[s]))
        for w, s in rounded
        if tensors[w].dims[1:] == [3, 1, 5]
    )
    stem = weight * scale[:, None, None, None]
    conv, norm = material.student.encoder.stem[:2]
    gain = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().numpy()
    folded = conv.weight.detach().numpy() * gain[:, None, None, None]
    step = np.abs(folded).max((1, 2, 3), keepdims=True) / 127
    assert (np.abs(stem - folded) <= 0.51 * step).all()


def test_ranges_come_from_the_calibration_windows(material: Material, tmp_path: Path) -> None:
    """Calibrated on windows of a tenth of the size, it cannot follow those of full size."""
    small = replace(material, calibration=0.1 * material.calibration)
    TARGETS["onnx-int8"].export(small, tmp_path)
    got = logits_of("onnx-int8", material, tmp_path)
    assert np.abs(got - expected(material)).max() > 0.2 * np.ptp(expected(material))


def test_gaf_images_stay_in_floats(gaf_material: Material, tmp_path: Path) -> None:
    target = TARGETS["onnx-int8"]
    target.export(gaf_material, tmp_path)
    want = expected(gaf_material)
    got = logits_of("onnx-int8", gaf_material, tmp_path)
    assert np.abs(got - want).max() < 0.1 * np.ptp(want)
    nodes = [n.op_type for n in onnx.load(tmp_path / target.file).graph.node]
    assert "Sqrt" in nodes and nodes.index("Sqrt") < nodes.index("QuantizeLinear")


def test_no_window_to_calibrate_with(material: Material, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none"):
        TARGETS["onnx-int8"].export(replace(material, calibration=material.test[:0]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_operator_that_onnx_lacks_is_named(material: Material, tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Output:
            logits = torch.linalg.eigvals(x @ x.transpose(1, 2)).real
            return Output(logits, logits, x)

    with pytest.raises(UsageError, match=r"'temporal_cnn'.*eig"):
        TARGETS["onnx"].export(replace(material, student=Odd()), tmp_path)


@pytest.mark.parametrize("content", ["torn", "empty", "text", "foreign"])
def test_what_is_no_exported_student_is_named(folder: Path, tmp_path: Path, content: str) -> None:
    whole = (folder / "student.onnx").read_bytes()
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    same = onnx.helper.make_node("Identity", ["x"], ["y"])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    foreign = onnx.helper.make_model(
        onnx.helper.make_graph([same], "g", [value], [out]), ir_version=10
    )
    path = tmp_path / "student.onnx"
    path.write_bytes(
        {
            "torn": whole[: len(whole) // 2],
            "empty": b"",
            "text": b"no graph",
            "foreign": foreign.SerializeToString(),
        }[content]
    )
    with pytest.raises(CheckpointError, match=r"student\.onnx: is torn or no exported student"):
        TARGETS["onnx"].load(path)
