"""`pskd export`: a trained student as files that a product can ship."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pskd.cli.console import DataRoot, JsonFlag, Student, cache, print_json, remark, say

if TYPE_CHECKING:
    from pskd.edge.parity import Parity
    from pskd.errors import UsageError

app = typer.Typer()


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Targets by commas, or all. Default: those that can be made here."
        ),
    ] = None,
    student: Student = None,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Export folder. Default: RUN/export, or STUDENT/export."),
    ] = None,
    data_root: DataRoot = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Keep exports that break a limit, and say so.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a trained student for the runtimes of watches and phones, each checked against PyTorch.

    Example: pskd export runs/demo --to onnx,onnx-int8,c
    """
    from pskd.edge.export import export_student, parse_targets
    from pskd.edge.material import load_material

    names = parse_targets("all" if to is None else to)
    material = load_material(run, student=student, data_root=data_root, cache=cache())
    folder = folder or (student or run) / "export"

    def told(name: str, parity: Parity) -> None:
        remark(f"{name}: {parity.sentence}")

    def left_out(name: str, error: UsageError) -> None:
        remark(f"{name}: left out: {error}")

    export = export_student(
        material,
        names,
        folder,
        accept=accept,
        told=told,
        left_out=left_out if to is None else None,
    )
    if as_json:
        print_json(export.model_dump(mode="json"))
        return
    for exported in (export.files[name] for name in names if name in export.files):
        say(f"{folder / exported.file}  {exported.bytes / 1024:.1f} KB")
