"""LiteRT (.tflite), float32 and int8; XNNPACK runs both on CPUs."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pskd.edge import litert_converter
from pskd.edge.conversion import calibration, quiet
from pskd.edge.material import Deployed, Material
from pskd.edge.targets.base import Answer, Runner, Target, register
from pskd.edge.toolchain import run_tool
from pskd.errors import CheckpointError, PskdError, UsageError
from pskd.files import write_atomic

CONVERTER = "litert-torch==0.10.0"
"""What the environment of the converter holds, beside the torch of this one."""

VARIABLE = "PSKD_LITERT_PYTHON"

SECONDS = 900
"""A recurrent student is unrolled step by step, which takes minutes."""


def converter_python() -> Path:
    """Python of an environment that has litert-torch.

    The one that PSKD_LITERT_PYTHON names; else this one, if it has it; else `litert/bin/python`
    below this environment, where `make litert` puts it.

    Raises:
        UsageError: There is none; says how to get one.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise UsageError(
                "no Python interpreter is here",
                where=named,
                remedy=f"Set {VARIABLE} to one that has {CONVERTER}, or unset it",
            )
        return Path(named)
    if find_spec("litert_torch"):
        return Path(sys.executable)
    home = Path(sys.prefix) / "litert"
    python = home / "bin" / "python"
    if not python.exists():
        version = torch.__version__.partition("+")[0]
        raise UsageError(
            "LiteRT exports need litert-torch in an environment of its own (2 GB): it pins other "
            "versions than pskd",
            remedy=f"`make litert`, or: python -m venv {home} && {python} -m pip install "
            f"{CONVERTER} torch=={version}; {VARIABLE} names the Python of another place",
        )
    return python


class _Named(nn.Module):
    """What leaves, its outputs a dictionary: their names become those of the signature."""

    def __init__(self, deployed: Deployed) -> None:
        super().__init__()
        self.deployed = deployed

    def forward(self, acceleration: Tensor) -> dict[str, Tensor]:
        return self.deployed(acceleration)._asdict()  # type: ignore[no-any-return]


def _save_program(material: Material, path: Path) -> None:
    window = torch.zeros(1, 3, material.config.samples)
    with warnings.catch_warnings():
        # Of torch's own copying of programs, and of how its LSTM keeps weights.
        warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
        warnings.filterwarnings("ignore", ".*were assigned during export", UserWarning)
        program = torch.export.export(
            _Named(Deployed(material.student)).eval(), (), {"acceleration": window}
        )
        # Without operations in place, which the converter cannot trace again.
        torch.export.save(program.run_decompositions({}), path)


@register
class LiteRT(Target):
    """Float32."""

    name = "litert"
    file = "student.tflite"
    needs = ("ai_edge_litert",)
    extra = "litert"

    def export(self, material: Material, folder: Path) -> None:
        """Export the program here, convert it where litert-torch is."""
        python = converter_python()
        windows = calibration(self.name, material) if self.int8 else None
        with TemporaryDirectory(prefix="pskd-litert-") as temporary:
            work = Path(temporary)
            _save_program(material, work / "program.pt2")
            command = [python, "-I", litert_converter.__file__, "program.pt2", "out.tflite"]
            if windows is not None:
                np.save(work / "windows.npy", windows)
                command.append("windows.npy")
            try:
                run_tool([str(part) for part in command], work, seconds=SECONDS)
            except PskdError as failed:
                said = "\n".join(failed.what.splitlines()[-3:])
                raise UsageError(
                    f"litert-torch did not convert {material.config.model}: {said}",
                    where=python,
                    remedy="An operator without a lowering needs another student or target",
                ) from failed
            content = (work / "out.tflite").read_bytes()
        remedy = "Free some space or choose another export folder"
        write_atomic(folder / self.file, content, remedy=remedy)

    def load(self, path: Path) -> Runner:
        """Open a .tflite file; its signature says which output is which."""
        from ai_edge_litert.interpreter import Interpreter

        try:
            content = path.read_bytes()
            if content[4:8] != b"TFL3":
                raise ValueError("not a LiteRT file")
            with quiet():
                interpreter = Interpreter(model_content=content, num_threads=1)
                interpreter.allocate_tensors()
            signature = interpreter.get_signature_runner()
            source = signature.get_input_details()["acceleration"]["index"]
            outputs = signature.get_output_details()
            logits, probabilities = (outputs[name]["index"] for name in Answer._fields)
        except (OSError, ValueError, RuntimeError, KeyError) as broken:
            raise CheckpointError(
                f"is torn or no LiteRT export of a student ({broken})",
                where=path,
                remedy="Export it again",
            ) from broken

        def run(window: NDArray[np.float32]) -> Answer:
            interpreter.set_tensor(source, window)
            interpreter.invoke()
            return Answer(
                interpreter.get_tensor(logits)[0], interpreter.get_tensor(probabilities)[0]
            )

        return run


@register
class LiteRTInt8(LiteRT):
    """Full integer from the first convolution to the logits."""

    name = "litert-int8"
    file = "student-int8.tflite"
    int8 = True
