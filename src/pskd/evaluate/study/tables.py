"""A table of a study as Markdown, LaTeX, JSON and for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from pskd.evaluate.statistics import CONFIDENCE
from pskd.evaluate.study.parts import MethodResult, Study, StudyTable
from pskd.evaluate.study.words import (
    DASH,
    can_be_told,
    compared,
    fewer_seeds,
    interval_meaning,
    interval_method,
    interval_words,
    p_figure,
    seeds_of,
)
from pskd.evaluate.tables import clean
from pskd.evaluate.words import (
    SCORES,
    clips,
    count,
    protocol,
    scores_in_order,
    signed,
    spread_words,
)

_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "\N{MINUS SIGN}": "$-$", "\N{PLUS-MINUS SIGN}": r"$\pm$", "\N{EN DASH}": "--",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip
"""What LaTeX would read as more than the sign."""


@dataclass(frozen=True)
class _Row:
    """Cells of a row as words; `bold` says whether the difference may be printed bold."""

    group: str
    name: str
    figures: tuple[str, ...]
    bold: bool


DIFFERENCE = -2
"""Place of the difference among the figures of a row."""


def study_markdown(table: StudyTable) -> str:
    """Return a table as GitHub's Markdown."""
    head = _head(table)
    lines = [f"**{clean(_title(table))}**", "", _line([clean(name) for name in head])]
    lines.append(_line(["---"] + ["---:"] * (len(head) - 1)))
    for heading, rows in _grouped(_rows(table)):
        if heading:
            lines.append(_line([f"*{clean(heading)}*"] + [""] * (len(head) - 1)))
        for row in rows:
            figures = [clean(figure) for figure in row.figures]
            if row.bold:
                figures[DIFFERENCE] = f"**{figures[DIFFERENCE]}**"
            lines.append(_line([clean(row.name), *figures]))
    return "\n".join([*lines, "", clean(caption(table))]) + "\n"


