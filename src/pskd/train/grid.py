"""Many runs: the cells of a grid, whose stages are trained once each and shared.

A stage of a cell is known by all that its training depends on (`stage_key`), and lies in the
folder of the grid under that name: cells that need the same teacher find it there. Teachers that
several students listen to on the same views are asked once, into a book of lessons. The folder:

    grid.yaml, grid.json      what was asked for, and what there is of it
    stages/KEY.ckpt           every stage, once
    stages/stack-KEY.ckpt     several seeds of one student, while they are trained as one model
    lessons/KEY/              books of lessons; they go when all cells are finished
    cells/TABLE/METHOD/...    a run folder a cell

A cell that lost its checkpoints is finished too: results may be kept without them.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from pskd.distill.objective import wants_features
from pskd.recipe import Budget
from pskd.recipe.grid import Cell, Grid
from pskd.train.budget import within_budget
from pskd.train.checkpoint import write_run_file
from pskd.train.engines import Engine, run
from pskd.train.fit_stacked import can_stack, stack_key
from pskd.train.grid_checks import (
    ANOTHER,
    check_cells,
    is_another,
    named,
    refuse_foreign,
    refuse_others_cells,
)
from pskd.train.plugins import load_plugins
from pskd.train.stages import find_stage, stage_key, stages
from pskd.train.tasks import Place, Task, book_key, data_of, is_finished, mark_lost, work

FORMAT = 1
"""Version of the format of grid.json."""

STACK = 8
"""Most seeds that are trained as one model."""


@dataclass(frozen=True)
class Outcome:
    """What has become of a task: done, or why not."""

    task: Task
    error: str | None
    done: int
    of: int


def compare(
    grid: Grid,
    every: Sequence[Cell],
    *,
    wanted: Sequence[Cell] | None = None,
    recipes: Mapping[str, Path] | None = None,
    out: Path,
    data_roots: Mapping[str, Path],
    cache: Path,
    engine: Engine = "joblib",
    workers: int | None = None,
    address: str | None = None,
    plugins: Iterable[Path] = (),
    stack: bool = False,
    notice: Callable[[str], None] = print,
) -> Iterator[Outcome]:
    """Train the cells of a grid, or what is left of them, and tell of every task as it ends.

    Cells that are finished are skipped, and their data is not asked for (unless a budget has to be
    turned into a width); one that fails is told of and the rest go on. Several machines can work on
    one folder, if all see it, the data and the cache under the same paths.

    Args:
        grid: The grid, to be written down beside the cells.
        every: Its cells.
        wanted: Those of them to train; all, if None.
        recipes: Base recipes that lie beside the grid, by what it calls them, to be kept too.
        out: Folder of the grid.
        data_roots: Folder of each dataset's own files by its name; "" for all others.
        cache: Folder of parsed datasets.
        engine: Who runs the tasks.
        workers: Tasks at the same time.
        address: A cluster that runs already.
        plugins: Python files with methods of the user's own.
        stack: Train the seeds of a student as one model, where that can be done.
        notice: Told of lost workers.

    Raises:
        UsageError: A cell's folder holds another recipe, a table has cells of other data, or a
            method cannot work at all.
        PskdError: The folder cannot be written, or the data cannot be used as a recipe says.
    """
    place = Place(
        out=out.absolute(),
        data_roots={name: root.absolute() for name, root in data_roots.items()},
        cache=cache.absolute(),
        plugins=tuple(plugin.absolute() for plugin in plugins),
        attempt=uuid.uuid4().hex,
    )
    wanted = every if wanted is None else wanted
    load_plugins(place.plugins)
    refuse_foreign(out, grid, notice)
    wanted = [_resolved(cell, place) for cell in wanted]
    refuse_others_cells(out, wanted)
    # What lies there from another recipe must not stand in a table as if it were the grid's.
    mine = {cell.path for cell in wanted}
    known = (c for c in every if c.path not in mine and c.recipe.budget == Budget())
    strange = {cell.path for cell in known if is_another(out, cell)}
    left = [cell for cell in wanted if not is_finished(out, cell)]
    check_cells(left, every, out, place, strange)
    write_run_file(out / "grid.yaml", grid.to_yaml().encode())
    for name, path in (recipes or {}).items():
        _keep_recipe(out, name, path)
    errors: dict[Path, str] = {}

    def note() -> None:
        """Keep what other commands note of their cells."""
        with FileLock(out / "grid.lock"):
            write_grid(grid, every, out, _noted_elsewhere(out, wanted) | errors, strange)

    note()
    tasks = plan(left, stack)
    ended = run(
        engine, partial(work, place), tasks, workers=workers, address=address, notice=notice
    )
    with closing(ended):  # whatever ends this ends the workers
        for n, done in enumerate(ended, 1):
            if done.task.cell:
                if done.error:
                    errors[done.task.cell.path] = done.error
                note()
            elif done.error and done.task.stage and not done.task.teacher:
                mark_lost(place, done.task, done.error)
            yield Outcome(done.task, done.error, n, len(tasks))
    if all(is_finished(out, cell) and cell.path not in strange for cell in every):
        shutil.rmtree(out / "lessons", ignore_errors=True)
        for path in (out / "stages").glob("stack-*.ckpt"):  # of a stack that was given up
            path.unlink()


def plan(cells: Sequence[Cell], stack: bool = False) -> list[Task]:
    """What is to be done for some cells, each thing once and after all that it needs.

    Stages that teach or that several cells have are tasks of their own, as are the lessons that
    several stages listen to. What is left is trained with its cell; with `stack`, those that teach
    nobody and are alike in all but the seed are trained together before.
    """
    depth: dict[str, int] = {}
    stage_tasks: dict[str, Task] = {}
    users: Counter[str] = Counter()
    teaching: set[str] = set()
    books: dict[str, Task] = {}
    pupils: dict[str, set[str]] = {}
    for cell in cells:
        keys: dict[str, str] = {}
        for stage in stages(cell.recipe):
            key = keys[stage.name] = stage_key(cell.recipe, stage)
            before = [keys[name] for name in stage.needs]
            depth[key] = 1 + max((depth[k] for k in before), default=-1)
            stage_tasks.setdefault(key, Task(cell.recipe, stage.name))
            users[key] += 1
            teaching.update(before)
            for teacher in stage.teachers:
                book = book_key(cell.recipe, stage, keys[teacher.stage])
                pupils.setdefault(book, set()).add(key)
                features = teacher.stage in wants_features(stage)
                features |= book in books and books[book].features
                depth[book] = depth[keys[teacher.stage]]
                books[book] = Task(cell.recipe, stage.name, teacher.stage, features)
    pupil_tasks = {k: t for k, t in stage_tasks.items() if k not in teaching}
    stacks = _stacks(pupil_tasks) if stack else []
    later = {k for k in pupil_tasks if users[k] == 1}.union(*stacks)
    shared = [(2 * depth[k], t) for k, t in stage_tasks.items() if k not in later]
    shared += [(2 * depth[k] + 1, t) for k, t in books.items() if len(pupils[k]) > 1]
    ordered = [task for _, task in sorted(shared, key=lambda pair: pair[0])]
    for together in stacks:
        members = tuple(together.values())
        ordered.append(Task(members[0].recipe, stack=members))
    return ordered + [Task(cell.recipe, cell=cell) for cell in cells]


def write_grid(
    grid: Grid,
    cells: Sequence[Cell],
    out: Path,
    errors: Mapping[Path, str],
    strange: Collection[Path] = (),
) -> None:
    """grid.json: what a report of the grid is made of, beside the run folders.

    Cells in `strange` are of another recipe: they are not done, whatever their folders hold.
    """
    errors = {**errors, **dict.fromkeys(strange, f"its folder was made by {ANOTHER}")}

    def state(cell: Cell) -> dict[str, Any]:
        done = is_finished(out, cell) and cell.path not in strange
        word = "done" if done else "failed" if cell.path in errors else "missing"
        return {
            "table": cell.table,
            "method": cell.method,
            "seed": cell.seed,
            "fold": cell.fold,
            "path": cell.path.as_posix(),
            "state": word,
            "error": "" if done else errors.get(cell.path, ""),
        }

    tables = []
    for name, table in grid.tables.items():
        own = [cell for cell in cells if cell.table == name]
        if not own:
            continue
        tables.append(
            {
                "name": name,
                "about": table.about,
                "baseline": table.baseline or grid.baseline,
                "varies": list(table.varies),
                "methods": [
                    {"name": m, **grid.methods[m].model_dump(include={"about", "group"})}
                    for m in dict.fromkeys(cell.method for cell in own)
                ],
                "seeds": list(dict.fromkeys(cell.seed for cell in own)),
                "folds": list(dict.fromkeys(cell.fold for cell in own)),
            }
        )
    content = {
        "format": FORMAT,
        "name": grid.name,
        "about": grid.about,
        "tables": tables,
        "cells": [state(cell) for cell in cells],
    }
    write_run_file(out / "grid.json", (json.dumps(content, indent=1) + "\n").encode())


def _stacks(tasks: Mapping[str, Task]) -> list[dict[str, Task]]:
    """Which of these stages by key can be trained together; the sizes of a kind differ by 1."""
    kinds: dict[str, list[str]] = {}
    for key, task in tasks.items():
        stage = find_stage(task.recipe, task.stage)
        if can_stack(task.recipe, stage):
            kinds.setdefault(stack_key(task.recipe, stage), []).append(key)
    stacks = []
    for keys in kinds.values():
        parts = -(-len(keys) // STACK)
        stacks += [{key: tasks[key] for key in keys[i::parts]} for i in range(parts)]
    return [together for together in stacks if len(together) > 1]


def _resolved(cell: Cell, place: Place) -> Cell:
    """The cell with its student's width, where that is left to a budget."""
    if cell.recipe.budget == Budget():
        return cell
    with named(f"{cell.table}, {cell.method}"):
        signal = data_of(cell.recipe, place).signal
        return replace(cell, recipe=within_budget(cell.recipe, signal))


def _keep_recipe(out: Path, name: str, path: Path) -> None:
    """Keep a base recipe beside grid.yaml, where grid.yaml says that it is."""
    target = out / name
    inside = target.resolve().is_relative_to(out.resolve())
    if inside and target.name not in ("grid.yaml", "grid.json"):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_run_file(target, path.read_bytes())


def _noted_elsewhere(out: Path, wanted: Sequence[Cell]) -> dict[Path, str]:
    """What other commands noted of cells that this one leaves alone."""
    try:
        listed = json.loads((out / "grid.json").read_text())["cells"]
        errors = {Path(cell["path"]): str(cell["error"]) for cell in listed if cell["error"]}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return {path: why for path, why in errors.items() if path not in {c.path for c in wanted}}
