"""Axes, lines and areas in SVG: all that the report's pictures are made of.

Colours and fonts come from the page's style sheet, so that pictures follow its light and its dark
theme: an element of class `c-<name>` draws in that colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pskd.evaluate.markup import Markup, element, join

Point = tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """A plot of `width` x `height` units whose axes span `x` and `y`; margins hold the labels."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: float = 360
    height: float = 150
    left: float = 38
    right: float = 10
    top: float = 8
    bottom: float = 20

    def at(self, x: float, y: float) -> Point:
        """Place of a value, y downwards as SVG has it."""
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return (
            self.left + across * (self.width - self.left - self.right),
            self.height - self.bottom - up * (self.height - self.top - self.bottom),
        )

    def path(self, points: Sequence[Point]) -> str:
        """Path through values; values that are not finite leave a gap."""
        words, pen = [], "M"
        for x, y in points:
            if not math.isfinite(y):
                pen = "M"
                continue
            across, down = self.at(x, y)
            words.append(f"{pen}{across:.1f} {down:.1f}")
            pen = "L"
        return "".join(words)

    def line(self, points: Sequence[Point], class_: str) -> Markup:
        """A line through values, and a dot where there is a single one."""
        if len(points) == 1 and math.isfinite(points[0][1]):
            across, down = self.at(*points[0])
            return element("circle", cx=f"{across:.1f}", cy=f"{down:.1f}", r=3, class_=class_)
        return element("path", d=self.path(points), class_=f"line {class_}")

    def area(
        self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], class_: str
    ) -> Markup:
        """The band between two lines."""
        there = self.path(list(zip(xs, high, strict=True)))
        back = self.path(list(zip(xs, low, strict=True))[::-1]).replace("M", "L", 1)
        return element("path", d=f"{there}{back}Z", class_=f"area {class_}")

    def axes(self, xs: Sequence[float], ys: Sequence[tuple[float, str]]) -> Markup:
        """Horizontal rules with their labels, and whole numbers below."""
        rules = []
        for y, name in ys:
            left, down = self.at(self.x[0], y)
            right = self.width - self.right
            rules.append(element("path", d=f"M{left} {down:.1f}H{right}", class_="rule"))
            rules.append(
                element("text", name, x=left - 6, y=f"{down + 3.5:.1f}", text_anchor="end")
            )
        for x in xs:
            across, _ = self.at(x, self.y[0])
            rules.append(
                element(
                    "text", f"{x:g}", x=f"{across:.1f}", y=self.height - 5, text_anchor="middle"
                )
            )
        return join(rules)

    def svg(self, alt: str, *children: str) -> Markup:
        """The picture; `alt` says in words what it shows."""
        return element(
            "svg",
            *children,
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            role="img",
            aria_label=alt,
        )


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round values (1, 2 or 5 times a power of ten) from `low` to `high`."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(f for f in (1, 2, 5, 10) if f * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]
