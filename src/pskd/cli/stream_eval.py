"""`pskd stream-windows`, `calibrate` and `stream-eval`: a student for, and on, long recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pskd.cli.console import (
    DataRoot,
    JsonFlag,
    Rate,
    Unit,
    cache,
    err,
    out,
    print_json,
    remark,
    say,
)
from pskd.errors import UsageError
from pskd.files import write_atomic

if TYPE_CHECKING:
    from pskd.evaluate.streams.facts import EventFacts
    from pskd.stream.calibrate import Calibration

app = typer.Typer()

Seed = Annotated[int, typer.Option(min=0, help="Of recordings that are made of short ones.")]
Of = Annotated[
    Path | None,
    typer.Option("--of", help="Run whose recordings long ones are made of. Default: RUN."),
]


@app.command("stream-windows")
def stream_windows(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    out_folder: Annotated[Path, typer.Argument(metavar="OUT", help="Dataset folder, a new one.")],
    data_root: DataRoot = None,
    copies: Annotated[
        int, typer.Option(min=1, help="Long recordings made of each training subject.")
    ] = 2,
    seed: Seed = 0,
    as_json: JsonFlag = False,
) -> None:
    """Write windows of long recordings, idle among them, to train a student for streams with.

    Then: pskd train stream-windows --data-root OUT

    Example: pskd stream-windows runs/demo windows
    """
    from pskd.stream.decisions import IDLE
    from pskd.stream.windows_folder import write_windows

    counts = write_windows(
        run, out_folder, data_root=data_root, cache=cache(), copies=copies, seed=seed
    )
    if as_json:
        print_json(counts)
        return
    for side, found in counts.items():
        say(f"{side}: {found.total()} windows, {found[IDLE]} of them idle")
    say(f"Written: {out_folder}. Next: pskd train stream-windows --data-root {out_folder}")


@app.command()
def calibrate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data_root: DataRoot = None,
    of: Of = None,
    reject: Annotated[
        float,
        typer.Option(help="Share of action windows that a rejection threshold may cost."),
    ] = 0.05,
    seed: Seed = 0,
    as_json: JsonFlag = False,
) -> None:
    """Choose how a student decides on a stream, and keep that in RUN/student/stream.json.

    On the validation side of the run, or its training side; nothing is chosen on test subjects.

    Example: pskd calibrate runs/demo --reject 0.02
    """
    from pskd.edge.settings import STREAM
    from pskd.models.student_folder import find_student
    from pskd.stream.calibrate import calibrate as calibrate_run

    found = calibrate_run(
        run, of=of or run, data_root=data_root, cache=cache(), reject=reject, seed=seed
    )
    if as_json:
        print_json(
            {
                "settings": found.settings.model_dump(),
                "curves": {name: curve._asdict() for name, curve in found.curves.items()},
                "trials": [{"settings": t.settings.model_dump(), "f1": t.f1} for t in found.trials],
            }
        )
        return
    _show_calibration(found)
    say(f"Written: {find_student(run) / STREAM}")
    if any((run / "export").glob("html*/*.html")):
        say(f"The page holds the settings of before: pskd export {run} --to html")


@app.command("stream-eval")
def stream_eval(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    recording: Annotated[
        Path | None,
        typer.Argument(help="Your own: CSV or parquet. Default: made of the run's test side."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV with start,stop,label of the recording.")
    ] = None,
    unit: Unit = "auto",
    rate: Rate = None,
    of: Of = None,
    data_root: DataRoot = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder. Default: RUN/stream-eval.")
    ] = None,
    seed: Seed = 0,
    as_json: JsonFlag = False,
) -> None:
    """Measure a student on long recordings: what it finds, how late, and how often in vain.

    Example: pskd stream-eval runs/demo
    """
    from pskd.evaluate.streams.page import write_stream_page
    from pskd.stream.evaluate import evaluate
    from pskd.stream.labelled import read_long_recording
    from pskd.stream.long_recordings import long_recordings_of
    from pskd.stream.runtime import open_student

    if (recording is None) != (labels is None):
        raise UsageError(
            "a recording and its labels go together", remedy="Give RECORDING and --labels, or none"
        )
    student = open_student(run)
    if recording and labels:
        one, notes = read_long_recording(
            recording, labels, student.config.classes, rate=rate, unit=unit
        )
        for note in notes:
            remark(note)
        recordings, source = [one], f"{recording.name}, with the labels of {labels.name}."
    else:
        made_of = of or run
        recordings = long_recordings_of(
            made_of, "test", data_root=data_root, cache=cache(), seed=seed
        )
        source = (
            f"Recordings of the test side of {made_of.resolve().name}, one after the other with "
            f"made-up pauses between: {len(recordings)} long ones."
        )
    found = evaluate(
        student,
        recordings,
        run=run.resolve().name,
        source=source,
        seed=None if recording else seed,
    )
    folder = folder or run / "stream-eval"
    content = found.model_dump_json(indent=1) + "\n"
    write_atomic(
        folder / "stream-eval.json",
        content.encode(),
        remedy="Free some space or name another --out",
    )
    page = write_stream_page(found, folder / "stream-eval.html")
    if as_json:
        typer.echo(content, nl=False)
        return
    table = Table("recording", "actions", "found %", "F1 %", "false /h", "again /h", "delay s")
    for stream in found.streams:
        table.add_row(escape(stream.name), *_cells(stream.figures))
    if len(found.streams) > 1:
        table.add_row("all", *_cells(found.total))
    out.print(table)
    t = found.total
    at = ", ".join(f"{least}: {100 * f1:.1f} %" for least, f1 in t.f1_at.items())
    say(
        f"False alarms: {t.insertions_an_hour:.0f} an hour while idle, "
        f"{t.substitutions_an_hour:.0f} over another action. {100 * t.idle_share:.0f} % of the "
        "time was idle.",
        f"Segment IoU {100 * found.segment_iou:.1f} %, with idle "
        f"{100 * found.segment_iou_idle:.1f} %. F1 at an IoU of {at}.",
        f"Page: {page}",
    )
    if not found.settings["student_sha256"]:
        err.print("The settings are the defaults: `pskd calibrate` chooses better ones.")


def _cells(f: EventFacts) -> tuple[str, ...]:
    delay = "-" if f.median_delay is None else f"{f.median_delay:.2f} (90 %: {f.late_delay:.2f})"
    shares = (f"{100 * share:.1f}" for share in (f.recall, f.f1))
    alarms = (f"{f.false_alarms_an_hour:.0f}", f"{f.repeats_an_hour:.0f}")
    return str(f.true), *shares, *alarms, delay


def _show_calibration(found: Calibration) -> None:
    table = Table("of the action windows", *(f"let through by {name}" for name in found.curves))
    for share in (0.99, 0.98, 0.95, 0.9, 0.8):
        cells = []
        for curve in found.curves.values():
            at = max(k for k, kept in enumerate(curve.kept) if kept >= share)
            cells.append(f"{100 * curve.let_through[at]:.1f} %")
        table.add_row(f"{100 * share:g} % kept", *cells)
    out.print(table)
    say(
        found.settings.note,
        f"Event F1 there, mean over the streams: {100 * found.trials[0].f1:.1f} % with the "
        f"defaults, {100 * found.f1:.1f} % (optimistic: chosen on them) with:",
        *(
            f"  {name} = {value}"
            for name, value in found.settings.model_dump().items()
            if name not in ("format", "note", "student_sha256")
        ),
    )
