"""The frontier: both curves of a grid, the reference, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from pskd.errors import CheckpointError, UsageError
from pskd.evaluate.certificate.facts import Latency
from pskd.evaluate.statistics import spread
from pskd.evaluate.study import load_study
from pskd.evaluate.study.frontier import Cost, Costs, Frontier, frontiers, read_costs
from pskd.evaluate.study.frontier_figures import axes, bounds, frontier_chart, frontier_png
from pskd.evaluate.study.frontier_page import answer, frontier_markdown, write_frontier
from tests.evaluate.html_page import Page
from tests.evaluate.study.study_folder import SUBJECTS, write_study

SIZES = {"small": 4_000, "middle": 20_000, "usual": 49_000, "large": 100_000}
CLIPS = 20
TAUGHT = {"small": 0.60, "middle": 0.80, "usual": 0.85, "large": 0.90}
ALONE = {"small": 0.50, "middle": 0.70, "usual": 0.80, "large": 0.85}


def right(share: float) -> np.ndarray:
    """That share of each subject's clips."""
    return np.arange(len(SUBJECTS) * CLIPS) % CLIPS < round(CLIPS * share)


def make(out: Path, taught: dict[str, float] = TAUGHT, by_seed: float = 0.0, **more: Any) -> Path:
    """A grid whose students are `by_seed` worse with seed 0 and better with seed 2."""

    def cell(method: str, seed: int, fold: str) -> dict[str, Any]:
        share = taught[method] + by_seed * (seed - 1)
        hits = {"student": right(share), "student_alone": right(ALONE[method])}
        return {"right": hits, "parameters": SIZES[method]}

    return write_study(
        out, methods=("usual", "small", "large", "middle"), cell=cell, clips=CLIPS, **more
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("grid") / "g")


@pytest.fixture(scope="module")
def found(folder: Path) -> Frontier:
    (one,) = frontiers(load_study(folder), COSTS)
    return one


def latency(p50: float, p99: float, calls: int = 2_000) -> Latency:
    return Latency(calls=calls, p50_us=p50, p99_us=p99)


COSTS = Costs(
    machine="a machine",
    calls=2_000,
    costs=tuple(
        Cost("main", name, size / 1000, {"onnx": latency(size / 1000 + 0.5, 99.0)})
        for name, size in SIZES.items()
        if name != "large"
    ),
)


def test_points_go_from_small_to_large_with_both_scores(found: Frontier):
    assert [p.method.name for p in found.points] == list(SIZES)
    assert [p.taught.mean for p in found.points] == pytest.approx(list(TAUGHT.values()))
    assert [p.alone.mean for p in found.points] == pytest.approx(list(ALONE.values()))
    assert all(len(p.taught.values) == 3 for p in found.points)


def test_the_reference_is_the_largest_of_up_to_50_000_parameters(found: Frontier):
    assert found.reference.method.name == "usual"
    for point in found.points:
        assert point.gain and point.against
        assert point.gain.mean == pytest.approx(point.taught.mean - point.alone.mean)
        assert point.against.mean == pytest.approx(point.taught.mean - ALONE["usual"])


def test_the_answer_names_the_smallest_that_is_as_good(found: Frontier):
    assert found.nearest and found.nearest.method.name == "middle"
    said = answer(found)
    assert said.startswith("Alone, 49,000 parameters reach 80.0 %.")
    assert said.endswith("has 20,000: 80.0 %, 0.0 points (0.0 to 0.0).")


def test_an_answer_that_is_not_sure_says_so(tmp_path: Path):
    (one,) = frontiers(load_study(make(tmp_path, by_seed=0.05)), None)
    assert "20,000: 80.0 %" in answer(one)
    assert "does not rule out a loss of more than 1 point" in answer(one)


@pytest.mark.parametrize(
    ("score", "words"),
    [(0.2, "no student comes within 1 point"), (0.95, "has 4,000: 95.0 %, +15.0 points")],
)
def test_other_answers(score: float, words: str, tmp_path: Path):
    (one,) = frontiers(load_study(make(tmp_path, dict.fromkeys(SIZES, score))), None)
    assert words in answer(one)


