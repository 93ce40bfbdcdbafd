"""The tables of a study's page: results with their run files, and what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from pskd.evaluate.markup import Markup, element, join, table
from pskd.evaluate.run_files import Headline
from pskd.evaluate.sections import lead, scroll
from pskd.evaluate.study.parts import TORN, Cell, MethodResult, StudyTable
from pskd.evaluate.study.words import DASH, fewer_seeds, interval_words, p_figure
from pskd.evaluate.words import SCORES, count, scores_in_order, signed, spread_words

FOLDED = 8
"""A longer list of missing cells is folded in."""


class Place:
    """A table's anchors on the page, and the way from the page to run files."""

    def __init__(self, number: int, page: Path, table: StudyTable) -> None:
        self.table, self.page, self.number = table, page, number
        self.rows = ([table.alone] if table.alone else []) + list(table.methods)
        self.anchors = {m.name: self.anchor(f"files-{k}") for k, m in enumerate(self.rows)}
        self.links = {name: f"#{anchor}" for name, anchor in self.anchors.items()}

    def anchor(self, part: str) -> str:
        """Id of a part of this table's chapter."""
        return f"t{self.number}-{part}"

    def href(self, path: Path) -> str:
        """A link from the page to a file."""
        return quote(Path(os.path.relpath(path, self.page.parent)).as_posix())


def results(place: Place) -> Markup:
    """The table of all methods, in the order of the grid."""
    shown = scores_in_order(place.table.dataset)
    head = (
        "Method", "Parameters", "MACs", "Seeds", *(f"{SCORES[name]} %" for name in shown),
        *["Baseline %"] * place.table.own_baselines, "Difference", "95 % interval", "Corrected p",
    )  # fmt: skip
    body = []
    for group in sorted({m.group: None for m in place.rows}, key=bool):
        if group:
            title = element("th", group, scope="colgroup", colspan=len(head))
            body.append(element("tr", title, class_="group"))
        body += [_row(place, method, shown) for method in place.rows if method.group == group]
    top = element("tr", *(element("th", title, scope="col") for title in head))
    listing = element("table", element("thead", top), element("tbody", *body), class_="study")
    return scroll(listing)


def _row(place: Place, method: MethodResult, shown: Sequence[Headline]) -> Markup:
    d, asked = method.difference, len(place.table.seeds)
    seeds = len(method.seeds)
    figures = [
        f"{method.parameters:,}",
        count(method.macs),
        str(seeds) if seeds == asked else f"{seeds} of {asked}",
        *(spread_words(getattr(method, name)) for name in shown),
    ]
    if place.table.own_baselines:
        figures.append(spread_words(d.baseline) if d else DASH)
    if d is None:
        figures += ["baseline" if method.name == place.table.baseline else DASH, "", ""]
    else:
        mean = element("b" if d.clear else "span", signed(d.mean) + fewer_seeds(method))
        figures += [mean, interval_words(d.interval), p_figure(d.p_corrected)]
    link = place.links[method.name]
    cells = [element("td", element("a", figure, href=link)) for figure in figures]
    return element("tr", element("th", _run_files(place, method), scope="row"), *cells)


def _run_files(place: Place, method: MethodResult) -> Markup:
    """The name of a method, which folds out what it is and the files behind its figures."""
    items = [element("li", *_cell_files(place, method, cell)) for cell in method.cells]
    about = element("p", method.about) if method.about else Markup()
    files = element("ul", *items, id=place.anchors[method.name])
    return element("details", element("summary", method.name), about, files)


def _cell_files(place: Place, method: MethodResult, cell: Cell) -> Iterable[Markup]:
    summary = cell.run.summary
    stage = summary.alone if method is place.table.alone else summary.student
    files = {
        "report": cell.path / "report.html",
        "summary": cell.path / "summary.json",
        "predictions": cell.path / "predictions" / f"{stage}.csv",
    }
    if place.table.own_baselines and summary.alone:
        files["of its baseline"] = cell.path / "predictions" / f"{summary.alone}.csv"
    fold = f", {cell.fold}" if cell.fold else ""
    yield join([f"seed {cell.seed}{fold}"])
    for word, path in files.items():
        if path.exists():  # the page of a run may have been deleted, its figures not
            yield join([" ", element("a", word, href=place.href(path))])


def missing(place: Place) -> Markup:
    """Every cell without a finished run, and what stopped it."""
    cells = place.table.missing_cells
    if not cells:
        return Markup()
    folds = any(cell.fold for cell in cells)
    head = ["Method", "Seed", *["Fold"] * folds, "State", "Error"]
    rows = [[c.method, str(c.seed), *[c.fold] * folds, c.state, c.error or DASH] for c in cells]
    listing = scroll(table(head, rows, class_="missing"))
    words = [f"{len(cells)} cell{'s' * (len(cells) != 1)} without a finished run"]
    states = [cell.state for cell in cells]
    words += [f", {states.count(s)} {s}" for s in ("failed", TORN) if s in states] + [". "]
    if place.table.untrained:
        names = ", ".join(place.table.untrained)
        words.append(f"Without a whole seed, so not in the table: {names}.")
    if len(cells) <= FOLDED:
        return join([lead(*words), listing])
    return join([lead(*words), element("details", element("summary", "Show them"), listing)])
