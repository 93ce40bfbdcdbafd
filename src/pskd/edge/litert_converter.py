"""A PyTorch program becomes a LiteRT file, int8 where windows to calibrate with are given.

    python -I litert_converter.py PROGRAM.pt2 OUT.tflite [WINDOWS.npy]

The program takes `acceleration` [1, 3, S] and gives a dictionary of `logits` and `probabilities`,
each [1, K]; so does the file, as its signature. WINDOWS.npy is float32 [N, 3, S].

litert-torch pins other versions of what pskd is installed with. So this is run by the Python of an
environment of its own (`pskd.edge.targets.litert` looks for it) and imports nothing of pskd.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURE = "serving_default"
INTEGER = "integer/"
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def main(program: str, out: str, windows: str | None = None) -> None:
    """Convert one program."""
    import litert_torch
    import numpy as np
    import torch

    exported = torch.export.load(program)
    _, inputs = exported.example_inputs
    content = litert_torch.convert(exported.module(), sample_kwargs=inputs).model_content()
    content = shortened(content)
    if windows is not None:
        content = quantised(content, np.load(windows, allow_pickle=False))
    Path(out).write_bytes(content)


def shortened(content: bytes) -> bytes:
    """Name tensors by number: full names of Python classes took 33 of 233 KB.

    From the first weights on names begin with `INTEGER`: what is done to the raw samples before
    them (the divisions and roots of Gramian angular fields) is what int8 would spoil.
    """
    from ai_edge_litert.tools import flatbuffer_utils as flatbuffer

    model = flatbuffer.read_model_from_bytearray(content)
    (graph,) = model.subgraphs
    codes = [flatbuffer.opcode_to_name(model, op.opcodeIndex) for op in graph.operators]
    first = min((codes.index(code) for code in WEIGHTED if code in codes), default=0)
    integer = {tensor for op in graph.operators[first:] for tensor in op.outputs}
    for number, tensor in enumerate(graph.tensors):
        tensor.name = f"{INTEGER if number in integer else ''}{number}"
    return bytes(flatbuffer.convert_object_to_bytearray(model))


def quantised(content: bytes, windows: NDArray[np.float32]) -> bytes:
    """Weights int8 symmetric per output channel, activations int8; input and outputs float32.

    On a student of 49,243 parameters, against PyTorch on the windows of calibration, logits were
    off by 0.08 (root mean square) with the least and greatest value of all windows, as here, and
    by 1.01 with the quantiser's own moving average over windows, which cost 9 points of accuracy.
    PT2E in litert-torch leaves additions float between two conversions of numbers each.
    """
    from ai_edge_litert.tools import flatbuffer_utils as flatbuffer
    from ai_edge_quantizer import calibrator, quantizer, recipe_manager
    from ai_edge_quantizer.qtyping import TFLOperationName as Op
    from ai_edge_quantizer.utils import qsv_utils

    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(INTEGER, Op.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    # Probabilities of int8 would be multiples of 1/256.
    for op in (Op.INPUT, Op.OUTPUT, Op.SOFTMAX):
        recipe.add_quantization_config(".*", op, algorithm_key="no_quantize")
    ranges = calibrator.Calibrator(content, 1, qsv_update_func=qsv_utils.min_max_update)
    ranges.calibrate({SIGNATURE: [{"acceleration": window[None]} for window in windows]}, recipe)
    result = quantizer.Quantizer(content, recipe.get_quantization_recipe()).quantize(
        ranges.get_model_qsvs(), enable_progress_report=False
    )
    # The quantiser moves outputs of the graph, and forgets those of its signature.
    before = flatbuffer.read_model_from_bytearray(content).subgraphs[0].outputs
    model = flatbuffer.read_model_from_bytearray(result.quantized_model)
    moved = dict(zip(before, model.subgraphs[0].outputs, strict=True))
    for output in model.signatureDefs[0].outputs:
        output.tensorIndex = moved[output.tensorIndex]
    return bytes(flatbuffer.convert_object_to_bytearray(model))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:  # one line on the last line, where the caller looks for it
        sys.exit(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
