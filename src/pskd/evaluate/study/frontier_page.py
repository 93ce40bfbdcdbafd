"""The page of a frontier, its picture, and its table as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pskd.evaluate.markup import Markup, element, join, page, table
from pskd.evaluate.sections import badge, fold, join_words, key, lead, scroll, section
from pskd.evaluate.sections import figure as framed
from pskd.evaluate.study.frontier import NEAR, Frontier, Point
from pskd.evaluate.study.frontier_figures import (
    ALONE,
    TAUGHT,
    axes,
    figure,
    frontier_chart,
    frontier_png,
)
from pskd.evaluate.study.parts import Study
from pskd.evaluate.study.statistics import Difference
from pskd.evaluate.study.words import DASH, interval_words, seeds_of
from pskd.evaluate.words import SCORES, clips, count, percent, protocol, signed, spread_words
from pskd.files import write_atomic


def write_frontier(study: Study, found: Sequence[Frontier], folder: Path) -> Path:
    """Write `frontier.html` and, for every table, a picture and a table in Markdown.

    Returns:
        The page. The same run files and costs give the same bytes.
    """
    files = {"frontier.html": page(f"{study.name}: frontier", _body(study, found)).encode()}
    for frontier in found:
        t = frontier.table
        title = f"{t.dataset.title}, {protocol(t.protocol)}: how small may the student be?"
        files[f"frontier-{t.name}.png"] = frontier_png(frontier, title)
        files[f"frontier-{t.name}.md"] = frontier_markdown(frontier).encode()
    for name, content in files.items():
        write_atomic(folder / name, content, remedy="Free some space")
    return folder / "frontier.html"


def answer(frontier: Frontier) -> str:
    """How small a student with teachers is about as good as the reference alone."""
    base, best = frontier.reference, frontier.nearest
    words = (
        f"Alone, {base.method.parameters:,} parameters reach {percent(base.alone.mean)} %. "
        f"{TAUGHT.capitalize()}, "
    )
    if best is None or best.against is None:
        return words + f"no student comes within {100 * NEAR:g} point of that."
    words += (
        f"the smallest student within {100 * NEAR:g} point of that has "
        f"{best.method.parameters:,}: {percent(best.taught.mean)} %, "
        f"{signed(best.against.mean)} points ({interval_words(best.against.interval)})."
    )
    if best.against.interval is None or best.against.interval[0] < -NEAR:
        words += f" Its 95 % interval does not rule out a loss of more than {100 * NEAR:g} point."
    return words


def frontier_markdown(frontier: Frontier) -> str:
    """The table as GitHub's Markdown."""
    head, *rows = _rows(frontier)
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    told = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([*told, "", answer(frontier), *(_measured(frontier))]) + "\n"


def _rows(frontier: Frontier) -> list[list[str]]:
    """The head of the table, and a row a student."""
    targets = list({name: None for p in frontier.points if p.cost for name in p.cost.latency})
    score = SCORES[frontier.table.dataset.headline]
    head = [
        "Student", "Parameters", "MACs", "KB int8", *(f"{t}, µs p50 / p99" for t in targets),
        f"{score} %, {TAUGHT}", f"{score} %, {ALONE}", "Difference",
        f"Against {frontier.reference.method.parameters:,} alone",
    ]  # fmt: skip
    return [head, *(_row(point, targets) for point in frontier.points)]


def _row(point: Point, targets: Sequence[str]) -> list[str]:
    cost = point.cost
    took = [cost.latency.get(target) if cost else None for target in targets]
    return [
        point.method.name,
        f"{point.method.parameters:,}",
        count(point.method.macs),
        f"{cost.int8_kb:.1f}" if cost else DASH,
        *(f"{figure(t.p50_us)} / {figure(t.p99_us)}" if t else DASH for t in took),
        spread_words(point.taught),
        spread_words(point.alone),
        _words(point.gain),
        _words(point.against),
    ]


def _words(d: Difference | None) -> str:
    return f"{signed(d.mean)} ({interval_words(d.interval)})" if d else DASH


def _measured(frontier: Frontier) -> list[str]:
    costs = frontier.costs
    if costs is None or not any(cost.latency for cost in costs.costs):
        return []
    return [f"Times: {costs.calls:,} windows a student on one thread, in turns, {costs.machine}."]


def _body(study: Study, found: Sequence[Frontier]) -> Markup:
    head = element(
        "header",
        element("p", "PSKD frontier", class_="eyebrow"),
        element("h1", "How small may the student be?"),
        element("p", study.about, class_="note"),
    )
    again = lead(
        "Every figure is of a cell of the grid: ", element("a", "all of it", href="report.html"),
        ". Made again from run files by ", element("code", "pskd frontier FOLDER"), ".",
    )  # fmt: skip
    return join([head, *(_chapter(f) for f in found), section("again", "Make it again", again)])


def _chapter(frontier: Frontier) -> Markup:
    t = frontier.table
    about = join_words([t.dataset.title, t.protocol.name, clips(t.clips), seeds_of(t)])
    charts = [framed(frontier_chart(frontier, axis), axis.name) for axis in axes(frontier)]
    head, *rows = _rows(frontier)
    base, score = frontier.reference.method.parameters, SCORES[t.dataset.headline]
    missing = len(t.missing_cells)
    return join(
        [
            element("h2", t.name, class_="recipe"),
            element(
                "div",
                element("p", about, badge(t.protocol), class_="about"),
                lead(f"{missing} cell{'s' * (missing != 1)} missing.") if missing else Markup(),
                element("p", answer(frontier), class_="verdict"),
                class_="chapter",
            ),
            section(
                f"{t.name}-picture",
                f"{score} against size",
                lead(
                    "Percent, mean over the seeds. Whiskers: 95 % t intervals over the seeds, cut "
                    f"at the edge. Band: {base:,} parameters alone, ± {100 * NEAR:g} point."
                ),
                key([(TAUGHT, "student"), (ALONE, "alone")]),
                element("div", *(element("article", c) for c in charts), class_="grid wide"),
            ),
            section(
                f"{t.name}-figures",
                "Figures",
                lead(
                    "Differences in points, with 95 % intervals over seeds and test subjects. KB "
                    "int8: a byte a weight, and two numbers of four bytes an output channel, its "
                    "bias and its scale; 1 KB is 1,024 bytes. ",
                    *_measured(frontier),
                ),
                scroll(table(head, rows, class_="frontier")),
                fold("Markdown", frontier_markdown(frontier)),
            ),
        ]
    )
