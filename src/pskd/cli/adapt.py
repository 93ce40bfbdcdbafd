"""`pskd adapt`: a student fitted to its wearer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pskd.cli.console import JsonFlag, Rate, Unit, print_json, remark, say
from pskd.errors import UsageError

app = typer.Typer()


@app.command()
def adapt(
    run: Annotated[Path, typer.Argument(help="Run folder, or a student folder.")],
    files: Annotated[
        list[Path], typer.Argument(help="CSV or parquet: t,x,y,z, or x,y,z and --rate.")
    ],
    folder: Annotated[
        Path | None, typer.Option("--out", help="Student folder. Default: RUN-adapted.")
    ] = None,
    unit: Unit = "auto",
    rate: Rate = None,
    as_json: JsonFlag = False,
) -> None:
    """Fit a student to its wearer by recordings without labels: a minute or two of all actions.

    Only the statistics of its normalisation change, so that size and speed stay as they are.

    Example: pskd adapt runs/demo mine.csv --unit m/s2
    """
    from pskd.data.accelerometer_file import read_recording
    from pskd.edge.settings import STREAM
    from pskd.edge.wearer import FEW, adapt_student
    from pskd.models.student_folder import find_student

    run = run.resolve()
    folder = folder or run.with_name(f"{run.name}-adapted")
    for n, file in enumerate(files):
        if file.resolve() in [other.resolve() for other in files[:n]]:
            raise UsageError("is named twice", where=file, remedy="Name it once")
    recordings = [read_recording(file, rate=rate, unit=unit) for file in files]
    windows = adapt_student(find_student(run), recordings, folder)
    notes = [f"{file.path.name}: {note}" for file in recordings for note in file.notes]
    if (folder / STREAM).exists():
        notes.append("Its thresholds for streams are those from before it adapted.")
    if windows < FEW:
        notes.append(
            f"{windows} windows are few: people held out of training gained less than a point with "
            f"fewer than {FEW}."
        )
    for note in notes:
        remark(note)
    if as_json:
        print_json({"student": str(folder), "windows": windows, "notes": notes})
        return
    say(f"Adapted to {windows} windows: {folder}")
