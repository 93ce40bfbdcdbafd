"""Pictures of a study: strips of differences, and scores against what a method costs.

A strip has no view box: across, it counts in percent of whatever width the page gives it, so that
its lines keep their weight and the words beside it their size on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pskd.evaluate.chart import Chart, ticks
from pskd.evaluate.markup import Markup, element, join
from pskd.evaluate.study.labels import RADIUS, Box, place, shorten
from pskd.evaluate.study.parts import MethodResult
from pskd.evaluate.study.statistics import Difference
from pskd.evaluate.study.words import Pair, interval_words, tone
from pskd.evaluate.words import count, percent, signed

Kind = Literal["dots", "bar"]


def difference_scale(pairs: Sequence[Pair], kind: Kind) -> Chart:
    """The axis in points, 0 to 100 across, that holds all that is drawn of some methods."""
    drawn = [0.0]
    for _, d in pairs:
        drawn += [d.mean, *(d.interval or ()), *(d.values if kind == "dots" else ())]
    low, high = 100 * min(drawn), 100 * max(drawn)
    room = 0.04 * (high - low) or 1.0
    return Chart(x=(low - room, high + room), y=(0, 1), width=100, left=0, right=0)


def forest(pairs: Sequence[Pair], kind: Kind, scale: Chart, links: Mapping[str, str]) -> Markup:
    """One row a method: its name, its difference with the interval, and both in figures.

    Args:
        pairs: Methods in the order to draw them in.
        kind: `dots` marks the mean and every seed, `bar` draws a bar from 0 with a whisker.
        scale: As `difference_scale` gives it; several pictures may share one.
        links: By method, where its run files are listed.
    """
    rows = []
    for method, d in pairs:
        mean = element("b" if d.clear else "span", signed(d.mean))
        within, link = element("small", interval_words(d.interval)), links[method.name]
        rows.append(
            element(
                "li",
                element("a", method.name, href=link, class_="who"),
                element("div", strip(d, kind, scale), class_="plot"),
                element("a", mean, within, href=link, class_="by"),
            )
        )
    axis = element(
        "li", element("div", _axis(scale), class_="plot"), class_="axis", aria_hidden="true"
    )
    return element("ol", *rows, axis, class_="forest")


def strip(d: Difference, kind: Kind, scale: Chart) -> Markup:
    """A difference on its axis: zero line, interval, and either the seeds or a bar."""
    colour = f"c-{tone(d)}"
    parts = [_upright(scale, x, "rule") for x in ticks(*scale.x, 8)]
    if kind == "bar":
        ends = sorted((_across(scale, 0.0), _across(scale, 100 * d.mean)))
        parts.append(
            element(
                "rect",
                x=_share(ends[0]),
                width=_share(ends[1] - ends[0]),
                y="22%",
                height="56%",
                class_=f"area {colour}",
            )
        )
    parts.append(_upright(scale, 0.0, "line c-ink thin"))
    if d.interval is not None:
        low, high = (_share(_across(scale, 100 * bound)) for bound in d.interval)
        class_ = "line c-ink thin" if kind == "bar" else f"line {colour}"
        parts.append(element("line", x1=low, x2=high, y1="50%", y2="50%", class_=class_))
        for end in (low, high):
            parts.append(element("line", x1=end, x2=end, y1="36%", y2="64%", class_=class_))
    if kind == "dots":
        for seed, value in zip(d.seeds, d.values, strict=True):
            spot = element("title", f"seed {seed}: {signed(value)} points")
            cx = _share(_across(scale, 100 * value))
            parts.append(element("circle", spot, cx=cx, cy="80%", r=2.2, class_=f"seed {colour}"))
        x = _share(_across(scale, 100 * d.mean))
        parts.append(element("rect", x=x, y="50%", width=9, height=9, class_=f"mean {colour}"))
    seeds = ", ".join(f"seed {s} {signed(v)}" for s, v in zip(d.seeds, d.values, strict=True))
    alt = f"{signed(d.mean)} points, {interval_words(d.interval)}; {seeds}"
    return element("svg", *parts, role="img", aria_label=alt)


def _axis(scale: Chart) -> Markup:
    words = []
    for x in ticks(*scale.x, 8):
        label = "0" if abs(x) < 1e-9 else f"{x:+g}".replace("-", "\N{MINUS SIGN}")
        across = _share(_across(scale, x))
        words.append(element("text", label, x=across, y="1.1em", text_anchor="middle"))
    return element("svg", *words)


def _across(scale: Chart, points: float) -> float:
    return scale.at(points, 0)[0]


def _share(across: float) -> str:
    return f"{across:.2f}%"


def _upright(scale: Chart, x: float, class_: str) -> Markup:
    across = _share(_across(scale, x))
    return element("line", x1=across, x2=across, y1="0", y2="100%", class_=class_)


def cost_map(
    methods: Sequence[MethodResult],
    costs: Sequence[int],
    what: str,
    score: str,
    links: Mapping[str, str],
) -> Markup:
    """Scores against a cost, which must be positive, on a logarithmic axis."""
    means = [100 * m.score.mean for m in methods]
    xs = [math.log10(cost) for cost in costs]
    room_x, room_y = 0.08 * (max(xs) - min(xs)) or 0.1, 0.06 * (max(means) - min(means)) or 1.0
    chart = Chart(
        x=(min(xs) - room_x, max(xs) + room_x),
        y=(min(means) - room_y, max(means) + room_y),
        width=900,
        height=300 + 8 * len(methods),
        top=14,
        bottom=34,
    )
    dots = [chart.at(x, y) for x, y in zip(xs, means, strict=True)]
    names = [shorten(m.name) for m in methods]
    room = (chart.left, 0.0, chart.width, chart.height - chart.bottom)
    marks, words = [], []
    for method, cost, dot, name, box in zip(
        methods, costs, dots, names, place(dots, names, room), strict=True
    ):
        colour = f"c-{tone(method.difference)}"
        if box is not None:
            words.append(_label(name, dot, box, colour))
        spot = element(
            "title", f"{method.name}: {percent(method.score.mean)} %, {count(cost)} {what}"
        )
        circle = element(
            "circle", spot, cx=f"{dot[0]:.1f}", cy=f"{dot[1]:.1f}", r=RADIUS, class_=colour
        )
        marks.append(element("a", circle, href=links[method.name]))
    best = max(range(len(methods)), key=means.__getitem__)
    alt = (
        f"{score} of {len(methods)} methods against {what}, {count(min(costs))} to "
        f"{count(max(costs))}; highest {methods[best].name}, {means[best]:.1f} % with "
        f"{count(costs[best])}"
    )
    rules = [(y, f"{y:g}") for y in ticks(*chart.y, 6)]
    last = sorted(range(len(marks)), key=lambda k: methods[k].difference is None)  # the baseline
    dots_drawn = (marks[k] for k in last)
    return chart.svg(alt, chart.axes([], rules), log_axis(chart), *words, *dots_drawn)


def _label(name: str, dot: tuple[float, float], box: Box, colour: str) -> Markup:
    left, top, right, bottom = box
    y = (top + bottom) / 2
    edge = left - 2 if left > dot[0] else right + 2
    lead = Markup()
    if abs(y - dot[1]) > 6:
        lead = element(
            "path", d=f"M{dot[0]:.1f} {dot[1]:.1f}L{edge:.1f} {y:.1f}", class_=f"lead-line {colour}"
        )
    side = {"x": f"{left:.1f}"} if left > dot[0] else {"x": f"{right:.1f}", "text_anchor": "end"}
    return join([lead, element("text", name, y=f"{y + 4:.1f}", class_="name", **side)])


def log_axis(chart: Chart) -> Markup:
    """Rules and labels of a chart whose x are decimal logarithms."""
    words = []
    for value in log_ticks(10 ** chart.x[0], 10 ** chart.x[1]):
        x, floor = chart.at(math.log10(value), chart.y[0])
        mark = f"M{x:.1f} {chart.top:g}V{floor:.1f}"
        words.append(element("path", d=mark, class_="rule"))
        words.append(
            element(
                "text",
                count(round(value)),
                x=f"{x:.1f}",
                y=f"{floor + 16:.1f}",
                text_anchor="middle",
            )
        )
    return join(words)


def log_ticks(low: float, high: float) -> list[float]:
    """Round values of a logarithmic axis: about 3 to 9, decades where there are many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [f * 10.0**k for k in decades for f in steps if low <= f * 10.0**k <= high]
        if len(found) <= 9:
            break
    return found if len(found) > 2 else ticks(low, high, 4)
