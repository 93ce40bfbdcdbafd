"""ExecuTorch programs in float32 and in int8, lowered to XNNPACK."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from pskd.edge.conversion import calibration, quiet, refused
from pskd.edge.material import Deployed, Material
from pskd.edge.targets.base import Answer, Runner, Target, register
from pskd.errors import CheckpointError, UsageError
from pskd.files import write_atomic
from pskd.models.gaf import GafImages

if TYPE_CHECKING:
    from executorch.exir import EdgeProgramManager, ExecutorchProgramManager


@register
class ExecuTorch(Target):
    """A program in float32; what XNNPACK lacks is left to ExecuTorch's portable kernels."""

    name = "executorch"
    file = "student.pte"
    needs = ("executorch",)
    extra = "executorch"

    def export(self, material: Material, folder: Path) -> None:
        """Write the program."""
        try:
            with quiet():
                program = self.lower(material).to_executorch()
                _check_operators(program)
        except UsageError:
            raise
        except Exception as error:  # of torch.export and ExecuTorch, of many kinds
            raise refused(self.name, material, error) from error
        write_atomic(
            folder / self.file,
            program.buffer,
            remedy="Make room, or name an export folder that can be written",
        )

    def lower(self, material: Material) -> EdgeProgramManager:
        """The student's graph with the parts that XNNPACK takes as its delegates."""
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        return to_edge_transform_and_lower(
            self._graph(material), partitioner=[XnnpackPartitioner()]
        )

    def load(self, path: Path) -> Runner:
        """Open a program on one thread."""
        with quiet():
            from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
            from executorch.runtime import Runtime

            _unsafe_reset_threadpool(1)
            try:
                # Refuses what is shorter than its header says, or no such program.
                method = Runtime.get().load_program(path).load_method("forward")
                assert method is not None
                found = method.metadata
                if (found.num_inputs(), found.num_outputs()) != (1, 2):
                    raise RuntimeError("it does not turn one tensor into two")
            except (KeyError, RuntimeError) as error:
                raise CheckpointError(
                    f"is torn or no exported student ({error})",
                    where=path,
                    remedy="Export the student again",
                ) from error

        def run(window: NDArray[np.float32]) -> Answer:
            # Its outputs are memory that the next call writes to.
            return Answer(*(o[0].numpy().copy() for o in method.execute((torch.tensor(window),))))

        return run

    def _graph(self, material: Material) -> ExportedProgram:
        window = torch.zeros(1, 3, material.config.samples)
        return torch.export.export(_Plain(material).eval(), (window,))


@register
class ExecuTorchInt8(ExecuTorch):
    """The same program with int8 weights, a scale for each channel, and int8 activations.

    Ranges come from histograms, as XNNPACK's quantiser has it. On a student of UTD-MHAD (49,243
    parameters), calibrated on one half of 256 training windows, the logits of the other half
    differed from float32's by 0.0709 (root mean square) so, and by 0.0739 with smallest and
    largest values; both agreed on every class.
    """

    name = "executorch-int8"
    file = "student-int8.pte"
    int8 = True

    def _graph(self, material: Material) -> ExportedProgram:
        windows = calibration(self.name, material)
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        quantiser = XNNPACKQuantizer()
        quantiser.set_global(get_symmetric_quantization_config(is_per_channel=True))
        quantiser.set_filter_function(_outside_encoding)
        observed = prepare_pt2e(super()._graph(material).module(), quantiser)
        with torch.inference_mode():
            for window in windows:
                observed(torch.tensor(window[None]))
        return torch.export.export(convert_pt2e(observed), (torch.tensor(windows[:1]),))


def _check_operators(program: ExecutorchProgramManager) -> None:
    """NotImplementedError if the runtime has no kernel for what is left to it."""
    from executorch.runtime import Runtime

    known = Runtime.get().operator_registry.operator_names
    operators = program.executorch_program.execution_plan[0].operators
    lacking = {f"{o.name}.{o.overload}".removesuffix(".") for o in operators} - known
    if lacking:
        raise NotImplementedError(f"no kernel for {', '.join(sorted(lacking))}")


class _Plain(nn.Module):
    """Gives a plain tuple: ExecuTorch cannot write named ones."""

    def __init__(self, material: Material) -> None:
        super().__init__()
        self.deployed = Deployed(material.student)

    def forward(self, acceleration: Tensor) -> tuple[Tensor, Tensor]:
        logits, probabilities = self.deployed(acceleration)
        return logits, probabilities


def _outside_encoding(node: fx.Node) -> bool:
    """Whether a node is no part of GAF images, whose square roots need floats."""
    modules = node.meta.get("nn_module_stack", {}).values()
    return not any(kind.endswith(GafImages.__name__) for _, kind in modules)
