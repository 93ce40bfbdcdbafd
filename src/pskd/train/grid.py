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
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from pskd.data.clips import VERSION as CLIPS
from pskd.distill.objective import wants_features
from pskd.errors import PskdError, UsageError
from pskd.evaluate.run_files import data_made, load_environment
from pskd.recipe import Budget, Recipe, load_recipe
from pskd.recipe.grid import Cell, Grid
from pskd.train.budget import within_budget
from pskd.train.checkpoint import write_run_file
from pskd.train.engines import Engine, run
from pskd.train.fit_stacked import can_stack, stack_key
from pskd.train.plugins import load_plugins
from pskd.train.stages import check_stage, find_stage, stage_key, stages
from pskd.train.tasks import Place, Task, book_key, data_of, is_finished, mark_lost, work

FORMAT = 1
"""Version of the format of grid.json."""

STACK = 8
"""Most seeds that are trained as one model."""


_ANOTHER = "another recipe"


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
    overrides: Sequence[str] = (),
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
        overrides: What `every` was made with beyond the grid, to be written down too.
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
    if not wanted:
        raise UsageError("no cell is left to train", remedy="Mend --methods, --tables or --seeds")
    load_plugins(place.plugins)
    _refuse_foreign(out)
    wanted = [_resolved(cell, place) for cell in wanted]
    for cell in wanted:
        if _is_another(out, cell):
            raise UsageError(
                f"this cell's folder was made by {_ANOTHER}",
                where=out / cell.path,
                remedy="Choose another --out, or delete the cell's folder",
            )
    # What lies there from another recipe must not stand in a table as if it were the grid's.
    mine = {cell.path for cell in wanted}
    known = (c for c in every if c.path not in mine and c.recipe.budget == Budget())
    strange = {cell.path for cell in known if _is_another(out, cell)}
    left = [cell for cell in wanted if not is_finished(out, cell)]
    firsts = {(cell.table, cell.method): cell.recipe for cell in reversed(left)}
    compared: set[tuple[str, str]] = set()
    for (table, method), recipe in firsts.items():
        _check(recipe, place, f"{table}, {method}")
        if (which := (table, recipe.dataset.model_dump_json())) not in compared:
            compared.add(which)
            theirs = (c for c in every if c.table == table and c.path not in strange)
            finished = [cell for cell in theirs if is_finished(out, cell)]
            _refuse_other_data(out, finished, recipe, place)
    head = f"# with {' '.join(overrides)}\n" if overrides else ""
    write_run_file(out / "grid.yaml", (head + grid.to_yaml()).encode())
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
    errors = {**errors, **dict.fromkeys(strange, f"its folder was made by {_ANOTHER}")}

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


def _check(recipe: Recipe, place: Place, where: str) -> None:
    """Find out before any training what cannot work, and say in whose cells."""
    with _named(where):
        data = data_of(recipe, place)
        for stage in recipe.chain:
            check_stage(recipe, stage, data)
        if recipe.compute.devices > 1:
            raise UsageError(
                f"compute.devices is {recipe.compute.devices}: a cell trains on one",
                remedy="Leave it out, and train several cells at a time",
            )


def _resolved(cell: Cell, place: Place) -> Cell:
    """The cell with its student's width, where that is left to a budget."""
    if cell.recipe.budget == Budget():
        return cell
    with _named(f"{cell.table}, {cell.method}"):
        signal = data_of(cell.recipe, place).signal
        return replace(cell, recipe=within_budget(cell.recipe, signal))


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Say in whose cells it is that something cannot work."""
    try:
        yield
    except PskdError as error:
        inside = f"{where}: {error.where}" if error.where is not None else where
        raise type(error)(error.what, where=inside, remedy=error.remedy) from error


def _refuse_foreign(out: Path) -> None:
    """Leave a folder alone that holds something else; a first write may have been killed."""
    if not out.exists() or (out / "grid.yaml").is_file():
        return
    if not out.is_dir() or any(not p.name.startswith(".grid.yaml.") for p in out.iterdir()):
        raise UsageError("exists and is no grid of pskd", where=out, remedy="Choose another --out")


def _refuse_other_data(out: Path, finished: Iterable[Cell], recipe: Recipe, place: Place) -> None:
    """Leave a table alone whose finished cells were trained on other files or clips."""
    mine = data_made({"data": {"store": data_of(recipe, place).store.key, "clips": CLIPS}})
    for cell in finished:
        if cell.recipe.dataset != recipe.dataset:
            continue
        theirs = data_made(load_environment(out / cell.path))
        for kind, value in mine.items():
            if theirs[kind] != value:
                raise UsageError(
                    f"this finished cell was trained on another {kind} ({theirs[kind]}) than what "
                    f"is missing of its table would be ({value})",
                    where=out / cell.path,
                    remedy="Choose another --out, or report what there is: pskd report GRID_FOLDER",
                )


def _noted_elsewhere(out: Path, wanted: Sequence[Cell]) -> dict[Path, str]:
    """What other commands noted of cells that this one leaves alone."""
    try:
        listed = json.loads((out / "grid.json").read_text())["cells"]
        errors = {Path(cell["path"]): str(cell["error"]) for cell in listed if cell["error"]}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return {path: why for path, why in errors.items() if path not in {c.path for c in wanted}}


def _is_another(out: Path, cell: Cell) -> bool:
    """Whether another recipe made a cell's folder."""
    path = out / cell.path / "recipe.yaml"
    return path.exists() and not cell.recipe.same_as(load_recipe(path))
