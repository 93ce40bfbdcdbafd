"""`pskd live`: what a watch, a file or a simulated person does, recognised in the terminal."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pskd.cli.console import out, remark
from pskd.errors import PskdError, UsageError

if TYPE_CHECKING:
    from pskd.cli.live_view import Show
    from pskd.stream.live import Session

app = typer.Typer()


@app.command()
def live(
    run: Annotated[Path, typer.Argument(help="Run folder, or a student folder.")],
    source: Annotated[
        str,
        typer.Argument(
            help="A CSV or parquet file; - for lines on stdin; mqtt://HOST/TOPIC; ble://NAME; "
            "simulated."
        ),
    ],
    unit: Annotated[
        Literal["g", "m/s2"] | None,
        typer.Option(help="Unit of the samples. Default: as the source says."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Samples a second, where they have no time.")
    ] = None,
    speed: Annotated[
        str, typer.Option(help="How fast a file or a simulation is played: 1, 10, or max.")
    ] = "1",
    record: Annotated[
        Path | None,
        typer.Option(help="Folder to keep samples and actions in, read back as a dataset."),
    ] = None,
    subject: Annotated[str, typer.Option(help="Who wears the watch, for --record.")] = "unknown",
    runtime: Annotated[
        str, typer.Option(help="What runs the student: torch, or an export such as onnx.")
    ] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object a line for every window.")
    ] = False,
) -> None:
    """Recognise a stream of samples as it comes; Ctrl-C ends it.

    Example: pskd live runs/demo simulated
    """
    from pskd.cli.live_view import action_line, json_line, screen, summary
    from pskd.stream.live import Session
    from pskd.stream.record import Recorder
    from pskd.stream.runtime import open_student
    from pskd.stream.sources import Options, open_source

    options = Options(unit=unit, rate=rate, speed=_speed(speed))
    student, samples = open_student(run, runtime), open_source(source, options)
    recorder = None
    if record:
        recorder = Recorder(record, subject=subject, placement=student.config.placement)
    session = Session(student, samples, recorder)
    lines = nullcontext(json_line if as_json else action_line)
    terminal = out.is_terminal and not out.is_dumb_terminal and not as_json
    try:
        with screen(session) if terminal else lines as show:
            _follow(session, show)
    except BrokenPipeError:  # `| head` has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        if recorder:
            recorder.close()
        for line in summary(session, recorder) if session.heard else ():
            remark(line)


def _follow(session: Session, show: Show) -> None:
    """Show all of a stream; what failed it comes after what was recognised."""
    failed: PskdError | None = None
    try:
        with stopped_by_signals(session):
            for said in session.run():
                show(said)
    except PskdError as error:
        failed = error
    try:
        for said in session.finish():
            show(said)
    finally:
        if failed:
            raise failed


@contextmanager
def stopped_by_signals(session: Session) -> Iterator[None]:
    """Let Ctrl-C, and `kill`, end a stream without breaking into what is being written."""
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.signal(name, lambda *_: session.stop()) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _speed(text: str) -> float:
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        speed = 0.0
    if not speed > 0:
        raise UsageError(f"speed {text!r} is none", remedy="Give a number above 0, or max")
    return speed
