"""Pictures of a student on long recordings."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pskd.evaluate.chart import Chart, ticks
from pskd.evaluate.markup import Markup, element
from pskd.evaluate.streams.facts import PointFacts, SpanFacts, StreamEvaluation
from pskd.evaluate.words import percent

ROW_SECONDS = 30.0
"""Of the picture of a recording, so that names have room."""
RIGHT, WRONG, TRACE = "c-student", "c-down", "c-alone"
LETTER = 5.6
"""Width of a letter, about."""


def timeline(e: StreamEvaluation) -> list[Markup]:
    """The start of the first recording in rows: norm, what was done, what was reported."""
    trace = e.trace
    end = trace.start + trace.step * len(trace.norm)
    rows = max(math.ceil((end - trace.start) / ROW_SECONDS - 1e-6), 1)
    top = max(*trace.norm, 2.0)
    return [_row(e, trace.start + k * ROW_SECONDS, top) for k in range(rows)]


def _row(e: StreamEvaluation, start: float, top: float) -> Markup:
    stop = start + ROW_SECONDS
    stream, trace = e.streams[0], e.trace
    chart = Chart(x=(start, stop), y=(0, top), width=900, height=146, left=62, top=2, bottom=62)
    floor = chart.height - chart.bottom
    times = (trace.start + k * trace.step for k in range(len(trace.norm)))
    points = [(t, norm) for t, norm in zip(times, trace.norm, strict=True) if start <= t <= stop]
    parts = [
        chart.axes([], [(y, f"{y:g} g") for y in ticks(0, top, 3)]),
        chart.line(points, f"{TRACE} thin"),
    ]
    lanes = (("done", stream.truth, floor + 5), ("reported", stream.reports, floor + 25))
    for name, spans, y in lanes:
        parts.append(element("text", name, x=chart.left - 6, y=y + 12, text_anchor="end"))
        for span in spans:
            if span.start < stop and span.stop > start:
                parts += _block(chart, span, y)
    parts += [
        element(
            "text",
            f"{t - trace.start:g} s",
            x=f"{chart.at(t, 0)[0]:.1f}",
            y=chart.height - 3,
            text_anchor="middle",
        )
        for t in (start + 5 * k for k in range(7))
    ]
    words = (
        f"From {start - trace.start:g} to {stop - trace.start:g} s: "
        + _listed("done", stream.truth, start, stop)
        + "; "
        + _listed("reported", stream.reports, start, stop)
    )
    return chart.svg(words, *parts)


def _block(chart: Chart, span: SpanFacts, y: float) -> list[Markup]:
    """An action as a bar with its name, and a stroke where it was reported."""
    left, right = (
        chart.at(min(max(t, chart.x[0]), chart.x[1]), 0)[0] for t in (span.start, span.stop)
    )
    verdict = "" if span.paired else ", missed" if span.time is None else ", a false alarm"
    said = f", reported at {span.time:.2f} s" if span.time is not None else ""
    note = f"{span.label}, {span.start:.2f} to {span.stop:.2f} s{said}{verdict}"
    colour = RIGHT if span.paired else WRONG
    parts = [
        element(
            "rect",
            element("title", note),
            x=f"{left:.1f}",
            y=y,
            width=f"{max(right - left, 1):.1f}",
            height=17,
            rx=3,
            class_=f"area faint {colour}",
        )
    ]
    letters = int((right - left - 6) / LETTER)
    if letters > 2:
        label = span.label if len(span.label) <= letters else f"{span.label[: letters - 1]}…"
        parts.append(element("text", label, x=f"{left + 4:.1f}", y=y + 12, class_="name"))
    if span.time is not None and chart.x[0] <= span.time <= chart.x[1]:
        at = chart.at(span.time, 0)[0]
        parts.append(element("path", d=f"M{at:.1f} {y - 1:.1f}v19", class_=f"line {colour}"))
    return parts


def _listed(name: str, spans: Sequence[SpanFacts], start: float, stop: float) -> str:
    there = [s.label for s in spans if s.start < stop and s.stop > start]
    return f"{name} {', '.join(there) or 'nothing'}"


def delays(values: Sequence[float]) -> Markup:
    """How many actions were reported how long after they began, in half seconds."""
    bins: dict[int, int] = {}
    for value in values:
        place = math.floor(2 * value)
        bins[place] = bins.get(place, 0) + 1
    low, high = min([0, *bins]), max([1, *bins]) + 1
    most = max(bins.values(), default=1)
    chart = Chart(x=(low / 2, high / 2), y=(0, most), width=420, height=240, left=34, bottom=34)
    bars = [
        chart.area([k / 2 + 0.03, k / 2 + 0.47], [0, 0], [n, n], RIGHT)
        for k, n in sorted(bins.items())
    ]
    return chart.svg(
        "Actions by delay: "
        + ", ".join(f"{k / 2:g} to {k / 2 + 0.5:g} s: {n}" for k, n in sorted(bins.items())),
        chart.axes([], [(y, f"{y:g}") for y in ticks(0, most) if y == int(y)]),
        *bars,
        *_below(chart, "seconds from the start of an action to its report"),
    )


def trade_off(curve: Sequence[PointFacts], now: PointFacts) -> Markup:
    """False alarms an hour against the share of actions found, over thresholds."""
    points = [(p.figures.false_alarms_an_hour, 100 * p.figures.recall) for p in curve]
    here = now.figures.false_alarms_an_hour, 100 * now.figures.recall
    widest = max(x for x, _ in [*points, here]) * 1.04 or 1.0
    chart = Chart(x=(0, widest), y=(0, 100), width=420, height=240, left=40, bottom=34)
    across, down = chart.at(*here)
    spots = [
        element(
            "circle",
            element("title", f"threshold {p.threshold:.3g}: {y:.1f} % found, {x:.0f} an hour"),
            cx=f"{chart.at(x, y)[0]:.1f}",
            cy=f"{chart.at(x, y)[1]:.1f}",
            r=2,
            class_=TRACE,
        )
        for p, (x, y) in zip(curve, points, strict=True)
    ]
    return chart.svg(
        f"False alarms an hour against actions found over {len(points)} thresholds; in use: "
        f"{here[0]:.0f} an hour, {here[1]:.1f} % found",
        chart.axes([], [(y, f"{y} %") for y in (0, 25, 50, 75, 100)]),
        chart.line(points, TRACE),
        *spots,
        element(
            "circle",
            element("title", "the settings in use"),
            cx=f"{across:.1f}",
            cy=f"{down:.1f}",
            r=5,
            class_=RIGHT,
        ),
        *_below(chart, "false alarms an hour"),
    )


def _below(chart: Chart, name: str) -> list[Markup]:
    """Round numbers below a chart, and what they are."""
    floor = chart.height - chart.bottom
    numbers = [
        element("text", f"{x:g}", x=f"{chart.at(x, 0)[0]:.1f}", y=floor + 14, text_anchor="middle")
        for x in ticks(*chart.x, 6)
    ]
    middle = (chart.left + chart.width - chart.right) / 2
    return [*numbers, element("text", name, x=middle, y=floor + 29, text_anchor="middle")]


def class_bar(name: str, f1: float, note: str) -> Markup:
    """F1 of a class as a bar."""
    track = element("i", style=f"width:{percent(f1)}%", class_=RIGHT)
    return element(
        "div",
        element("dt", name, title=note),
        element("dd", track, class_="track"),
        element("dd", percent(f1)),
    )
