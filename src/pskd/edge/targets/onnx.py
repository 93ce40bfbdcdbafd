"""ONNX graphs in float32 and in int8, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from pskd.edge.conversion import calibration, quiet, refused
from pskd.edge.material import Deployed, Material, Windows
from pskd.edge.targets.base import Answer, Runner, Target, register
from pskd.errors import CheckpointError
from pskd.files import write_atomic

if TYPE_CHECKING:
    from onnx import ModelProto

INPUT, OUTPUTS = "acceleration", ["logits", "probabilities"]
QUANTISED = ["Add", "Concat", "Conv", "Gemm", "MatMul", "MaxPool", "Relu", "Reshape"]


@register
class Onnx(Target):
    """A graph in float32, batch normalisation folded into the convolutions."""

    name = "onnx"
    file = "student.onnx"
    needs = ("onnx", "onnxscript", "onnxruntime")
    extra = "onnx"

    def export(self, material: Material, folder: Path) -> None:
        """Write the graph."""
        self._write(self._graph(material), folder)

    def load(self, path: Path) -> Runner:
        """Open a graph on one thread."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            with quiet():
                session = onnxruntime.InferenceSession(
                    path.read_bytes(), options, providers=["CPUExecutionProvider"]
                )
            if [i.name for i in session.get_inputs()] != [INPUT]:
                raise ValueError(f"it does not take {INPUT} alone")
            if [o.name for o in session.get_outputs()] != OUTPUTS:
                raise ValueError(f"it does not give {' and '.join(OUTPUTS)}")
        except Exception as error:  # those of ONNX Runtime have no other base
            raise CheckpointError(
                f"is torn or no exported student ({str(error).splitlines()[0]})",
                where=path,
                remedy="Export the student again",
            ) from error

        def run(window: NDArray[np.float32]) -> Answer:
            return Answer(*(o[0] for o in session.run(OUTPUTS, {INPUT: window})))

        return run

    def _graph(self, material: Material) -> ModelProto:
        window = torch.zeros(1, 3, material.config.samples)
        try:
            with quiet():
                program = torch.onnx.export(
                    Deployed(material.student).eval(),
                    (window,),
                    dynamo=True,
                    verbose=False,
                    input_names=[INPUT],
                    output_names=OUTPUTS,
                    external_data=False,
                )
        except torch.onnx.OnnxExporterError as error:
            raise refused(self.name, material, error) from error
        assert program is not None  # as without dynamo
        model: ModelProto = program.model_proto
        _strip(model)
        return model

    def _write(self, model: ModelProto, folder: Path) -> None:
        write_atomic(
            folder / self.file,
            model.SerializeToString(),
            remedy="Make room, or name an export folder that can be written",
        )


@register
class OnnxInt8(Onnx):
    """The same graph with int8 weights, a scale for each channel, and uint8 activations.

    Ranges are the smallest and largest value seen. On a student of UTD-MHAD (49,243 parameters),
    calibrated on one half of 256 training windows, the logits of the other half differed from
    float32's by 0.0745 (root mean square) so, also with entropy, by 0.0808 with the 99.99th
    percentile and by 0.239 with the 99.9th; all agreed on every class. Without rounding of the
    last layers' output it is 0.0714. int8 activations in place of uint8 changed nothing but took
    twice the time.
    """

    name = "onnx-int8"
    file = "student-int8.onnx"
    int8 = True

    def export(self, material: Material, folder: Path) -> None:
        """Calibrate and write the graph."""
        windows = calibration(self.name, material)
        import onnx
        from onnxruntime.quantization import QuantType, quantize_static

        model = self._graph(material)
        with TemporaryDirectory() as temporary, quiet():
            rounded = Path(temporary) / self.file
            quantize_static(
                model,
                rounded,
                _Reader(windows),
                op_types_to_quantize=QUANTISED,
                nodes_to_exclude=_encoding(model),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={
                    "MatMulConstBOnly": True,
                    "OpTypesToExcludeOutputQuantization": ["Gemm"],
                },
            )
            model = onnx.load(rounded)
        _drop_zeros(model)
        _shorten(model)
        self._write(model, folder)


class _Reader:
    """Hands ONNX Runtime one window after another; its `CalibrationDataReader`."""

    def __init__(self, windows: Windows) -> None:
        self.windows: Iterator[Windows] = iter(windows[:, None])

    def get_next(self) -> dict[str, Windows] | None:
        window = next(self.windows, None)
        return None if window is None else {INPUT: window}


def _encoding(model: ModelProto) -> list[str]:
    """Nodes before the first convolution, such as GAF images, whose square roots need floats."""
    kinds = [node.op_type for node in model.graph.node]
    first = kinds.index("Conv") if "Conv" in kinds else 0
    return [node.name for node in model.graph.node[:first]]


def _strip(model: ModelProto) -> None:
    """Drop the lines of source code, with paths, that the exporter notes: a third of the file."""
    graph = model.graph
    parts = (graph.node, graph.value_info, graph.input, graph.output, graph.initializer)
    for part in (model, graph, *(p for several in parts for p in several)):
        part.ClearField("metadata_props")


def _drop_zeros(model: ModelProto) -> None:
    """Leave out the zero points of weights, all 0 as they would be without: a tenth of the file."""
    from onnx import numpy_helper

    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    zeros = {t.name for t in graph.initializer if not numpy_helper.to_array(t).any()}
    for node in graph.node:
        of_weights = node.op_type == "DequantizeLinear" and node.input[0] in weights
        if of_weights and zeros.issuperset(node.input[2:]):
            del node.input[2:]
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _shorten(model: ModelProto) -> None:
    """Name inner values by number: with long names a quarter of the file is names."""
    graph = model.graph
    del graph.value_info[:]
    names = {name: name for name in ("", INPUT, *OUTPUTS)}

    def short(name: str) -> str:
        return names.setdefault(name, f"v{len(names)}")

    for node in graph.node:
        node.ClearField("name")
        node.input[:] = map(short, node.input)
        node.output[:] = map(short, node.output)
    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