def test_what_is_not_there_is_said_and_not_drawn(tmp_path: Path):
    (one,) = frontiers(load_study(make(tmp_path, absent=[("small", 1, "")])), None)
    assert len(one.points[0].taught.values) == 2
    assert [axis.name for axis in axes(one)] == ["parameters"]  # MACs are the same in all here
    write_frontier(load_study(tmp_path), [one], tmp_path)
    assert "1 cell missing." in (tmp_path / "frontier.html").read_text()


def test_a_grid_of_one_size_has_no_frontier(tmp_path: Path):
    with pytest.raises(UsageError, match="several sizes"):
        frontiers(load_study(write_study(tmp_path)), None)


def test_costs_are_read_back(tmp_path: Path):
    path = tmp_path / "costs.json"
    assert read_costs(path) is None
    took = {"onnx": {"calls": 3, "p50_us": 9.5, "p99_us": 12.0}}
    cost = {"table": "main", "method": "usual", "int8_kb": 50.0, "latency": took}
    path.write_text(json.dumps({"machine": "m", "calls": 3, "costs": [cost]}))
    read = read_costs(path)
    assert read and read.costs[0] == Cost(
        "main", "usual", 50.0, {"onnx": latency(9.5, 12.0, calls=3)}
    )
    path.write_text('{"machine": "m"}')
    with pytest.raises(CheckpointError, match="calls"):
        read_costs(path)


def test_the_chart_puts_dots_where_the_sums_say(found: Frontier):
    parameters, int8, latency = axes(found)
    assert "parameters" in parameters.name and "KB" in int8.name and "onnx" in latency.name
    tree = ElementTree.fromstring(frontier_chart(found, parameters))
    spots = {c[0].text: c for c in tree.iter("circle")}
    assert len(spots) == 8
    xs = [float(c.attrib["cx"]) for t, c in spots.items() if "with teachers" in str(t)]
    gaps, sizes = np.diff(xs), np.log(list(SIZES.values()))
    np.testing.assert_allclose(gaps / gaps.sum(), np.diff(sizes) / np.ptp(sizes), atol=2e-3)
    taught = [float(c.attrib["cy"]) for t, c in spots.items() if "with teachers" in str(t)]
    alone = [float(c.attrib["cy"]) for t, c in spots.items() if "alone" in str(t)]
    assert taught == sorted(taught, reverse=True)
    assert alone[3] - taught[3] == pytest.approx((alone[0] - taught[0]) / 2, abs=0.2)
    assert len(list(ElementTree.fromstring(frontier_chart(found, int8)).iter("circle"))) == 6


def test_whiskers_are_t_intervals_within_0_and_100():
    low, high = bounds(spread([0.90, 0.92, 0.94]))
    half = 4.302653 * 2.0 / 3**0.5
    assert (low, high) == pytest.approx((92 - half, 92 + half), abs=1e-4)
    assert bounds(spread([0.5, 1.0, 1.0]))[1] == 100
    assert bounds(spread([0.5])) == (50, 50)


def test_page_picture_and_markdown(folder: Path, found: Frontier, tmp_path: Path):
    study = load_study(folder)
    page = Page(write_frontier(study, [found], tmp_path).read_text())
    assert answer(found) in page.text
    assert "missing." not in page.text
    assert page.all("a", "href") == ["report.html"]
    assert (tmp_path / "frontier-main.png").read_bytes()[:4] == b"\x89PNG"
    assert frontier_png(found, "t") == frontier_png(found, "t")
    rows = frontier_markdown(found).splitlines()
    assert rows[0].count("|") == rows[2].count("|")
    assert "| middle | 20,000 | 1.62 M | 20.0 | 20.5 / 99.0 | 80.0 ± 0.0 | 70.0 ± 0.0 |" in rows[3]
    assert "| \N{EN DASH} |" in rows[5]
    assert (tmp_path / "frontier-main.md").read_text() == frontier_markdown(found)
