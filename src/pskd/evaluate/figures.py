"""The report's pictures: curves, choices and the embedding map."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pskd.evaluate.chart import Chart, Point, ticks
from pskd.evaluate.compare import Gain
from pskd.evaluate.markup import Markup, element, join
from pskd.evaluate.run_files import Epoch, Predictions
from pskd.evaluate.words import percent

COLOURS = 8
"""Classes share this many colours, and another shape of dot each time these are used up."""

PERCENT = [(0.0, "0"), (0.5, "50"), (1.0, "100 %")]


def accuracy_curve(epochs: Sequence[Epoch], colour: str) -> Markup:
    """Training accuracy over the epochs of a stage, and validation accuracy where there is one."""
    chart = Chart(x=_span(epochs), y=(0, 1))
    train = [(e.epoch, e.train_accuracy) for e in epochs]
    checked = [
        (e.epoch, e.validation_accuracy) for e in epochs if e.validation_accuracy is not None
    ]
    alt = f"Training accuracy over {len(epochs)} epochs, {percent(train[-1][1])} % in the last"
    if checked:
        alt += f"; validation accuracy {percent(checked[-1][1])} % in the last"
    return chart.svg(
        alt,
        chart.axes(_epoch_ticks(chart), PERCENT),
        chart.line(train, f"c-{colour}"),
        chart.line(checked, f"c-{colour} dashed") if checked else Markup(),
    )


def loss_curve(epochs: Sequence[Epoch], terms: Mapping[str, str]) -> Markup:
    """The loss of a stage over its epochs, with its terms in the colours that `terms` gives."""
    series = {name: [(e.epoch, e.terms.get(name, math.nan)) for e in epochs] for name in terms}
    total = [(e.epoch, e.loss) for e in epochs]
    drawn = [y for points in (total, *series.values()) for _, y in points if math.isfinite(y)]
    low, high = min([0.0, *drawn]), max([*drawn, 1e-9])
    chart = Chart(x=_span(epochs), y=(low, high))
    return chart.svg(
        f"Loss over {len(epochs)} epochs, {total[-1][1]:.3g} in the last",
        chart.axes(_epoch_ticks(chart), [(y, f"{y:g}") for y in ticks(low, high, 3)]),
        *(chart.line(points, f"c-{terms[name]} thin") for name, points in series.items()),
        chart.line(total, "c-ink"),
    )


def choice_area(epochs: Sequence[Epoch], colours: Mapping[str, str]) -> Markup:
    """Share of the clips that followed each teacher or the label, stacked, over the epochs."""
    chosen = [e for e in epochs if e.choices]
    chart = Chart(x=_span(chosen), y=(0, 1), height=190)
    xs = [float(e.epoch) for e in chosen]
    if len(xs) == 1:
        xs, chosen = list(chart.x), chosen * 2
    shares = np.array([[(e.choices or {}).get(name, 0.0) for name in colours] for e in chosen])
    tops = np.cumsum(shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-9), axis=1)
    lows = np.hstack([np.zeros((len(tops), 1)), tops[:, :-1]])
    return chart.svg(
        f"Share of the clips that followed {', '.join(colours)}, over {len(epochs)} epochs",
        *(
            chart.area(xs, lows[:, k].tolist(), tops[:, k].tolist(), f"c-{colour}")
            for k, colour in enumerate(colours.values())
        ),
        chart.axes(_epoch_ticks(chart), PERCENT),
    )


def gain_strip(gain: Gain, seeds: Sequence[int]) -> Markup:
    """A dot for the gain of each seed, their mean, and its interval."""
    points = [100 * g for g in gain.difference.values]
    mean, bounds = 100 * gain.difference.mean, [100 * b for b in gain.interval or ()]
    low, high = min([0.0, *points, *bounds]), max([0.0, *points, *bounds])
    room = 0.06 * (high - low) or 1.0
    chart = Chart(x=(low - room, high + room), y=(0, 1), width=640, height=84, left=10, right=10)
    middle = chart.at(0, 0.5)[1]

    def upright(x: float, class_: str) -> Markup:
        return chart.line([(x, 0.0), (x, 1.0)], class_)

    dots = []
    for seed, x in zip(seeds, points, strict=True):
        spot = element("title", f"seed {seed}: {x:+.1f} points")
        across = f"{chart.at(x, 0)[0]:.1f}"
        dots.append(element("circle", spot, cx=across, cy=f"{middle:.1f}", r=5, class_="c-student"))
    band = chart.area(bounds, [0.2, 0.2], [0.8, 0.8], "c-student faint") if bounds else Markup()
    return chart.svg(
        f"Gain by seed in points, mean {mean:+.1f}",
        band,
        chart.axes(ticks(*chart.x, 8), []),
        upright(0.0, "c-ink dashed thin"),
        upright(mean, "c-student"),
        *dots,
    )


def principal_plane(
    embeddings: NDArray[np.float32],
) -> tuple[NDArray[np.float64], float] | None:
    """Project embeddings [N, E] on their first two principal components.

    Returns:
        The plane [N, 2] and the share of the variance in it, or None where there is none to show.
    """
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    if min(centred.shape) < 2 or not centred.any():
        return None
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    # The sign of a component is arbitrary: fix it, so that the same run gives the same picture.
    largest = np.abs(right[:2]).argmax(axis=1)
    signs = np.sign(right[[0, 1], largest])
    share = float((values[:2] ** 2).sum() / (values**2).sum())
    return left[:, :2] * values[:2] * signs, share


def embedding_map(
    plane: NDArray[np.float64], predictions: Predictions, classes: Sequence[str]
) -> Markup:
    """Dots of the clips on the plane, coloured by true class; hollow where the student errs."""
    (left, low), (right, high) = plane.min(axis=0), plane.max(axis=0)
    chart = Chart(
        x=(left, right), y=(low, high), width=640, height=480, left=16, bottom=16, right=16, top=16
    )
    dots = []
    for place, recording, true, guess in zip(
        plane, predictions.recordings, predictions.true, predictions.predicted, strict=True
    ):
        says = classes[true] if true == guess else f"{classes[true]}, read as {classes[guess]}"
        dots.append(
            element(
                "path",
                element("title", f"{recording}: {says}"),
                d=dot(int(true), *chart.at(*place)),
                class_=f"dot c-k{true % COLOURS}{'' if true == guess else ' wrong'}",
            )
        )
    present = [k for k in range(len(classes)) if (predictions.true == k).any()]
    centres = [chart.at(*np.median(plane[predictions.true == k], axis=0)) for k in present]
    return chart.svg(
        f"{len(plane)} test clips on the first two principal components of the student's "
        f"embedding, {len(present)} classes",
        *dots,
        _names([classes[k] for k in present], centres, chart),
    )


def dot(k: int, x: float, y: float) -> str:
    """Path of the dot of class k: circle, square, triangle or diamond, about (x, y)."""
    shapes = (
        "m-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0z",
        "m-3 -3h6v6h-6z",
        "m0 -4l3.8 6.6h-7.6z",
        "m0 -4.2l4.2 4.2l-4.2 4.2l-4.2 -4.2z",
    )
    return f"M{x:.1f} {y:.1f}{shapes[k // COLOURS % len(shapes)]}"


def _names(names: Sequence[str], centres: Sequence[Point], chart: Chart) -> Markup:
    """Class names at the centres of their dots, moved down where they would overlap."""
    placed: list[tuple[float, float, float]] = []
    words = []
    for name, (x, y) in sorted(zip(names, centres, strict=True), key=lambda pair: pair[1][1]):
        half = 3.3 * len(name) + 4
        x = min(max(x, half), chart.width - half)
        for other, down, width in sorted(placed, key=lambda p: p[1]):
            if abs(x - other) < half + width and abs(y - down) < 14:
                y = down + 14
        placed.append((x, y, half))
        words.append(
            element(
                "text", name, x=f"{x:.1f}", y=f"{y + 4:.1f}", text_anchor="middle", class_="name"
            )
        )
    return join(words)


def _span(epochs: Sequence[Epoch]) -> Point:
    return (float(epochs[0].epoch), float(max(epochs[-1].epoch, epochs[0].epoch + 1)))


def _epoch_ticks(chart: Chart) -> list[float]:
    first, last = chart.x
    inner = [t for t in ticks(first, last) if t == round(t) and t - first > (last - first) / 12]
    return [first, *inner]
