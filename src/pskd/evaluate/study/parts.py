"""A grid of trainings as plain dataclasses: tables of methods, each against the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pskd.evaluate.run_files import DatasetFacts, ProtocolFacts, Run
from pskd.evaluate.statistics import Spread
from pskd.evaluate.study.statistics import Difference
from pskd.recipe import ALONE


@dataclass(frozen=True)
class Cell:
    """One finished cell: a method, trained with a seed, on a fold ("" where there are none)."""

    table: str
    method: str
    seed: int
    fold: str
    path: Path
    run: Run


TORN = "torn"
"""State of a cell whose run was finished and cannot be read."""


@dataclass(frozen=True)
class MissingCell:
    """A cell that has no finished run that can be read; `error` says why where it failed."""

    method: str
    seed: int
    fold: str
    state: str
    error: str = ""


@dataclass(frozen=True)
class MethodResult:
    """One row of a table. Spreads are over the seeds whose folds are all there, folds pooled.

    Attributes:
        name: As the grid calls it.
        about: One sentence.
        group: Heading that the grid puts it under.
        cells: Those behind the figures, by seed and fold.
        accuracy: Over seeds.
        macro_f1: Over seeds.
        score: The one of the two that is usual for the dataset.
        parameters: Of the student.
        macs: Of the student for one clip; None where they were not counted.
        inputs: What the student sees.
        seconds: Training of the student and of all its teachers, summed over folds.
        difference: Against the baseline; None for the baseline itself and without pairs.
        missing: Cells without a finished run.
    """

    name: str
    about: str
    group: str
    cells: tuple[Cell, ...]
    accuracy: Spread
    macro_f1: Spread
    score: Spread
    parameters: int
    macs: int | None
    inputs: tuple[str, ...]
    seconds: Spread
    difference: Difference | None
    missing: int = 0

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those behind the figures."""
        return tuple(dict.fromkeys(cell.seed for cell in self.cells))


@dataclass(frozen=True)
class StudyTable:
    """Methods that were tested on the same recordings.

    Attributes:
        name: As the grid calls it.
        about: One sentence.
        dataset: As the first cell has it.
        protocol: As the first seed of the first method has it, folds pooled.
        seeds: Those that the grid asks for.
        folds: Those that the grid asks for; ("",) where there are none.
        clips: Test recordings a seed, folds pooled.
        baseline: Name of a method, or `student_alone`.
        methods: In the order of the grid, those with at least one whole seed.
        alone: The student without teachers, where it is the baseline and all methods that have
            one have the same. Its `cells` are those it was read from; what is scored is their
            stage `run.summary.alone`.
        untrained: Methods without a whole seed.
        missing_cells: Every cell without a finished run.
        varies: Recipe keys that methods may change although they say what is compared.
    """

    name: str
    about: str
    dataset: DatasetFacts
    protocol: ProtocolFacts
    seeds: tuple[int, ...]
    folds: tuple[str, ...]
    clips: int
    baseline: str
    methods: tuple[MethodResult, ...]
    alone: MethodResult | None = None
    untrained: tuple[str, ...] = ()
    missing_cells: tuple[MissingCell, ...] = ()
    varies: tuple[str, ...] = ()

    @property
    def own_baselines(self) -> bool:
        """Whether each method has a student alone of its own, which no row of the table shows."""
        return self.baseline == ALONE and self.alone is None


@dataclass(frozen=True)
class Study:
    """A grid. `tables` holds those with at least one row, `empty` names the others.

    `torn` are cells that were finished and cannot be read, `left_out` names tables that have
    nothing to do with the method that was asked about.
    """

    name: str
    about: str
    path: Path
    tables: tuple[StudyTable, ...]
    empty: tuple[str, ...] = ()
    torn: tuple[MissingCell, ...] = ()
    left_out: tuple[str, ...] = ()