def study_latex(table: StudyTable) -> str:
    r"""Return a table as LaTeX that needs `\usepackage{booktabs}` and nothing else."""
    head = _head(table)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(_title(table) + '. ' + caption(table))}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', table.name)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        rf"{' & '.join(_latex(name) for name in head)} \\",
        r"\midrule",
    ]
    for heading, rows in _grouped(_rows(table)):
        if heading:
            lines.append(rf"\multicolumn{{{len(head)}}}{{l}}{{\emph{{{_latex(heading)}}}}} \\")
        for row in rows:
            figures = [_latex(figure) for figure in row.figures]
            if row.bold:
                figures[DIFFERENCE] = rf"\textbf{{{figures[DIFFERENCE]}}}"
            lines.append(rf"{' & '.join([_latex(row.name), *figures])} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def study_terminal(table: StudyTable) -> Table:
    """Return a table for a terminal."""
    shown = Table(
        title=Text(_title(table)),
        caption=Text(caption(table)),
        title_justify="left",
        caption_justify="left",
    )
    name, *figures = _head(table)
    shown.add_column(name, overflow="fold")
    for figure in figures:
        shown.add_column(figure, justify="right")
    for heading, rows in _grouped(_rows(table)):
        if heading:
            shown.add_row(Text(heading, style="italic"))
        for row in rows:
            cells = [Text(cell) for cell in row.figures]
            cells[DIFFERENCE].stylize("bold" if row.bold else "")
            shown.add_row(Text(row.name), *cells)
    return shown


def study_json(study: Study) -> dict[str, Any]:
    """Return what all tables hold as plain values; scores are fractions, paths relative."""
    return {
        "name": study.name,
        "about": study.about,
        "tables": [_table_json(study, table) for table in study.tables],
        "empty": list(study.empty),
    }


def caption(table: StudyTable) -> str:
    """Say what the figures of a table are: clips, seeds, protocol, baseline, intervals, p."""
    facts, several = table.protocol, len(table.seeds) > 1
    people = len(facts.subjects.get("test", ()))
    sentences = [
        f"{table.about[:1].upper()}{table.about[1:]}." if table.about else "",
        f"{clips(table.clips)}{f' of {people} people' if people > 1 else ''}, {seeds_of(table)}"
        f"{'; mean ± standard deviation over seeds' * several}.",
        f"{facts.note[:1].upper()}{facts.note[1:]}." if facts.note else "",
        f"Methods differ in {', '.join(table.varies)} too." if table.varies else "",
    ]
    found = compared(table)
    if found:
        score = SCORES[table.dataset.headline]
        sentences += [
            f"Difference: {score[0].lower()}{score[1:]} minus that of {table.baseline}, in points, "
            f"{interval_meaning(found, known=not facts.subject_independent)}.",
            interval_method(found),
            "p: exact McNemar test of the predictions of each seed, clips taken as independent, "
            "joined over seeds by the rule of the median, Holm's correction over "
            f"{len(found)} comparison{'s' * (len(found) != 1)}.",
            f"Bold: the interval leaves out 0 and p is below {1 - CONFIDENCE:.2f}, both in one "
            "direction.",
        ]
    return " ".join(filter(None, sentences))


def _title(table: StudyTable) -> str:
    return f"{table.name}: {table.dataset.title}, {protocol(table.protocol)}"


def _head(table: StudyTable) -> list[str]:
    scores = (f"{SCORES[name]} %" for name in scores_in_order(table.dataset))
    own = ["Baseline %"] * table.own_baselines
    return ["Method", "Parameters", "MACs", "Seeds", *scores, *own, "Difference", "p"]


def _rows(table: StudyTable) -> list[_Row]:
    rows = [_row(table, table.alone)] if table.alone else []
    rows += [_row(table, method) for method in table.methods]
    empty = [DASH] * (len(_head(table)) - 1)
    empty[2] = _seeds(table, ())
    rows += [_Row("Without a whole seed", name, tuple(empty), False) for name in table.untrained]
    return rows


def _row(table: StudyTable, method: MethodResult) -> _Row:
    change = method.difference
    figures = [f"{method.parameters:,}", count(method.macs), _seeds(table, method.seeds)]
    figures += [spread_words(getattr(method, name)) for name in scores_in_order(table.dataset)]
    if table.own_baselines:
        figures.append(spread_words(change.baseline) if change else DASH)
    if change is None:
        figures += ["baseline" if method.name == table.baseline else DASH, DASH]
    else:
        interval = f" [{interval_words(change.interval)}]" if change.interval else ""
        difference = f"{signed(change.mean)}{interval}{fewer_seeds(method)}"
        figures += [difference, p_figure(change.p_corrected)]
    return _Row(method.group, method.name, tuple(figures), can_be_told(change))


def _seeds(table: StudyTable, seeds: Sequence[int]) -> str:
    asked = len(table.seeds)
    return str(asked) if len(seeds) == asked else f"{len(seeds)} of {asked}"


def _grouped(rows: Iterable[_Row]) -> list[tuple[str, list[_Row]]]:
    """Rows under the heading of their group; rows without one come first."""
    groups: dict[str, list[_Row]] = {"": []}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return list(groups.items())


def _table_json(study: Study, table: StudyTable) -> dict[str, Any]:
    rows = [table.alone] if table.alone else []
    return {
        "name": table.name,
        "about": table.about,
        "caption": caption(table),
        "dataset": {
            "name": table.dataset.name,
            "title": table.dataset.title,
            "headline": table.dataset.headline,
        },
        "protocol": asdict(table.protocol),
        "seeds": list(table.seeds),
        "folds": list(table.folds),
        "clips": table.clips,
        "baseline": table.baseline,
        "varies": list(table.varies),
        "methods": [_method_json(study, method) for method in (*rows, *table.methods)],
        "untrained": list(table.untrained),
        "missing_cells": [asdict(cell) for cell in table.missing_cells],
    }


def _method_json(study: Study, method: MethodResult) -> dict[str, Any]:
    return {
        "name": method.name,
        "about": method.about,
        "group": method.group,
        "runs": [cell.path.relative_to(study.path).as_posix() for cell in method.cells],
        "seeds": list(method.seeds),
        "accuracy": asdict(method.accuracy),
        "macro_f1": asdict(method.macro_f1),
        "parameters": method.parameters,
        "macs": method.macs,
        "inputs": list(method.inputs),
        "seconds": asdict(method.seconds),
        "difference": asdict(method.difference) if method.difference else None,
        "missing": method.missing,
    }


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _latex(words: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(words.split()))
