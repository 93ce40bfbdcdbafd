"""What `pskd live` shows: a screen in a terminal, lines elsewhere, JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pskd.cli.console import out, remark, say
from pskd.stream.live import Session
from pskd.stream.recognizer import IDLE, UNKNOWN, Prediction
from pskd.stream.record import Recorder
from pskd.stream.sources import Notice
from pskd.stream.wire import prediction_json

Show = Callable[[Prediction | Notice], None]

BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
TRACE_SAMPLES, TRACE_G = 250, 2.0
"""How many samples the trace shows, and the norm at its top."""
ACTIONS = 8
SILENT_SECONDS = 2.0
REFRESH = 8


def json_line(said: Prediction | Notice) -> None:
    """Print a prediction as a JSON object, a notice on stderr."""
    if isinstance(said, Notice):
        _aside(said.text)
    else:
        _print(json.dumps(prediction_json(said)))


def action_line(said: Prediction | Notice) -> None:
    """Print an action when it begins, a notice on stderr."""
    if isinstance(said, Notice):
        _aside(said.text)
    elif said.action is not None:
        _print(_action(said))


@contextmanager
def screen(session: Session) -> Iterator[Show]:
    """A screen that is drawn again several times a second; the actions are printed at its end."""
    try:
        with Live(View(session), console=out, refresh_per_second=REFRESH, transient=True):
            yield lambda said: say(said.text) if isinstance(said, Notice) else None
    finally:
        for action in session.timeline:
            _print(_action(action))


class View:
    """What goes on in large, a trace of the movement, the last actions, and how it is going."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as it is now; the thread of the screen does."""
        norms = list(self.session.norms)[-TRACE_SAMPLES:]
        yield self._now()
        yield Text(sparkline(norms, options.max_width, options.ascii_only), style="cyan")
        yield self._timeline()
        yield Text((" | " if options.ascii_only else " · ").join(status(self.session)), style="dim")

    def _now(self) -> RenderableType:
        latest, heard = self.session.latest, self.session.heard
        sure, style = "", "dim"
        if heard is None:
            what = "waiting for samples"
        elif (silent := time.monotonic() - heard) > SILENT_SECONDS:
            what = f"no samples for {silent:.0f} s"
        elif latest is None:
            what = "waiting for a full window"
        else:
            what, sure = latest.class_name.upper(), f"{latest.probability:.0%}"
            if latest.reported:
                style = "bold green"
            elif latest.class_name not in (IDLE, UNKNOWN):
                what = f"perhaps {latest.class_name}"
        line = Table.grid(expand=True, padding=(1, 2))
        line.add_column(ratio=1)
        line.add_column(justify="right")
        line.add_row(Text(what, style=style), Text(sure, style="bold"))
        return Panel(line, title=Text(self.session.source.title), title_align="left")

    def _timeline(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        last = list(self.session.timeline)[-ACTIONS:]
        for action in reversed(last):
            table.add_row(
                f"{action.start_s:.1f} s", Text(action.action or ""), f"{action.probability:.0%}"
            )
        for _ in range(ACTIONS - len(last)):
            table.add_row("")
        return table


def sparkline(norms: list[float], width: int, plain: bool = False) -> str:
    """Norms of samples in g as bars from 0 to 2 g: of those that share one, the farthest from 1."""
    bars = PLAIN_BARS if plain else BARS
    if not norms:
        return " " * width
    parts = np.array_split(np.array(norms), min(width, len(norms)))
    shown = [part[np.abs(part - 1).argmax()] for part in parts]
    heights = np.clip(np.array(shown) / TRACE_G * len(bars), 0, len(bars) - 1)
    return "".join(bars[int(height)] for height in heights)


def status(session: Session) -> list[str]:
    """What comes, how fast it is answered, and what could not be used."""
    counts, rate = session.counts, session.rate
    parts = [f"{rate:.1f} Hz"] if rate else []
    if session.latencies:
        latencies = 1000 * np.array(list(session.latencies))
        parts.append(f"latency {np.median(latencies):.0f} ms, at most {latencies.max():.0f} ms")
    parts += [f"gaps {counts.gaps}", f"late {counts.late}", f"dropped {session.source.dropped}"]
    for name, count in (
        ("malformed", session.source.malformed),
        ("duplicates", counts.duplicates),
        ("not finite", counts.not_finite),
        ("clock set back", counts.clock_jumps),
    ):
        if count:
            parts.append(f"{name} {count}")
    return parts


def summary(session: Session, recorder: Recorder | None) -> list[str]:
    """What came of a stream, as lines."""
    counts = session.counts
    named = ", ".join(f"{name} {times}" for name, times in session.actions.most_common())
    lines = [
        f"{counts.samples} samples, {counts.windows} windows, {session.actions.total()} actions"
        + (f": {named}." if named else "."),
        ", ".join(status(session)) + f"; {session.student.runtime}.",
    ]
    if recorder:
        lines.append(
            f"Kept in {recorder.folder}: {recorder.samples} samples, {recorder.actions} actions. "
            "Correct the labels in manifest.csv."
        )
    return lines


def _action(prediction: Prediction) -> str:
    times = f"{prediction.start_s:.2f} to {prediction.end_s:.2f} s"
    return f"{times}  {prediction.action}  {prediction.probability:.0%}"


def _aside(text: str) -> None:
    remark(text)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
