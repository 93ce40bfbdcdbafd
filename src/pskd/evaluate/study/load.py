"""The cells of a grid as tables: methods side by side, folds pooled, each against the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

from pskd.errors import CheckpointError, UsageError
from pskd.evaluate.folds import pool, shared_note
from pskd.evaluate.run_files import Predictions, Run, StageFacts, load_run
from pskd.evaluate.statistics import spread
from pskd.evaluate.study import rules
from pskd.evaluate.study.files import (
    CELL_AGAIN,
    ListedCell,
    ListedMethod,
    ListedTable,
    read_grid,
)
from pskd.evaluate.study.parts import TORN, Cell, MethodResult, MissingCell, Study, StudyTable
from pskd.evaluate.study.statistics import Difference, holm, paired
from pskd.recipe import ALONE

__all__ = [
    "Cell",
    "Difference",
    "MethodResult",
    "MissingCell",
    "Study",
    "StudyTable",
    "load_study",
]


def load_study(out: Path, against: str | None = None) -> Study:
    """Read the folder that `pskd compare` writes.

    Args:
        out: The folder.
        against: A method, or `student_alone`, that all others are compared with, instead of the
            baseline of each table; tables without a whole seed of it are left out.

    Raises:
        UsageError: There is no such folder or method, or cells that must not share a table.
        CheckpointError: grid.json is missing, torn, or of a newer format, or names other folders.
            A cell that cannot be read is among the missing ones of its table.
    """
    if not out.is_dir():
        raise UsageError(
            "no such folder", where=out, remedy="Name the folder that `pskd compare` wrote"
        )
    grid = read_grid(out / "grid.json")
    for cell in grid.cells:
        if not (out / cell.path).resolve().is_relative_to(out.resolve()):
            raise CheckpointError(
                "lies outside the folder of the grid",
                where=out / cell.path,
                remedy="grid.json or the folder was altered: run its `pskd compare` command again",
            )
    listed = {(c.table, c.method, c.seed, c.fold): c for c in grid.cells}
    asked = grid.tables if against is None else _against(out, grid.tables, against)
    read = {table: _cells(out, table, listed) for table in asked}
    tables = {table.name: _table(table, *cells) for table, cells in read.items()}
    if against is not None:
        tables = {name: t for name, t in tables.items() if t and _has_differences(t)}
        if not tables:
            raise UsageError(
                f"no method has a seed in common with {against!r}",
                where=out,
                remedy="Finish its cells with `pskd compare`",
            )
    return Study(
        name=grid.name,
        about=grid.about,
        path=out,
        tables=tuple(table for table in tables.values() if table),
        empty=tuple(name for name, table in tables.items() if not table),
        torn=tuple(c for _, missing in read.values() for c in missing if c.state == TORN),
        left_out=tuple(t.name for t in grid.tables if against and not tables.get(t.name)),
    )


def _against(out: Path, tables: Sequence[ListedTable], baseline: str) -> tuple[ListedTable, ...]:
    found = tuple(replace(t, baseline=baseline) for t in tables if baseline in t.baselines)
    if not found:
        methods = ", ".join(dict.fromkeys(name for table in tables for name in table.baselines))
        raise UsageError(f"no method {baseline!r}", where=out, remedy=f"There are: {methods}")
    return found


def _has_differences(table: StudyTable) -> bool:
    return any(method.difference for method in table.methods)


def _cells(
    out: Path, table: ListedTable, listed: Mapping[tuple[str, str, int, str], ListedCell]
) -> tuple[list[Cell], list[MissingCell]]:
    """The finished cells of a table, and those that are not or cannot be read."""
    finished: list[Cell] = []
    missing: list[MissingCell] = []
    for method in table.methods:
        for seed, fold in product(table.seeds, table.folds):
            found = listed.get((table.name, method.name, seed, fold))
            if found is None or found.state != "done":
                state, error = (found.state, found.error) if found else ("missing", "")
                missing.append(MissingCell(method.name, seed, fold, state, error))
                continue
            try:
                finished.append(_cell(out, found))
            except CheckpointError as error:
                missing.append(MissingCell(method.name, seed, fold, TORN, str(error)))
    return finished, missing


def _table(
    table: ListedTable, finished: Sequence[Cell], missing: Sequence[MissingCell]
) -> StudyTable | None:
    _check(table, finished)
    cells = {
        method.name: [cell for cell in finished if cell.method == method.name]
        for method in table.methods
    }
    rows = {
        name: _Row.of(members, table)
        for name, members in cells.items()
        if any(len(_seed(members, seed)) == len(table.folds) for seed in table.seeds)
    }
    if not rows:
        return None
    rules.same_test_side(
        table.name,
        [(f"{n}, seed {s}", run) for n, row in rows.items() for s, run in row.runs.items()],
        table.varies,
    )
    runs = [run for row in rows.values() for run in row.runs.values()]
    lead = runs[0]
    alone = _shared_alone(rows) if table.baseline == ALONE else None
    results = []
    for method in table.methods:
        if row := rows.get(method.name):
            lost = sum(cell.method == method.name for cell in missing)
            against = {} if method.name == table.baseline else _baseline(table, rows, row, alone)
            said = {seed: row.said(seed) for seed in row.runs}
            change = paired(said, against, lead.summary.dataset)
            results.append(row.result(method, lost, change))
    return StudyTable(
        name=table.name,
        about=table.about,
        dataset=lead.summary.dataset,
        protocol=replace(lead.summary.protocol, note=shared_note(runs)),
        seeds=table.seeds,
        folds=table.folds,
        clips=lead.summary.stages[lead.summary.student].test.n,
        baseline=table.baseline,
        methods=tuple(_corrected(results)),
        alone=alone.result(ListedMethod(ALONE, "the same student without teachers"))
        if alone
        else None,
        untrained=tuple(method.name for method in table.methods if method.name not in rows),
        missing_cells=tuple(missing),
        varies=table.varies,
    )


def _cell(out: Path, listed: ListedCell) -> Cell:
    """Read a finished cell.

    Raises:
        CheckpointError: It is not there, torn, or of another seed.
    """
    folder = out / listed.path
    try:
        run = load_run(folder)
    except (CheckpointError, UsageError) as error:
        raise CheckpointError(error.what, where=error.where, remedy=CELL_AGAIN) from error
    if run.summary.seed != listed.seed:
        raise CheckpointError(
            f"this run is of seed {run.summary.seed}, grid.json says {listed.seed}",
            where=run.path,
            remedy=CELL_AGAIN,
        )
    return Cell(listed.table, listed.method, listed.seed, listed.fold, run.path, run)


def _check(table: ListedTable, cells: Sequence[Cell]) -> None:
    if cells:
        rules.same_data(
            table.name,
            [(_words(cell), cell.fold, cell.run) for cell in cells],
            table.varies,
            folds=len(table.folds) > 1,
        )


def _words(cell: Cell) -> str:
    return f"{cell.method}, {cell.fold + ', ' if cell.fold else ''}seed {cell.seed}"


def _seed(cells: Sequence[Cell], seed: int) -> list[Cell]:
    return [cell for cell in cells if cell.seed == seed]


@dataclass(frozen=True)
class _Row:
    """What a row is made of: whole seeds, folds pooled, and the stage of theirs that counts."""

    cells: tuple[Cell, ...]
    runs: dict[int, Run]
    stage: Literal["student", "alone"] = "student"

    @staticmethod
    def of(cells: Sequence[Cell], table: ListedTable) -> _Row:
        whole = {
            seed: members
            for seed in table.seeds
            if len(members := _seed(cells, seed)) == len(table.folds)
        }
        runs = {seed: pool([cell.run for cell in members]) for seed, members in whole.items()}
        return _Row(tuple(cell for members in whole.values() for cell in members), runs)

    def name(self, run: Run) -> str:
        return run.summary.student if self.stage == "student" else str(run.summary.alone)

    def facts(self) -> list[StageFacts]:
        return [run.summary.stages[self.name(run)] for run in self.runs.values()]

    def said(self, seed: int) -> Predictions:
        run = self.runs[seed]
        return run.predictions[self.name(run)]

    def result(
        self, method: ListedMethod, missing: int = 0, change: Difference | None = None
    ) -> MethodResult:
        facts, runs = self.facts(), list(self.runs.values())
        headline = runs[0].summary.dataset.headline
        return MethodResult(
            name=method.name,
            about=method.about,
            group=method.group,
            cells=self.cells,
            accuracy=spread([f.test.accuracy for f in facts]),
            macro_f1=spread([f.test.macro_f1 for f in facts]),
            score=spread([getattr(f.test, headline) for f in facts]),
            parameters=facts[0].parameters,
            macs=facts[0].macs,
            inputs=facts[0].inputs,
            seconds=spread([self._seconds(run) for run in runs]),
            difference=change,
            missing=missing,
        )

    def _seconds(self, run: Run) -> float:
        stages = run.summary.stages.values()
        return sum(f.seconds for f in stages if (f.role == "alone") == (self.stage == "alone"))


def _shared_alone(rows: Mapping[str, _Row]) -> _Row | None:
    """The student alone as a row, unless two methods have different ones for a seed."""
    cells: dict[int, tuple[Cell, ...]] = {}
    runs: dict[int, Run] = {}
    for row in rows.values():
        for seed, run in row.runs.items():
            if run.summary.alone is None:
                continue
            known = runs.setdefault(seed, run)
            cells.setdefault(seed, tuple(_seed(row.cells, seed)))
            if _alone_says(known) != _alone_says(run):
                return None
    order = sorted(runs)
    members = tuple(cell for seed in order for cell in cells[seed])
    return _Row(members, {seed: runs[seed] for seed in order}, "alone") if runs else None


def _alone_says(run: Run) -> tuple[int, dict[str, int]]:
    said = run.predictions[str(run.summary.alone)]
    parameters = run.summary.stages[str(run.summary.alone)].parameters
    return parameters, dict(zip(said.recordings, said.predicted.tolist(), strict=True))


def _baseline(
    table: ListedTable, rows: Mapping[str, _Row], row: _Row, alone: _Row | None
) -> dict[int, Predictions]:
    """By seed, what a method is measured against: its own student alone, or everybody's."""
    other = alone
    if table.baseline != ALONE:
        other = rows.get(table.baseline)
    elif any(run.summary.alone is not None for run in row.runs.values()):
        other = _Row(row.cells, {s: r for s, r in row.runs.items() if r.summary.alone}, "alone")
    return {seed: other.said(seed) for seed in other.runs} if other else {}


def _corrected(results: Sequence[MethodResult]) -> list[MethodResult]:
    """The rows with Holm's correction over those that have a difference."""
    corrected = iter(holm([r.difference.p for r in results if r.difference]))
    return [
        replace(r, difference=replace(r.difference, p_corrected=next(corrected)))
        if r.difference
        else r
        for r in results
    ]
