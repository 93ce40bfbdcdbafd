"""Pictures of a frontier: the score against each cost, with teachers and alone."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pskd.evaluate.chart import Chart, ticks
from pskd.evaluate.markup import Markup, element
from pskd.evaluate.statistics import Spread, t_interval
from pskd.evaluate.study.figures import log_axis
from pskd.evaluate.study.frontier import NEAR, Frontier, Point
from pskd.evaluate.words import SCORES, count, percent

TAUGHT, ALONE = "with teachers", "alone"

_STYLE: Any = {
    "font.size": 10, "axes.titlesize": 10.5, "axes.titlelocation": "left", "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#8a8a8a",
    "xtick.color": "#555555", "ytick.color": "#555555", "axes.labelcolor": "#555555",
    "text.parse_math": False,
}  # fmt: skip
_COLOURS = {TAUGHT: "#0062a8", ALONE: "#8a8a8a"}


class Axis(NamedTuple):
    """A cost: its name, and what a point needs of it, None where that is unknown."""

    name: str
    of: Callable[[Point], float | None]


def axes(frontier: Frontier) -> list[Axis]:
    """The costs that are known of two students or more."""
    targets = {name: None for p in frontier.points if p.cost for name in p.cost.latency}
    every = [
        Axis("parameters", lambda p: p.method.parameters),
        Axis("multiply-accumulates a window", lambda p: p.method.macs),
        Axis("KB as int8 (weights, biases, scales)", lambda p: p.cost.int8_kb if p.cost else None),
        *(Axis(f"µs a window, {t}, one thread, median", _latency(t)) for t in targets),
    ]
    return [axis for axis in every if len({axis.of(p) for p in frontier.points} - {None}) > 1]


def _latency(target: str) -> Callable[[Point], float | None]:
    def of(point: Point) -> float | None:
        found = point.cost.latency.get(target) if point.cost else None
        return found.p50_us if found else None

    return of


def bounds(score: Spread) -> tuple[float, float]:
    """Ends of the whisker in percent: Student's t interval over seeds, within 0 and 100."""
    low, high = t_interval(score.values) or (score.mean, score.mean)
    return 100 * max(low, 0.0), 100 * min(high, 1.0)


def _span(points: Sequence[Point]) -> tuple[float, float]:
    """What of the percents is drawn: all means and seeds; whiskers of few seeds may go beyond."""
    values = [100 * v for p in points for s in (p.taught, p.alone) for v in s.values]
    room = 0.15 * (max(values) - min(values)) or 1.0
    return max(min(values) - room, 0.0), min(max(values) + room, 100.0)


def frontier_chart(frontier: Frontier, axis: Axis) -> Markup:
    """The score against a cost on a logarithmic axis; the band is the reference, +- 1 point."""
    known = [(p, cost) for p in frontier.points if (cost := axis.of(p))]
    points, costs = [p for p, _ in known], [c for _, c in known]
    xs = [math.log10(cost) for cost in costs]
    room = 0.06 * (max(xs) - min(xs))
    low, high = _span(points)
    chart = Chart(
        x=(min(xs) - room, max(xs) + room), y=(low, high), width=420, height=260, bottom=28
    )
    goal = 100 * frontier.reference.alone.mean
    edges = [max(low, goal - 100 * NEAR), min(high, goal + 100 * NEAR)]
    band = [[edge, edge] for edge in edges]
    parts = [
        chart.axes([], [(y, f"{y:g}") for y in ticks(low, high, 5)]),
        log_axis(chart),
        chart.area(list(chart.x), band[0], band[1], "faint c-alone"),
    ]
    for name, colour, shift in ((ALONE, "c-alone", 2.5), (TAUGHT, "c-student", -2.5)):
        scores = [p.alone if name == ALONE else p.taught for p in points]
        parts.append(
            chart.line([(x, 100 * s.mean) for x, s in zip(xs, scores, strict=True)], colour)
        )
        for p, cost, x, score in zip(points, costs, xs, scores, strict=True):
            across, at = chart.at(x, 100 * score.mean)
            ends = [chart.at(x, min(max(end, low), high))[1] for end in bounds(score)]
            bar = f"M{across + shift:.1f} {ends[0]:.1f}V{ends[1]:.1f}"
            words = f"{p.method.name} {name}: {percent(score.mean)} %, {figure(cost)} {axis.name}"
            spot = element("title", words)
            parts.append(element("path", d=bar, class_=f"line thin {colour}"))
            parts.append(
                element("circle", spot, cx=f"{across:.1f}", cy=f"{at:.1f}", r=3.6, class_=colour)
            )
    said = "; ".join(
        f"{figure(cost)}: {percent(p.taught.mean)} % {TAUGHT}, {percent(p.alone.mean)} % {ALONE}"
        for p, cost in known
    )
    headline = SCORES[frontier.table.dataset.headline]
    return chart.svg(f"{headline} against {axis.name}. {said}", *parts)


def figure(cost: float) -> str:
    """A cost in few digits."""
    return count(round(cost)) if cost >= 100 else f"{cost:.1f}"


def frontier_png(frontier: Frontier, title: str) -> bytes:
    """The same charts side by side, as a PNG for a document."""
    shown = axes(frontier)
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        columns = 2 if len(shown) in (2, 4) else 3
        lines = -(-len(shown) // columns)
        drawn = Figure(figsize=(12, 3.6 * lines), dpi=100, layout="constrained")
        drawn.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        for k, axis in enumerate(shown, 1):
            _panel(drawn.add_subplot(lines, columns, k), frontier, axis)
        drawn.axes[0].legend(loc="lower right")
        drawn.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _panel(panel: Axes, frontier: Frontier, axis: Axis) -> None:
    points = [p for p in frontier.points if axis.of(p)]
    goal = 100 * frontier.reference.alone.mean
    panel.axhspan(goal - 100 * NEAR, goal + 100 * NEAR, color=_COLOURS[ALONE], alpha=0.16, lw=0)
    costs = [axis.of(p) or 0 for p in points]
    apart = (max(costs) / min(costs)) ** 0.005
    for name, shift in ((ALONE, apart), (TAUGHT, 1 / apart)):
        scores = [p.alone if name == ALONE else p.taught for p in points]
        means = [100 * score.mean for score in scores]
        ends = [bounds(score) for score in scores]
        reach = [[m - e[0] for m, e in zip(means, ends, strict=True)],
                 [e[1] - m for m, e in zip(means, ends, strict=True)]]  # fmt: skip
        xs = [shift * cost for cost in costs]
        panel.errorbar(
            xs, means, reach, fmt="o-", ms=4.5, elinewidth=1.2, color=_COLOURS[name], label=name
        )
    panel.set_xscale("log")
    panel.set_ylim(*_span(frontier.points))
    panel.set_xticks(costs, [figure(cost) for cost in costs])
    panel.minorticks_off()
    panel.set_xlabel(axis.name)
    panel.set_ylabel(f"{SCORES[frontier.table.dataset.headline]} %")
    panel.grid(alpha=0.25, lw=0.6)
