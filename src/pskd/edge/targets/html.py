"""A page that recognises by itself: the student as WebAssembly inside one HTML file."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from pskd.edge.material import Material
from pskd.edge.page import read_module, render
from pskd.edge.targets.base import TARGETS, Runner, Target, register
from pskd.errors import CheckpointError
from pskd.files import write_atomic

_MODULE = "student.wasm"


class _Html(Target):
    needs = ("wasmtime",)
    extra = "wasm"
    source: ClassVar[str]

    def require(self) -> None:
        """Make sure that what compiles and runs WebAssembly is there."""
        TARGETS[self.source].require()

    def export(self, material: Material, folder: Path) -> None:
        """Compile the student and write the page around it."""
        wasm = TARGETS[self.source]
        with TemporaryDirectory(prefix="pskd-page-") as temporary:
            wasm.export(material, Path(temporary))
            module = (Path(temporary) / wasm.file).read_bytes()
        page = render(material.config, material.settings, module, server=False)
        remedy = "Free some space or choose another export folder"
        write_atomic(folder / self.file, page.encode(), remedy=remedy)

    def load(self, path: Path) -> Runner:
        """Take the student out of the page again and open it."""
        with TemporaryDirectory(prefix="pskd-page-") as temporary:
            module = Path(temporary) / _MODULE
            try:
                module.write_bytes(read_module(path.read_bytes()))
                return TARGETS[self.source].load(module)
            except (OSError, ValueError, CheckpointError) as error:
                what = error.what if isinstance(error, CheckpointError) else str(error)
                raise CheckpointError(
                    f"is no page of a student ({what})", where=path, remedy="Export it again"
                ) from error


@register
class Html(_Html):
    """Float32."""

    name = "html"
    file = "html/student.html"
    source = "wasm"


@register
class HtmlInt8(_Html):
    """Integers inside."""

    name = "html-int8"
    file = "html-int8/student.html"
    int8 = True
    source = "wasm-int8"
