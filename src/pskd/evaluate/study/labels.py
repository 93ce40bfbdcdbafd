"""Names beside dots that overlap neither each other nor the dots."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from pskd.evaluate.chart import Point

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

LINE = 13.0
"""Height of a name."""

GAP = 9.0
"""From the middle of a dot to its name."""

RADIUS = 4.5

LONGEST = 28


def shorten(name: str) -> str:
    """A name short enough to stand in a picture."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1].rstrip()}…"


def text_width(name: str) -> float:
    """About the width of a name at 11.5 px; East Asian characters are twice as wide."""
    return sum(12.0 if unicodedata.east_asian_width(c) in "WF" else 6.6 for c in name)


def label_box(dot: Point, width: float, right: bool, shift: float) -> Box:
    """Where a name stands: beside its dot, moved down by `shift`."""
    left = dot[0] + GAP if right else dot[0] - GAP - width
    return left, dot[1] + shift - LINE / 2, left + width, dot[1] + shift + LINE / 2


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes share an area."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def place(dots: Sequence[Point], names: Sequence[str], room: Box) -> list[Box | None]:
    """Give every name the nearest free place beside its dot, those in the thick of it first.

    Returns:
        A box a name; None where `room` holds no free place.
    """
    taken = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in dots]
    middle = sorted(y for _, y in dots)[len(dots) // 2]
    steps = int((room[3] - room[1]) / 3)
    shifts = [0.0] + [sign * 3.0 * k for k in range(1, steps) for sign in (1, -1)]
    found: list[Box | None] = [None] * len(dots)
    for k in sorted(range(len(dots)), key=lambda k: (abs(dots[k][1] - middle), k)):
        width = text_width(names[k])
        places = (label_box(dots[k], width, right, s) for s in shifts for right in (True, False))
        found[k] = next((box for box in places if _free(box, taken, room)), None)
        if (box := found[k]) is not None:
            taken.append(box)
    return found


def _free(box: Box, taken: Sequence[Box], room: Box) -> bool:
    inside = box[0] >= room[0] and box[1] >= room[1] and box[2] <= room[2] and box[3] <= room[3]
    return inside and not any(overlap(box, other) for other in taken)
