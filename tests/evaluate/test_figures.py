"""Pictures: geometry against numbers worked out by hand."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from pskd.evaluate.chart import Chart, ticks
from pskd.evaluate.compare import Gain
from pskd.evaluate.figures import (
    accuracy_curve,
    choice_area,
    dot,
    embedding_map,
    gain_strip,
    loss_curve,
    principal_plane,
)
from pskd.evaluate.markup import Markup, element, join, table
from pskd.evaluate.run_files import Epoch, Predictions
from pskd.evaluate.statistics import spread


def epoch(number: int, **values: object) -> Epoch:
    return Epoch(**{"stage": "s", "epoch": number, "epochs": 9, "loss": 1.0 / number,
                    "train_accuracy": 0.5, **values})  # type: ignore[arg-type]  # fmt: skip


def test_markup_escapes_by_default() -> None:
    cell = element("td", "<b> & 'x'", title='"y"', class_="n", aria_label=None, stroke_width=2)
    assert cell == (
        '<td title="&quot;y&quot;" class="n" stroke-width="2">&lt;b&gt; &amp; &#x27;x&#x27;</td>'
    )
    assert join(["<", Markup("<br>")]) == "&lt;<br>"
    html = table(("<h>",), [("<r>", "<c>")])
    assert "<h>" not in html and "<r>" not in html and "<c>" not in html


@pytest.mark.parametrize(
    ("low", "high", "want"),
    [
        (0, 1, [0, 0.5, 1]), (1, 200, [100, 200]), (0, 2.4, [0, 1, 2]),
        (-3, 7, [0, 5]), (0, 0.003, [0, 0.001, 0.002, 0.003]), (5, 5, [5]),
    ],
)  # fmt: skip
def test_ticks_are_round_and_inside(low: float, high: float, want: list[float]) -> None:
    assert ticks(low, high, 3) == pytest.approx(want)


def test_chart_puts_values_in_their_place() -> None:
    chart = Chart(x=(0, 10), y=(0, 2), width=120, height=60, left=10, right=10, top=5, bottom=15)
    assert chart.at(0, 0) == (10, 45)
    assert chart.at(10, 2) == (110, 5)
    assert chart.path([(0, 0), (5, 1)]) == "M10.0 45.0L60.0 25.0"
    assert chart.path([(0, 0), (1, math.nan), (5, 1)]) == "M10.0 45.0M60.0 25.0"
    assert chart.line([(5, 1)], "c").startswith('<circle cx="60.0" cy="25.0"')


def test_accuracy_curve_draws_validation_only_where_there_is_one() -> None:
    plain = accuracy_curve([epoch(1), epoch(2)], "t0")
    assert "dashed" not in plain and "50.0 % in the last" in plain
    checked = [epoch(1, validation_accuracy=0.2), epoch(2, validation_accuracy=0.25)]
    assert "validation accuracy 25.0 %" in accuracy_curve(checked, "t0")
    assert "dashed" in accuracy_curve(checked, "t0")


def test_loss_curve_survives_losses_that_are_not_finite() -> None:
    picture = loss_curve([epoch(1, loss=math.nan), epoch(2, loss=math.inf, terms={"x": 1.0})],
                         {"x": "k1"})  # fmt: skip
    ElementTree.fromstring(picture)
    assert "Mnan" not in picture and "inf " not in picture.replace('aria-label="', "").split("<")[2]


def test_choice_bands_are_as_high_as_their_shares() -> None:
    epochs = [epoch(e, choices={"fused": 0.25, "label": 0.75}) for e in (1, 2, 3)]
    root = ElementTree.fromstring(choice_area(epochs, {"fused": "t0", "label": "alone"}))
    bands = [p for p in root.iter("path") if "area" in p.attrib["class"]]
    heights = []
    for band in bands:
        ys = [float(y) for y in re.findall(r"[ML]\S+ ([\d.]+)", band.attrib["d"])]
        heights.append(max(ys) - min(ys))
    assert heights[1] == pytest.approx(3 * heights[0], rel=0.01)
    assert sum(heights) == pytest.approx(190 - 8 - 20, abs=0.3)
    ElementTree.fromstring(choice_area(epochs[:1], {"fused": "t0", "label": "alone"}))


def test_principal_plane_keeps_the_largest_variances() -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(80, 5)) * [0.1, 3, 0.2, 2, 0.1]).astype(np.float32)
    plane, share = principal_plane(values) or (None, 0.0)
    assert plane is not None
    variances = np.sort(np.linalg.eigvalsh(np.cov(values.T.astype(np.float64))))[::-1]
    assert plane.var(axis=0, ddof=1) == pytest.approx(variances[:2], rel=1e-5)
    assert share == pytest.approx(variances[:2].sum() / variances.sum(), rel=1e-5)
    turned, _ = principal_plane(values[::-1].copy()) or (None, 0.0)
    np.testing.assert_allclose(turned, plane[::-1], atol=1e-9)


@pytest.mark.parametrize("values", [np.ones((4, 3)), np.ones((1, 3)), np.arange(4.0)[:, None]])
def test_no_plane_without_two_dimensions(values: np.ndarray) -> None:
    assert principal_plane(values.astype(np.float32)) is None


def test_embedding_map_marks_misread_clips_and_names_all_classes() -> None:
    plane = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.9]])
    said = Predictions(
        recordings=("r0", "r<1>", "r2"),
        subjects=("s",) * 3,
        true=np.array([0, 1, 1]),
        predicted=np.array([0, 0, 1]),
        probabilities=np.zeros((3, 2)),
    )
    root = ElementTree.fromstring(embedding_map(plane, said, ["wave", "a & b"]))
    dots = [p for p in root.iter("path") if p.attrib["class"].startswith("dot")]
    assert [d[0].text for d in dots] == ["r0: wave", "r<1>: a & b, read as wave", "r2: a & b"]
    assert ["wrong" in d.attrib["class"] for d in dots] == [False, True, False]
    assert {t.text for t in root.iter("text")} == {"wave", "a & b"}


def test_names_at_one_place_do_not_overlap() -> None:
    n = 12
    said = Predictions(
        recordings=tuple(map(str, range(2 * n))),
        subjects=("s",) * 2 * n,
        true=np.arange(2 * n) % n,
        predicted=np.arange(2 * n) % n,
        probabilities=np.zeros((2 * n, n)),
    )
    plane = np.vstack([np.zeros((n, 2)), np.ones((n, 2))])
    root = ElementTree.fromstring(embedding_map(plane, said, [f"class {k}" for k in range(n)]))
    ys = sorted(float(t.attrib["y"]) for t in root.iter("text"))
    assert min(np.diff(ys)) >= 13.9


def test_every_class_has_its_own_mark_up_to_32() -> None:
    assert len({(k % 8, dot(k, 0, 0)) for k in range(32)}) == 32


def test_gain_strip_has_a_dot_for_each_seed() -> None:
    gain = Gain(spread([0.01, -0.02, 0.04]), (-0.06, 0.08), ())
    root = ElementTree.fromstring(gain_strip(gain, [3, 4, 5]))
    dots = list(root.iter("circle"))
    assert [d[0].text for d in dots] == [
        "seed 3: +1.0 points", "seed 4: -2.0 points", "seed 5: +4.0 points",
    ]  # fmt: skip
    xs = [float(d.attrib["cx"]) for d in dots]
    assert (xs[2] - xs[1]) == pytest.approx(2 * (xs[0] - xs[1]), abs=0.3)
    ElementTree.fromstring(gain_strip(Gain(spread([0.0]), None, ()), [0]))
