"""WebAssembly: the C student compiled for browsers, Node and wasmtime, with a JavaScript loader."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pskd.edge.material import Material
from pskd.edge.targets.base import TARGETS, Answer, Runner, Target, register
from pskd.edge.toolchain import require_tools, run_tool
from pskd.errors import CheckpointError
from pskd.files import write_atomic

_HERE = Path(__file__).parents[1] / "wasm"

LOADER = "student.mjs"
"""Written beside the module: `loadStudent(bytes)` for JavaScript."""

OPTIONS = ("-O3", "-msimd128", "-fno-unroll-loops")
"""SIMD, which all current browsers have, gave the same bytes of answers faster: about three times
with floats, one and a half times with int8. Unrolled loops only made the file larger."""

STACK = 8192
"""Bytes, at the bottom of the memory: to run over it is a trap and not a wrong answer."""

_PAGE = 65536


def compile_wasm(source: Path) -> bytes:
    """Compile a C student into a module without imports, of a memory that cannot grow.

    Args:
        source: Folder that holds `student.h` and `student.c`.

    Raises:
        PskdError: The student does not compile.
    """
    from wasmtime import Engine, MemoryType, Module

    with TemporaryDirectory(prefix="pskd-wasm-") as temporary:
        folder = Path(temporary)
        run_tool(
            [
                "clang", "--target=wasm32", "-std=c99", *OPTIONS, "-ffreestanding",
                "-I", source.resolve(), "-c", source.resolve() / "student.c", _HERE / "shim.c",
            ],
            folder,
        )  # fmt: skip

        def link(*options: str) -> bytes:
            run_tool(
                [
                    "wasm-ld", "--no-entry", "--strip-all", "--stack-first", "-z",
                    f"stack-size={STACK}", *options, "student.o", "shim.o", "-o", "student.wasm",
                ],
                folder,
            )  # fmt: skip
            return (folder / "student.wasm").read_bytes()

        # Only the linker knows how much memory there must be, so that it is asked first.
        types = (export.type for export in Module(Engine(), link()).exports)
        pages = next(t.limits.min for t in types if isinstance(t, MemoryType))
        return link(f"--max-memory={pages * _PAGE}")


class _Wasm(Target):
    needs = ("wasmtime",)
    extra = "wasm"
    source: ClassVar[str]

    def require(self) -> None:
        """Make sure that wasmtime, clang and its linker are there."""
        super().require()
        require_tools({"clang": "clang", "wasm-ld": "lld"}, purpose=self.name)

    def export(self, material: Material, folder: Path) -> None:
        """Generate the C student and compile it; the C files are not kept."""
        c = TARGETS[self.source]
        with TemporaryDirectory(prefix="pskd-c-") as temporary:
            c.export(material, Path(temporary))
            module = compile_wasm((Path(temporary) / c.file).parent)
        remedy = "Free some space or choose another export folder"
        write_atomic(folder / self.file, module, remedy=remedy)
        loader = (folder / self.file).with_name(LOADER)
        write_atomic(loader, (_HERE / LOADER).read_bytes(), remedy=remedy)

    def load(self, path: Path) -> Runner:
        """Open a module with wasmtime."""
        from wasmtime import Engine, Instance, Module, Store, Trap, WasmtimeError

        broken = (OSError, WasmtimeError, Trap, LookupError, AttributeError, TypeError, ValueError)
        try:
            store = Store(Engine())
            instance = Instance(store, Module(store.engine, path.read_bytes()), [])
            exports: Any = instance.exports(store)
            memory = exports["memory"].get_buffer_ptr(store)

            def view(name: str, *shape: int) -> NDArray[np.float32]:
                where = exports[name](store)
                flat = np.frombuffer(memory, np.float32, int(np.prod(shape)), offset=where)
                return flat.reshape(shape)

            samples, classes = (exports[f"student_{n}"](store) for n in ("samples", "classes"))
            window = view("student_input", 1, 3, samples)
            logits = view("student_logits", classes)
            probabilities = view("student_probabilities", classes)
            student_run = exports["student_run"]
        except broken as error:
            raise CheckpointError(
                f"is no student as WebAssembly ({str(error).splitlines()[0]})",
                where=path,
                remedy="Export it again",
            ) from error

        def run(acceleration: NDArray[np.float32]) -> Answer:
            window[:] = acceleration
            student_run(store)
            return Answer(logits.copy(), probabilities.copy())

        return run


@register
class Wasm(_Wasm):
    """Float32."""

    name = "wasm"
    file = "wasm/student.wasm"
    source = "c"


@register
class WasmInt8(_Wasm):
    """Integers inside: the same answers as `c-int8`, bit for bit."""

    name = "wasm-int8"
    file = "wasm-int8/student.wasm"
    int8 = True
    source = "c-int8"
