"""Accuracy against size: the methods of a table as students of several widths, each twice.

Every cell of `pskd compare` holds the student that its teachers taught and the same student alone,
so that one grid draws both curves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pskd.errors import CheckpointError, UsageError
from pskd.evaluate.certificate.facts import Latency
from pskd.evaluate.folds import pool
from pskd.evaluate.run_files import Headline, Run
from pskd.evaluate.statistics import Spread, spread
from pskd.evaluate.study.parts import MethodResult, Study, StudyTable
from pskd.evaluate.study.statistics import Difference, paired

REFERENCE = 50_000
"""Smaller students are measured against the largest one alone of up to so many parameters."""

NEAR = 0.01
"""A smaller student is as good if its score is at most so much lower."""


@dataclass(frozen=True)
class Cost:
    """What a student of a table needs beyond what its run tells; `latency` by target."""

    table: str
    method: str
    int8_kb: float
    latency: Mapping[str, Latency]


@dataclass(frozen=True)
class Costs:
    """`costs.json`, as `pskd frontier` measures it."""

    machine: str
    calls: int
    costs: tuple[Cost, ...]
    format: int = 1


@dataclass(frozen=True)
class Point:
    """A student of one width.

    Attributes:
        method: Its row in the table.
        taught: Score over seeds, with teachers.
        alone: Score over seeds, without.
        gain: `taught` against `alone`, seed by seed.
        against: `taught` against the reference alone.
        cost: As measured, if it was.
    """

    method: MethodResult
    taught: Spread
    alone: Spread
    gain: Difference | None
    against: Difference | None
    cost: Cost | None = None


@dataclass(frozen=True)
class Frontier:
    """The points of a table, smallest first, and the one whose student alone is the reference."""

    table: StudyTable
    points: tuple[Point, ...]
    reference: Point
    costs: Costs | None

    @property
    def nearest(self) -> Point | None:
        """The smallest student that, taught, is about as good as the reference alone."""
        return next((p for p in self.points if p.against and p.against.mean >= -NEAR), None)


def read_costs(path: Path) -> Costs | None:
    """Read `costs.json`; None where nothing was measured.

    Raises:
        CheckpointError: It is torn or foreign.
    """
    try:
        return TypeAdapter(Costs).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            where=path,
            remedy="Delete it: `pskd frontier` measures again",
        ) from None


def frontiers(study: Study, costs: Costs | None) -> list[Frontier]:
    """The frontier of every table that compares students of several sizes.

    Raises:
        UsageError: There is none.
    """
    found = [_frontier(table, costs) for table in study.tables]
    there = [frontier for frontier in found if frontier]
    if not there:
        raise UsageError(
            "no table with students of several sizes, each also trained alone",
            where=study.path,
            remedy="Name the folder of the grid `frontier`, or of one like it",
        )
    return there


def _frontier(table: StudyTable, costs: Costs | None) -> Frontier | None:
    rows = [_Row(method) for method in sorted(table.methods, key=lambda m: m.parameters)]
    rows = [row for row in rows if row.alone]
    if len({row.method.parameters for row in rows}) < 2:
        return None
    reference = [row for row in rows if row.method.parameters <= REFERENCE][-1:] or rows[:1]
    measured = {(c.table, c.method): c for c in costs.costs} if costs else {}
    headline = table.dataset.headline
    points = {
        row.method.name: Point(
            row.method,
            row.score(headline),
            row.score(headline, alone=True),
            paired(row.taught, row.alone, table.dataset),
            paired(row.taught, reference[0].alone, table.dataset),
            measured.get((table.name, row.method.name)),
        )
        for row in rows
    }
    name = reference[0].method.name
    return Frontier(table, tuple(points.values()), points[name], costs)


class _Row:
    """What a method predicts by seed, taught and alone, folds pooled."""

    def __init__(self, method: MethodResult) -> None:
        self.method = method
        runs = {s: pool([c.run for c in method.cells if c.seed == s]) for s in method.seeds}
        self.runs: dict[int, Run] = {s: run for s, run in runs.items() if run.summary.alone}
        self.taught = {s: r.predictions[r.summary.student] for s, r in self.runs.items()}
        self.alone = {s: r.predictions[str(r.summary.alone)] for s, r in self.runs.items()}

    def score(self, headline: Headline, *, alone: bool = False) -> Spread:
        facts = [run.summary for run in self.runs.values()]
        stages = [f.stages[str(f.alone if alone else f.student)] for f in facts]
        return spread([getattr(stage.test, headline) for stage in stages])
