"""Pictures of a study: positions against sums done here, names that keep clear of each other."""

from __future__ import annotations

import math
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

from pskd.evaluate.statistics import McNemar, spread
from pskd.evaluate.study.figures import cost_map, difference_scale, forest, log_ticks, strip
from pskd.evaluate.study.labels import LONGEST, RADIUS, place, shorten, text_width
from pskd.evaluate.study.parts import MethodResult
from pskd.evaluate.study.statistics import Difference
from pskd.evaluate.study.words import Pair
from pskd.evaluate.words import signed

HOSTILE = 'a <b> & "c" 温度'


def difference(
    mean: float,
    interval: tuple[float, float] | None = None,
    values: tuple[float, ...] = (),
    p: float = 0.01,
) -> Difference:
    values = values or (mean,)
    same_way = McNemar(won=9 if mean > 0 else 1, lost=1 if mean > 0 else 9, p=p)
    return Difference(
        mean=mean, values=values, seeds=tuple(range(len(values))), by_subject={"2": mean},
        interval=interval, seed_interval=None, subject_interval=None, mcnemar=(same_way,), p=p,
        p_corrected=p, per_class={}, per_class_interval={}, baseline=spread([0.5]),
    )  # fmt: skip


def method(name: str, change: Difference | None, score: float = 0.8, **facts: int) -> MethodResult:
    across = spread([score])
    return MethodResult(
        name=name, about="", group="", cells=(), accuracy=across, macro_f1=across, score=across,
        parameters=facts.get("parameters", 100), macs=None, inputs=("acceleration",),
        seconds=across, difference=change,
    )  # fmt: skip


def pairs(*changes: Difference) -> list[Pair]:
    return [(method(f"m{k}", d), d) for k, d in enumerate(changes)]


GAIN = difference(0.02, (0.005, 0.04), (0.01, 0.03))
LOSS = difference(-0.03, (-0.05, 0.01), (-0.06, 0.0))


def across(points: float) -> float:
    """Percent of the width of the axis that holds GAIN and LOSS: -6 to 4 points and 4 % room."""
    return 100 * (points + 6.4) / 10.8


def percents(node: ElementTree.Element, *names: str) -> list[float]:
    return [float(node.attrib[name].rstrip("%")) for name in names]


def test_a_strip_puts_mean_seeds_and_interval_in_their_place() -> None:
    scale = difference_scale(pairs(GAIN, LOSS), "dots")
    root = ElementTree.fromstring(strip(GAIN, "dots", scale))
    (mean,) = (r for r in root.iter("rect") if "mean" in r.attrib["class"])
    assert percents(mean, "x") == pytest.approx([across(2)], abs=0.01)
    dots = list(root.iter("circle"))
    assert [d[0].text for d in dots] == ["seed 0: +1.0 points", "seed 1: +3.0 points"]
    assert [percents(d, "cx")[0] for d in dots] == pytest.approx([across(1), across(3)], abs=0.01)
    lines = [line for line in root.iter("line") if "c-student" in line.attrib["class"]]
    whisker, low, high = (percents(line, "x1", "x2") for line in lines)
    assert whisker == pytest.approx([across(0.5), across(4)], abs=0.01)
    assert low + high == pytest.approx([across(0.5)] * 2 + [across(4)] * 2, abs=0.01)
    (zero,) = (line for line in root.iter("line") if "c-ink" in line.attrib["class"])
    assert percents(zero, "x1", "x2") == pytest.approx([across(0)] * 2, abs=0.01)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "+2.0 points, +0.5 to +4.0; seed 0 +1.0, seed 1 +3.0"


def test_bars_lie_between_zero_and_the_mean() -> None:
    scale = difference_scale(pairs(GAIN, LOSS), "bar")
    left, right = -5.0, 4.0  # intervals and means; seeds are not drawn
    room = 0.04 * (right - left)
    unit = 100 / (right - left + 2 * room)
    for change, start, length in ((GAIN, 0.0, 2.0), (LOSS, -3.0, 3.0)):
        root = ElementTree.fromstring(strip(change, "bar", scale))
        (bar,) = root.iter("rect")
        want = [(start - left + room) * unit, length * unit]
        assert percents(bar, "x", "width") == pytest.approx(want, abs=0.011)
        assert not list(root.iter("circle"))


def test_without_an_interval_there_is_no_line() -> None:
    alone = difference(0.02)
    scale = difference_scale(pairs(alone), "dots")
    root = ElementTree.fromstring(strip(alone, "dots", scale))
    assert not [line for line in root.iter("line") if "c-alone" in line.attrib["class"]]
    assert "no interval" in root.attrib["aria-label"]


def test_nothing_but_zeros_is_drawn_too() -> None:
    still = difference(0.0, (0.0, 0.0))
    root = ElementTree.fromstring(strip(still, "dots", difference_scale(pairs(still), "dots")))
    (mean,) = root.iter("rect")
    assert percents(mean, "x") == [50.0]


