"""Portable C99: a student as two files that any compiler takes."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from pskd.edge.c99 import emit
from pskd.edge.c99.float32 import Float32
from pskd.edge.c99.int8 import Int8
from pskd.edge.c99.quantise import Quantised
from pskd.edge.c99.trace import trace
from pskd.edge.c99.writer import Writer
from pskd.edge.material import Material
from pskd.edge.targets.base import Answer, Runner, Target, register
from pskd.edge.toolchain import run_tool
from pskd.errors import CheckpointError, PskdError, UsageError
from pskd.files import write_atomic

FLAGS = ("-std=c99", "-O3", "-shared", "-fPIC")

WORKSPACE = """#include "student.h"
char student_workspace_here[STUDENT_WORKSPACE_BYTES] = {1};
"""

SIZES = """#include "student.h"
const int student_sizes[] = {STUDENT_SAMPLES, STUDENT_CLASSES, (int)STUDENT_WORKSPACE_BYTES};
"""


@register
class C99(Target):
    """`student.h` and `student.c`, with float32 numbers."""

    name = "c"
    file = "c/student.c"

    def require(self) -> None:
        """Make sure that there is a compiler: what was not run is not known to be the student."""
        compiler()

    def export(self, material: Material, folder: Path) -> None:
        """Write both files."""
        writer, path = self.writer(material), folder / self.file
        remedy = "Free some space, or name a folder that you can write to"
        for text, name in (
            (emit.header(writer, material.config), path.with_suffix(".h")),
            (emit.source(writer, material.config), path),
        ):
            write_atomic(name, text.encode(), remedy=remedy, error=PskdError)

    def load(self, path: Path) -> Runner:
        """Compile both files and open them as a library.

        Raises:
            UsageError: There is no C compiler.
            CheckpointError: The files are torn.
        """
        library = _compile(path)
        samples, classes, workspace_bytes = (ctypes.c_int * 3).in_dll(library, "student_sizes")
        workspace = ctypes.create_string_buffer(workspace_bytes)
        logits, probabilities = np.empty((2, classes), np.float32)

        def run(window: NDArray[np.float32]) -> Answer:
            samples_in = np.ascontiguousarray(window, np.float32).reshape(3, samples)
            library.student_predict(workspace, *map(_pointer, (samples_in, logits, probabilities)))
            return Answer(logits.copy(), probabilities.copy())

        return run

    def product_bytes(self, path: Path) -> int | None:
        """Code and constants as this machine's compiler makes them, optimised for size."""
        if shutil.which("size") is None:
            return None
        with TemporaryDirectory(prefix="pskd-") as temporary:
            source = ("-I", path.parent.resolve(), path.resolve())
            folder = Path(temporary)
            run_tool([*compiler(), "-std=c99", "-Os", "-c", *source, "-o", "student.o"], folder)
            sizes = run_tool(["size", "student.o"], folder).splitlines()[1].split()
        return int(sizes[0]) + int(sizes[1])

    def writer(self, material: Material) -> Writer:
        """What writes it."""
        return Float32(trace(material.student, material.config))


@register
class C99Int8(C99):
    """`student.h` and `student.c`, with int8 weights and activations."""

    name = "c-int8"
    file = "c-int8/student.c"
    int8 = True

    def writer(self, material: Material) -> Writer:
        """What writes it; ranges are those of the calibration windows."""
        graph = trace(material.student, material.config)
        return Int8(Quantised(graph, material.calibration))


def workspace_bytes(path: Path) -> int | None:
    """Memory that a call of `student.c` works in; None where it cannot be told.

    Raises:
        PskdError: There is no compiler, or it refuses `student.h`.
    """
    if shutil.which("size") is None:
        return None
    with TemporaryDirectory(prefix="pskd-") as temporary:
        folder = Path(temporary)
        (folder / "here.c").write_text(WORKSPACE)
        include = ("-I", path.parent.resolve())
        run_tool([*compiler(), "-std=c99", "-c", *include, "here.c", "-o", "here.o"], folder)
        return int(run_tool(["size", "here.o"], folder).splitlines()[1].split()[1])


def _pointer(array: NDArray[np.float32]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def compiler() -> list[str]:
    """The C compiler, from `$CC` or by the usual names, with its own options.

    Raises:
        UsageError: There is none.
    """
    for command in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        words = shlex.split(command)
        if words and shutil.which(words[0]):
            return words
    raise UsageError(
        "no C compiler to run an exported student with",
        remedy="Install gcc or clang, or name yours in the environment variable CC",
    )


def _compile(path: Path) -> ctypes.CDLL:
    with TemporaryDirectory(prefix="pskd-") as folder:
        sizes, library = Path(folder, "sizes.c"), Path(folder, "student.so")
        sizes.write_text(SIZES)
        command = [*compiler(), *FLAGS, f"-I{path.parent}", str(path), str(sizes)]
        result = subprocess.run(
            [*command, "-o", str(library)], capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise CheckpointError(
                f"the compiler refuses it: {result.stderr.strip().splitlines()[:1]}",
                where=path,
                remedy="Export again",
            )
        return ctypes.CDLL(str(library))  # stays open when the folder is gone
