"""The result table as Markdown, as JSON and for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from pskd.evaluate.compare import Comparison, Group, StageResult, compare
from pskd.evaluate.run_files import load_run
from pskd.evaluate.words import (
    ROLES,
    SCORES,
    count,
    duration,
    gain_words,
    scores_in_order,
    spread_words,
    title,
)

WORDS = ("Stage", "Role", "Inputs")


def load_comparison(runs: Iterable[Path]) -> Comparison:
    """Read run folders and group them by recipe."""
    return compare([load_run(path) for path in runs])


def markdown_table(runs: Sequence[Path]) -> str:
    """Return the result table of one run, or of the means over several, as Markdown."""
    comparison = load_comparison(runs)
    words, figures, rows = _rows(comparison)
    lines = [f"**{clean(title(comparison))}**", ""]
    lines += [_row([*words, *figures]), _row(["---"] * len(words) + ["---:"] * len(figures))]
    lines += [_row(row) for row in rows]
    for sentence in _gains(comparison):
        lines += ["", f"{clean(sentence)}."]
    return "\n".join(lines) + "\n"


def terminal_table(runs: Sequence[Path]) -> Table:
    """Return the same table for a terminal."""
    comparison = load_comparison(runs)
    words, figures, rows = _rows(comparison)
    table = Table(
        title=Text(title(comparison)),
        caption=Text("\n".join(_gains(comparison))),
        title_justify="left",
        caption_justify="left",
    )
    for name in words:
        table.add_column(name, overflow="fold")
    for name in figures:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def as_json(runs: Sequence[Path]) -> dict[str, Any]:
    """Return what the table holds, and more, as plain values; accuracies are fractions."""
    comparison = load_comparison(runs)
    dataset = comparison.dataset
    return {
        "dataset": {
            "name": dataset.name,
            "title": dataset.title,
            "classes": list(dataset.classes),
            "headline": dataset.headline,
        },
        "protocol": asdict(comparison.protocol),
        "recipes": [_group_json(group) for group in comparison.groups],
    }


def _group_json(group: Group) -> dict[str, Any]:
    return {
        "recipe": group.label,
        "runs": [str(run.path) for run in group.runs],
        "seeds": [run.summary.seed for run in group.runs],
        "student": group.student.name,
        "alone": group.alone.name if group.alone else None,
        "gain": asdict(group.gain) if group.gain else None,
        "stages": {
            stage.name: {
                "role": stage.facts.role,
                "model": stage.facts.model,
                "inputs": list(stage.facts.inputs),
                "teachers": list(stage.facts.teachers),
                "parameters": stage.facts.parameters,
                "macs": stage.facts.macs,
                "n": stage.facts.test.n,
                "accuracy": asdict(stage.accuracy),
                "macro_f1": asdict(stage.macro_f1),
                "seconds": asdict(stage.seconds),
                "per_class_f1": stage.per_class,
                "per_subject": stage.per_subject,
            }
            for stage in group.stages
        },
    }


def _rows(comparison: Comparison) -> tuple[list[str], list[str], list[list[str]]]:
    """Names of the columns that hold words, of those that hold figures, and all rows."""
    scores = scores_in_order(comparison.dataset)
    figures = ["Parameters", "MACs", *(f"{SCORES[name]} %" for name in scores), "Time"]
    several = len(comparison.groups) > 1
    words = ["Recipe"] * several + list(WORDS)
    return (
        words,
        figures,
        [
            [group.label] * several + _cells(stage, scores)
            for group in comparison.groups
            for stage in group.stages
        ],
    )


def _cells(stage: StageResult, scores: Iterable[str]) -> list[str]:
    facts = stage.facts
    return [
        stage.name,
        ROLES[facts.role],
        " + ".join(facts.inputs),
        f"{facts.parameters:,}",
        count(facts.macs),
        *(spread_words(getattr(stage, name)) for name in scores),
        duration(stage.seconds.mean),
    ]


def _gains(comparison: Comparison) -> Iterable[str]:
    for group in comparison.groups:
        if group.gain and group.alone:
            name = f"{group.label}: " if len(comparison.groups) > 1 else ""
            yield f"{name}{group.student.name} against {group.alone.name}: {gain_words(group.gain)}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(clean(cell) for cell in cells)} |"


def clean(cell: str) -> str:
    """A cell of Markdown: words from files neither break out of it nor become a tag."""
    return re.sub(r"<(?=[\w/!?])", "&lt;", " ".join(cell.split()).replace("|", "\\|"))
