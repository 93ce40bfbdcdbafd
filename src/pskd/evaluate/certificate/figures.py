"""Pictures of a certificate: size against time, and differences window by window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pskd.evaluate.certificate.facts import Certificate, GoldenFacts, TargetFacts
from pskd.evaluate.certificate.words import size, small, time
from pskd.evaluate.chart import Chart
from pskd.evaluate.markup import Markup, element
from pskd.evaluate.sections import scroll
from pskd.evaluate.study.figures import log_axis, log_ticks
from pskd.evaluate.study.labels import RADIUS, place

COLOURS = {"student": "float32", "t0": "int8", "alone": "PyTorch", "down": "breaks a limit"}


def colour(name: str, facts: TargetFacts) -> str:
    """Colour of a target, as in `COLOURS`."""
    if name == "torch":
        return "alone"
    if facts.status in ("failed", "accepted"):
        return "down"
    return "t0" if facts.int8 else "student"


def size_and_time(targets: dict[str, TargetFacts]) -> Markup:
    """Median time of a call against the size of the files; both axes are logarithmic."""
    points = [
        (name, f, f.bytes / 1024, f.latency.p50_us) for name, f in targets.items() if f.latency
    ]
    xs = [math.log10(kb) for _, _, kb, _ in points]
    ys = [math.log10(us) for _, _, _, us in points]
    room_x, room_y = 0.08 * (max(xs) - min(xs)) or 0.1, 0.1 * (max(ys) - min(ys)) or 0.1
    chart = Chart(
        x=(min(xs) - room_x, max(xs) + room_x),
        y=(min(ys) - room_y, max(ys) + room_y),
        width=900,
        height=330,
        left=52,
        top=14,
        bottom=34,
    )
    dots = [chart.at(x, y) for x, y in zip(xs, ys, strict=True)]
    room = (chart.left, 0.0, chart.width, chart.height - chart.bottom)
    marks, words = [], []
    boxes = place(dots, [name for name, *_ in points], room)
    for (name, facts, _, us), (x, y), box in zip(points, dots, boxes, strict=True):
        spot = element("title", f"{name}: {size(facts.bytes)} KB, {time(us)} µs")
        class_ = f"c-{colour(name, facts)}"
        marks.append(element("circle", spot, cx=f"{x:.1f}", cy=f"{y:.1f}", r=RADIUS, class_=class_))
        if box is not None:
            at = f"{box[0]:.1f}", f"{(box[1] + box[3]) / 2 + 4:.1f}"
            words.append(element("text", name, x=at[0], y=at[1], class_="name"))
    rules = [(math.log10(v), f"{v:,g} µs") for v in log_ticks(10 ** chart.y[0], 10 ** chart.y[1])]
    alt = "Median time of a call against size: " + "; ".join(
        f"{name} {size(facts.bytes)} KB, {time(us)} µs" for name, facts, _, us in points
    )
    return chart.svg(alt, chart.axes([], rules), log_axis(chart), *words, *marks)


def heat(c: Certificate, windows: Sequence[GoldenFacts]) -> Markup:
    """Golden windows by exports: the largest difference of a score, darker where larger."""
    names = [name for name, facts in c.exports.items() if facts.parity]
    head = element("tr", element("td"), *(_head(name) for name in names))
    rows = [
        element(
            "tr",
            element("th", w.name, scope="row", title=w.name),
            *(_cell(c, w, name) for name in names),
        )
        for w in windows
    ]
    body = (element("thead", head), element("tbody", *rows))
    return scroll(element("table", *body, class_="matrix heat"))


def _head(name: str) -> Markup:
    return element("th", element("span", name), scope="col")


def _cell(c: Certificate, window: GoldenFacts, name: str) -> Markup:
    value = window.differences[name]
    limited = window.measurable and not c.targets[name].int8
    over = value is None or (limited and value > c.limits.difference)
    shade = 1.0 if value is None else (math.log10(max(value, 1e-7)) + 7) / 8
    shade = min(max(shade, 0.04), 1.0)
    return element(
        "td",
        _short(value),
        class_=" ".join(["miss" if over else "hit", *["deep"] * (shade > 0.75)]),
        style=f"--a:{shade:.2f}",
        title=f"{name}, {window.name}: {small(value)}",
    )


def _short(value: float | None) -> str:
    """One digit, or no decimals."""
    if value is None:
        return "!"
    if 0 < value < 0.01:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.0f}" if value >= 1 else f"{value:.1g}"


def used_colours(targets: dict[str, TargetFacts]) -> Iterable[tuple[str, str]]:
    """What the colours of a picture mean, as (words, colour)."""
    used = {colour(name, facts) for name, facts in targets.items() if facts.latency}
    return ((words, name) for name, words in COLOURS.items() if name in used)
