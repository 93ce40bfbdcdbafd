"""Portable C99: a student as two files that any compiler takes."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
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
from pskd.edge.toolchain import Sections, run_tool, sections
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
        found = _sections(path, f'#include "{path.name}"\n')
        return None if found is None else found.text + found.data

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
    found = _sections(path, WORKSPACE)
    return None if found is None else found.data


def _sections(path: Path, source: str) -> Sections | None:
    """Of a text in C that is compiled beside a student's header; None where nothing tells them."""
    if shutil.which("size") is None:
        return None
    with TemporaryDirectory(prefix="pskd-") as temporary:
        folder = Path(temporary)
        (folder / "here.c").write_text(source, "utf-8")
        include = ("-I", path.parent.resolve())
        run_tool([*compiler(), "-std=c99", "-Os", "-c", *include, "here.c", "-o", "here.o"], folder)
        return sections("here.o", folder)


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
    sources = ("-I", str(path.parent.resolve()), str(path.resolve()), "sizes.c")
    command = [*compiler(), *FLAGS, *sources, "-o", "student.so"]
    with TemporaryDirectory(prefix="pskd-") as temporary:
        folder = Path(temporary)
        (folder / "sizes.c").write_text(SIZES)
        try:
            run_tool(command, folder)
        except PskdError as error:
            said = error.what.splitlines()[0]
            raise CheckpointError(
                f"the compiler refuses it: {said}", where=path, remedy="Export again"
            ) from error
        return ctypes.CDLL(str(folder / "student.so"))  # stays open when the folder is gone
