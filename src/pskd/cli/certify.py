"""`pskd certify` and `pskd bench`: whether exports are the student, and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from pskd.cli.console import DataRoot, JsonFlag, Student, cache, err, out, print_json, say
from pskd.errors import PskdError, UsageError

if TYPE_CHECKING:
    from pskd.edge.bench import Bench
    from pskd.edge.cortex_m import CortexM

app = typer.Typer()
Calls = Annotated[int, typer.Option(min=10, help="Calls of each export that are timed.")]


@app.command()
def certify(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data_root: DataRoot = None,
    student: Student = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Export folder. Default: RUN/export, or STUDENT/export."),
    ] = None,
    calls: Calls = 2000,
    as_json: JsonFlag = False,
) -> None:
    """Compare every export with PyTorch and measure it: certificate.json and certificate.html.

    Example: pskd certify runs/demo
    """
    from pskd.edge.bench import open_exports
    from pskd.edge.certify import PAGE
    from pskd.edge.certify import certify as make
    from pskd.edge.material import load_material
    from pskd.evaluate.certificate.words import DASH, STATUS, drop, headline, size, small, time, why

    folder = folder or (student or run) / "export"
    open_exports(folder)  # before the data are read, which may take long
    material = load_material(run, student=student, data_root=data_root, cache=cache())
    certificate = make(folder, material, student or run / "student", calls=calls)
    if as_json:
        print_json(certificate.model_dump(mode="json"))
    else:
        table = Table(
            "export", "verdict", "difference", "accuracy %", "points", "KB", "p50 µs", "p99 µs"
        )
        for name, f in certificate.targets.items():
            p, t = f.parity, f.latency
            table.add_row(
                Text(name),
                STATUS[f.status],
                small(p.difference) if p else DASH,
                f"{100 * p.accuracy:.1f}" if p else DASH,
                drop(p) if p else DASH,
                size(f.bytes),
                *((time(t.p50_us), time(t.p99_us)) if t else (DASH, DASH)),
            )
        out.print(table)
        say(*(f"{name}: {reason}" for name, f in certificate.targets.items() for reason in why(f)))
        out.print(f"{headline(certificate)}: {folder / PAGE}", soft_wrap=True, markup=False)
    if failed := certificate.failed:
        raise PskdError(
            f"{', '.join(failed)} {'is' if len(failed) == 1 else 'are'} not the student",
            where=folder,
            remedy="certificate.html says where they differ; `pskd export` makes them again",
        )


@app.command()
def bench(
    folder: Annotated[Path, typer.Argument(help="Export folder.")],
    calls: Calls = 2000,
    cortex_m: Annotated[
        bool, typer.Option("--cortex-m", help="The C exports on Cortex-M cores too, under qemu.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Measure size, time and memory of every export on this machine: one thread, warm, in turns.

    Example: pskd bench runs/demo/export
    """
    from pskd.edge.bench import bench as measure
    from pskd.edge.bench import on_cores

    student = folder.absolute().parent / "student"
    done = measure(folder, student=student if student.is_dir() else None, calls=calls)
    rows = {
        name: {
            "bytes": done.entries[name].bytes,
            "latency": m.latency and m.latency.model_dump(),
            "times_torch": done.ratios.get(name),
            "memory": m.memory and m.memory.model_dump(),
            "workspace_bytes": done.entries[name].workspace,
            "missing": m.reasons,
        }
        for name, m in done.found.items()
    }
    cores = on_cores(folder) if cortex_m else {}
    failed = [name for name, m in done.found.items() if m.failed] + [
        f"{name} on {core}"
        for (name, core), c in cores.items()
        if isinstance(c, PskdError) and not isinstance(c, UsageError)
    ]
    if as_json:
        on_core = [
            {
                "export": name,
                "core": core,
                **({"missing": str(m)} if isinstance(m, PskdError) else m.costs),
            }
            for (name, core), m in cores.items()
        ]
        print_json(
            {
                "machine": done.machine.model_dump(),
                "exports": rows,
                "without_torch": done.without_torch,
                "cortex_m": on_core,
            }
        )
    else:
        _print_bench(done, cores)
    if failed:
        raise PskdError(
            f"{', '.join(failed)} failed", where=folder, remedy="`pskd export` makes them again"
        )


def _print_bench(done: Bench, cores: dict[tuple[str, str], CortexM | PskdError]) -> None:
    from pskd.evaluate.certificate.words import DASH, FLOOR, memory, size, time

    table = Table(
        "export", "KB", "p50 µs", "p99 µs", "times PyTorch's", "memory KB", "first KB", "work KB"
    )
    for name, m in done.found.items():
        t, ratio = m.latency, done.ratios.get(name)
        workspace = done.entries[name].workspace
        table.add_row(
            Text(name),
            size(done.entries[name].bytes),
            *((time(t.p50_us), time(t.p99_us)) if t else (DASH, DASH)),
            DASH if ratio is None else f"{ratio:.2g}",
            *((memory(m.memory.export), memory(m.memory.first)) if m.memory else (DASH, DASH)),
            DASH if workspace is None else size(workspace),
        )
    out.print(table)
    reasons = {name: m.reasons.items() for name, m in done.found.items()}
    say(
        done.machine.words,
        f"memory: peak of one more copy; first: of the first, with its runtime. Below {FLOOR >> 10}"
        " KB it is not told from freed memory that is used again. work: the workspace of C, exact.",
    )
    if done.without_torch:
        say(f"PyTorch is left out: {done.without_torch}")
    say(*(f"{name}: {what}: {why}" for name, found in reasons.items() for what, why in found))
    if cores:
        table = Table(
            "export", "core", "flash KB", "RAM KB", "stack bytes", "instructions a window"
        )
        for (name, core), c in cores.items():
            if not isinstance(c, PskdError):
                at = size(c.flash_bytes), size(c.ram_bytes), str(c.stack_bytes)
                table.add_row(Text(name), core, *at, f"{c.instructions:,}")
        if table.row_count:
            out.print(table)
        whys = ((f"{name} on {core}", c) for (name, core), c in cores.items())
        say(*(f"{where}: {c}" for where, c in whys if isinstance(c, PskdError)))
    if done.machine.busy:
        err.print("The machine is busy with other work: times are longer than they need be.")