@pytest.mark.parametrize(
    ("change", "colour", "bold"),
    [
        (GAIN, "c-student", True),
        (difference(-0.02, (-0.03, -0.01)), "c-down", True),
        (LOSS, "c-alone", False),
        (difference(0.02, (0.005, 0.04), p=0.06), "c-alone", False),
        (difference(0.02, None), "c-alone", False),
    ],
)
def test_only_what_can_be_told_is_bold_and_coloured(
    change: Difference, colour: str, bold: bool
) -> None:
    rows = [(method(HOSTILE, change), change)]
    links = {HOSTILE: "#f"}
    root = ElementTree.fromstring(forest(rows, "dots", difference_scale(rows, "dots"), links))
    (mean,) = root.iter("rect")
    assert mean.attrib["class"] == f"mean {colour}"
    assert bool(list(root.iter("b"))) is bold
    name, figures = root.iter("a")
    assert (name.text, next(figures.itertext())) == (HOSTILE, signed(change.mean))
    assert name.attrib["href"] == figures.attrib["href"] == "#f"


def test_the_axis_says_points_with_their_signs() -> None:
    rows = pairs(GAIN, LOSS)
    links = {m.name: "#" for m, _ in rows}
    root = ElementTree.fromstring(forest(rows, "dots", difference_scale(rows, "dots"), links))
    axis = root[-1]
    assert axis.attrib["aria-hidden"] == "true"
    texts = {t.text: percents(t, "x")[0] for t in axis.iter("text")}
    minus = "\N{MINUS SIGN}"
    want = {f"{minus}6": -6, f"{minus}4": -4, f"{minus}2": -2, "0": 0, "+2": 2, "+4": 4}
    assert texts == pytest.approx({name: across(x) for name, x in want.items()}, abs=0.01)


def test_costs_are_on_a_logarithmic_axis() -> None:
    scores, costs = (0.70, 0.90, 0.75), (1_000, 10_000, 100_000)
    rows = [method(f"m{k}", GAIN, s) for k, s in enumerate(scores)]
    links = {m.name: f"#{m.name}" for m in rows}
    picture = cost_map(rows, costs, "parameters", "Accuracy", links)
    root = ElementTree.fromstring(picture)
    found = {a.attrib["href"]: a[0] for a in root.iter("a")}
    dots = [found[f"#m{k}"] for k in range(3)]
    x, y = ([float(d.attrib[key]) for d in dots] for key in ("cx", "cy"))
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.11)
    assert (y[0] - y[1]) / (y[0] - y[2]) == pytest.approx(0.20 / 0.05, rel=0.01)
    assert dots[1][0].text == "m1: 90.0 %, 10,000 parameters"
    assert root.attrib["aria-label"] == (
        "Accuracy of 3 methods against parameters, 1,000 to 100,000; highest m1, 90.0 % with 10,000"
    )
    named = {t.text: float(t.attrib["x"]) for t in root.iter("text")}
    assert named["10,000"] == pytest.approx(x[1], abs=0.1)


def test_the_baseline_lies_on_top() -> None:
    rows = [method("alone", None), method("m", GAIN)]
    links = {"alone": "#alone", "m": "#m"}
    root = ElementTree.fromstring(cost_map(rows, (10, 20), "MACs", "Accuracy", links))
    assert [a.attrib["href"] for a in root.iter("a")] == ["#m", "#alone"]


@pytest.mark.parametrize(
    ("low", "high", "want"),
    [
        (900, 60_000, [1e3, 2e3, 5e3, 1e4, 2e4, 5e4]),
        (900, 2e6, [1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6]),
        (1, 1e7, [10.0**k for k in range(8)]),
        (45_000, 52_000, [46_000, 48_000, 50_000, 52_000]),
    ],
)
def test_logarithmic_ticks_are_few_and_round(low: float, high: float, want: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(want)


CROWDS = {
    "a column": [(120.0, 150 + 1.5 * k) for k in range(30)],
    "one spot": [(400.0, 200.0)] * 30,
    "at the edge": [(895.0, 100 + 8.0 * k) for k in range(30)],
    "a cloud": [(float(x), float(y)) for x, y in np.random.default_rng(0).uniform(
        [60, 40], [880, 400], (30, 2))],
}  # fmt: skip


@pytest.mark.parametrize("dots", CROWDS.values(), ids=list(CROWDS))
def test_names_overlap_neither_each_other_nor_dots(dots: list[tuple[float, float]]) -> None:
    names = [f"method {'x' * (k % 12)}" for k in range(30)]
    boxes = place(dots, names, (38, 0, 900, 506))
    found = [box for box in boxes if box is not None]
    assert len(found) == 30
    for (left, top, right, bottom), name in zip(found, names, strict=True):
        assert right - left == pytest.approx(text_width(name))
        assert left >= 38 and right <= 900 and top >= 0 and bottom <= 506
        assert not any(
            left < x + RADIUS and x - RADIUS < right and top < y + RADIUS and y - RADIUS < bottom
            for x, y in dots
        )
    for a, b in combinations(found, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_a_name_without_a_place_is_left_out() -> None:
    assert place([(50, 10)], ["much too long"], (0, 0, 100, 20)) == [None]


def test_long_names_are_cut_and_wide_letters_counted_double() -> None:
    assert shorten("x" * LONGEST) == "x" * LONGEST
    assert shorten("x" * 40) == "x" * (LONGEST - 1) + "…"
    assert text_width("温度") > 1.5 * text_width("ab")
    assert math.isclose(text_width("ab"), 13.2)
