"""The tasks of a grid: a stage or a stack to train, lessons to write down, a cell to finish.

Tasks are idempotent: what is there already is taken as it is, and what another process is at work
on is waited for, so that any number of workers can share a folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from lightning_fabric import Fabric

from pskd.data.clips import VERSION as CLIPS
from pskd.distill.objective import wants_class_vectors
from pskd.errors import PskdError
from pskd.models import Model
from pskd.recipe import Recipe, Stage
from pskd.recipe.grid import Cell
from pskd.train.checkpoint import link, write_run_file
from pskd.train.fit_stacked import Pupil, fit_stacked
from pskd.train.lessons import Teacher, write_book
from pskd.train.plugins import load_plugins
from pskd.train.prepare import Prepared, prepare
from pskd.train.run import set_up_torch, train
from pskd.train.stages import checkpoint_path, find_stage, stage_key, stages, stream_of, train_stage
from pskd.train.stream import make_stream

KEPT = ("recipe.yaml", "environment.json", "metrics.jsonl", "predictions", "summary.json")
"""What a run folder needs to stand in a table."""

_prepared: dict[str, Prepared] = {}
"""What this process has opened last: tasks of one table share their data."""


@dataclass(frozen=True)
class Place:
    """Where a grid finds and keeps things; the same for all its tasks.

    Attributes:
        out: Folder of the grid.
        data_roots: Folder of the files of each dataset by its name; "" for any other.
        cache: Folder of parsed datasets.
        plugins: Python files of the user's own methods.
        attempt: Tells this command from an earlier one: what failed then is tried again.
    """

    out: Path
    data_roots: Mapping[str, Path]
    cache: Path
    plugins: tuple[Path, ...]
    attempt: str


@dataclass(frozen=True)
class Task:
    """A stage to train, a book of lessons to write, a stack to train, or a cell to finish.

    Attributes:
        recipe: Of a cell that needs it.
        stage: Name of the stage; of a book, the one that learns from it; "" for a stack or a cell.
        teacher: Of a book, the stage that is asked.
        features: Whether its features are kept too.
        stack: Of a stack, the stages in it, alike in all but the seed.
        cell: The cell.
    """

    recipe: Recipe
    stage: str = ""
    teacher: str = ""
    features: bool = False
    stack: tuple[Task, ...] = ()
    cell: Cell | None = None

    def __str__(self) -> str:
        if self.cell:
            return f"cell {self.cell.path.relative_to('cells')}"
        if self.stack:
            seeds = ", ".join(str(task.recipe.seed) for task in self.stack)
            return f"{self.stack[0].stage}, seeds {seeds}, {self.recipe.protocol.name}"
        what = f"lessons of {self.teacher} for {self.stage}" if self.teacher else self.stage
        return f"{what}, seed {self.recipe.seed}, {self.recipe.protocol.name}"


def book_key(recipe: Recipe, pupil: Stage, teacher: str) -> str:
    """A hash of what the lessons of the teacher of that key to a stage depend on."""
    content = [teacher, stream_of(recipe, pupil), pupil.fit.batch_size, pupil.fit.epochs]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def work(place: Place, task: Task) -> None:
    """Do a task, and whatever it needs that is not there yet.

    Raises:
        PskdError: It cannot be done; why not.
    """
    load_plugins(place.plugins)
    recipe = task.recipe
    set_up_torch(recipe.compute.threads)
    fabric = Fabric(
        accelerator=recipe.compute.accelerator, devices=1, precision=recipe.compute.precision
    )
    if task.stack:
        _train_stack(place, task.stack, fabric)
        return
    data = data_of(recipe, place)
    made: dict[str, Model] = {}
    if task.teacher:
        pupil, teacher = (find_stage(recipe, name) for name in (task.stage, task.teacher))
        model = ensure(place, recipe, data, teacher, fabric, made)
        stream = make_stream(
            recipe, pupil, data.train, data.signal.classes,
            name=stream_of(recipe, pupil), up=data.source.layout.up,
        )  # fmt: skip
        folder = _book_folder(place, recipe, data, pupil, teacher)
        write_book(folder, Teacher(model, fabric, task.features), stream, pupil.fit.epochs)
    elif task.stage:
        ensure(place, recipe, data, find_stage(recipe, task.stage), fabric, made)
    elif task.cell:
        for stage in stages(recipe):
            ensure(place, recipe, data, stage, fabric, made)
        _finish(place, task.cell, data)


def is_finished(out: Path, cell: Cell) -> bool:
    """Whether a cell needs no more training: the report is what a run writes last.

    Where it is a run that was kept without weights, it may be without a report too.
    """
    folder = out / cell.path
    if (folder / "report.html").is_file():
        return True
    kept = [folder / name for name in KEPT]
    return all(path.exists() for path in kept) and not (folder / "checkpoints").exists()


def _finish(place: Place, cell: Cell, data: Prepared) -> None:
    """Make the run folder of a cell whose stages are there, unless another process just did."""
    out, recipe = place.out / cell.path, cell.recipe
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(out.with_name(f".{out.name}.lock")):
        if is_finished(place.out, cell):
            return
        for stage in stages(recipe):
            link(_stage_path(place, recipe, stage), checkpoint_path(out, stage))
        if not (out / "recipe.yaml").exists():
            write_run_file(out / "recipe.yaml", recipe.to_yaml().encode())
        train(recipe, data_root=_root(recipe, place), out=out, cache=place.cache, data=data)


def ensure(
    place: Place,
    recipe: Recipe,
    data: Prepared,
    stage: Stage,
    fabric: Fabric,
    made: dict[str, Model],
) -> Model:
    """The model of a stage, trained now if it is not there; other processes wait for it.

    `made` has those of this recipe that the task has in hand, so that each is loaded once.

    Raises:
        PskdError: It cannot be trained, or one of its teachers cannot; or its checkpoint is torn.
    """
    if stage.name in made:
        return made[stage.name]
    path = _stage_path(place, recipe, stage)
    failed = path.with_suffix(".failed")
    before = _before(place, recipe, data, stage, fabric, made)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        _refuse_again(place, stage, failed)
        books = _books(place, recipe, data, stage)
        try:
            model, _ = train_stage(
                recipe, data, stage, before,
                fabric=fabric, checkpoint=path, report=lambda _: None, books=books,
            )  # fmt: skip
        except Exception as error:
            _mark(place, failed, error)
            raise
    failed.unlink(missing_ok=True)
    made[stage.name] = model
    return model


def mark_lost(place: Place, task: Task, why: str) -> None:
    """Note that a stage cannot be trained, so that the cells that need it do not all try again."""
    failed = _stage_path(place, task.recipe, find_stage(task.recipe, task.stage))
    failed = failed.with_suffix(".failed")
    if _note(place, failed) is None:  # else the worker has told more of it
        _mark(place, failed, PskdError(why))


def _mark(place: Place, failed: Path, error: Exception) -> None:
    note = {"attempt": place.attempt, "what": str(error), "where": None, "remedy": None}
    if isinstance(error, PskdError):
        where = str(error.where) if error.where else None
        note |= {"what": error.what, "where": where, "remedy": error.remedy}
    write_run_file(failed, json.dumps(note).encode())


def _note(place: Place, failed: Path) -> dict[str, str] | None:
    """What this very command has noted of a stage that failed."""
    if not failed.exists():
        return None
    note: dict[str, str] = json.loads(failed.read_text())
    return note if note["attempt"] == place.attempt else None


def _refuse_again(place: Place, stage: Stage, failed: Path) -> None:
    if note := _note(place, failed):
        where = f"stage {stage.name!r}" + (f": {note['where']}" if note["where"] else "")
        raise PskdError(note["what"], where=where, remedy=note["remedy"])


def _train_stack(place: Place, tasks: Sequence[Task], fabric: Fabric) -> None:
    """Train those stages of a stack that nobody has begun; a single one is left to its cells."""
    stage_of = [find_stage(t.recipe, t.stage) for t in tasks]
    paths = [_stage_path(place, t.recipe, s) for t, s in zip(tasks, stage_of, strict=True)]
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        for path in sorted(paths):  # in one order, so that no two processes wait for each other
            locks.enter_context(FileLock(path.with_suffix(".lock")))
        left = [i for i, path in enumerate(paths) if not path.exists()]
        if _stack_path(paths).exists():  # killed, perhaps between the checkpoints of two stages
            left = list(range(len(paths)))
        if len(left) < 2:
            return
        pupils = []
        for i in left:
            recipe, stage = tasks[i].recipe, stage_of[i]
            data = data_of(recipe, place)
            teachers = _before(place, recipe, data, stage, fabric, {})
            books = _books(place, recipe, data, stage)
            pupils.append(Pupil(recipe, stage, data, teachers, books, paths[i]))
        checkpoint = _stack_path([paths[i] for i in left])
        fit_stacked(pupils, fabric=fabric, checkpoint=checkpoint)


def _before(
    place: Place,
    recipe: Recipe,
    data: Prepared,
    stage: Stage,
    fabric: Fabric,
    made: dict[str, Model],
) -> dict[str, Model]:
    return {
        name: ensure(place, recipe, data, find_stage(recipe, name), fabric, made)
        for name in stage.needs
    }


def _books(place: Place, recipe: Recipe, data: Prepared, stage: Stage) -> dict[str, Path]:
    """Where the lessons to a stage are, if anybody has written them down."""
    return {
        t.stage: _book_folder(place, recipe, data, stage, find_stage(recipe, t.stage))
        for t in stage.teachers
    }


def data_of(recipe: Recipe, place: Place) -> Prepared:
    """Data of a recipe; what was opened last is kept."""
    keys = {
        "dataset", "protocol", "clips", "train_share", "labelled_subjects", "embedding",
        "class_vectors", "test",
    }  # fmt: skip
    settings = recipe.model_dump(mode="json", include=keys)
    del settings["test"]["adapt"]  # of what is made of the data
    if recipe.train_share < 1 or recipe.test.disturbs:  # drawn from the seed
        settings["seed"] = recipe.seed
    settings["vectors"] = any(wants_class_vectors(stage) for stage in recipe.chain)
    # A worker of a cluster outlives a command, and the files may have changed since.
    settings["place"] = [str(_root(recipe, place)), str(place.cache), place.attempt]
    key = json.dumps(settings, sort_keys=True)
    if key not in _prepared:
        _prepared.clear()
        _prepared[key] = prepare(recipe, _root(recipe, place), place.cache)
    return _prepared[key]


def _root(recipe: Recipe, place: Place) -> Path | None:
    return place.data_roots.get(recipe.dataset.name, place.data_roots.get(""))


def _stage_path(place: Place, recipe: Recipe, stage: Stage) -> Path:
    return place.out / "stages" / f"{stage_key(recipe, stage)[:24]}.ckpt"


def _stack_path(paths: Sequence[Path]) -> Path:
    key = hashlib.sha256("".join(path.stem for path in paths).encode()).hexdigest()
    return paths[0].with_name(f"stack-{key[:24]}.ckpt")


def _book_folder(
    place: Place, recipe: Recipe, data: Prepared, pupil: Stage, teacher: Stage
) -> Path:
    key = f"{book_key(recipe, pupil, stage_key(recipe, teacher))}{data.store.key}{CLIPS}"
    return place.out / "lessons" / hashlib.sha256(key.encode()).hexdigest()[:24]
