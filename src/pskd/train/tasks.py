"""The tasks of a grid: a stage to train, lessons to write down, a cell to finish.

Tasks are idempotent: what is there already is taken as it is, and what another process is at work
on is waited for, so that any number of workers can share a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from lightning_fabric import Fabric

from pskd.errors import PskdError
from pskd.models import Model
from pskd.recipe import Recipe, Stage
from pskd.recipe.grid import Cell
from pskd.train.checkpoint import write_run_file
from pskd.train.lessons import Teacher, write_book
from pskd.train.plugins import load_plugins
from pskd.train.prepare import Prepared, prepare
from pskd.train.run import set_up_torch, train
from pskd.train.stages import checkpoint_path, stage_key, stages, stream_of, train_stage
from pskd.train.stream import make_stream

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
    """A stage to train, a book of lessons to write, or a cell to finish.

    Attributes:
        recipe: Of a cell that needs it.
        stage: Name of the stage; of a book, the one that learns from it; "" for a cell.
        teacher: Of a book, the stage that is asked.
        features: Whether its features are kept too.
        cell: The cell.
    """

    recipe: Recipe
    stage: str = ""
    teacher: str = ""
    features: bool = False
    cell: Cell | None = None

    def __str__(self) -> str:
        if self.cell:
            return f"cell {self.cell.path.relative_to('cells')}"
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
    data = data_of(recipe, place)
    fabric = Fabric(
        accelerator=recipe.compute.accelerator, devices=1, precision=recipe.compute.precision
    )
    by_name = {stage.name: stage for stage in stages(recipe)}
    if task.teacher:
        pupil, teacher = by_name[task.stage], by_name[task.teacher]
        model = ensure(place, recipe, data, teacher, fabric)
        stream = make_stream(
            recipe, pupil, data.train, data.signal.classes,
            name=stream_of(recipe, pupil), up=data.source.layout.up,
        )  # fmt: skip
        folder = _book_folder(place, recipe, pupil, teacher)
        write_book(folder, Teacher(model, fabric, task.features), stream, pupil.fit.epochs)
    elif task.stage:
        ensure(place, recipe, data, by_name[task.stage], fabric)
    elif task.cell:
        out = place.out / task.cell.path
        for stage in by_name.values():
            ensure(place, recipe, data, stage, fabric)
            _link(_stage_path(place, recipe, stage), checkpoint_path(out, stage))
        if not (out / "recipe.yaml").exists():
            write_run_file(out / "recipe.yaml", recipe.to_yaml().encode())
        train(recipe, data_root=_root(recipe, place), out=out, cache=place.cache, data=data)


def ensure(place: Place, recipe: Recipe, data: Prepared, stage: Stage, fabric: Fabric) -> Model:
    """The model of a stage, trained now if it is not there; other processes wait for it.

    Raises:
        PskdError: It cannot be trained, or one of its teachers cannot; or its checkpoint is torn.
    """
    path = _stage_path(place, recipe, stage)
    failed = path.with_suffix(".failed")
    by_name = {s.name: s for s in recipe.chain}
    teachers = {
        t.stage: ensure(place, recipe, data, by_name[t.stage], fabric) for t in stage.teachers
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if failed.exists() and failed.read_text().partition("\n")[0] == place.attempt:
            raise PskdError(failed.read_text().partition("\n")[2], where=f"stage {stage.name!r}")
        books = {
            name: folder
            for name in teachers
            if (folder := _book_folder(place, recipe, stage, by_name[name])).is_dir()
        }
        try:
            model, _ = train_stage(
                recipe, data, stage, teachers,
                fabric=fabric, checkpoint=path, report=lambda _: None, books=books,
            )  # fmt: skip
        except Exception as error:
            write_run_file(failed, f"{place.attempt}\n{error}".encode())
            raise
    return model


def data_of(recipe: Recipe, place: Place) -> Prepared:
    """Data of a recipe; what was opened last is kept."""
    keys = {"dataset", "protocol", "clips", "train_share", "embedding", "class_vectors", "test"}
    settings = recipe.model_dump(mode="json", include=keys)
    settings["seed"] = (
        recipe.seed if recipe.train_share < 1 or any(settings["test"].values()) else 0
    )
    settings["semantic"] = [stage.distill.model_dump(mode="json") for stage in recipe.chain]
    key = json.dumps(settings, sort_keys=True)
    if key not in _prepared:
        _prepared.clear()
        _prepared[key] = prepare(recipe, _root(recipe, place), place.cache)
    return _prepared[key]


def _root(recipe: Recipe, place: Place) -> Path | None:
    return place.data_roots.get(recipe.dataset.name, place.data_roots.get(""))


def _stage_path(place: Place, recipe: Recipe, stage: Stage) -> Path:
    return place.out / "stages" / f"{stage_key(recipe, stage)[:24]}.ckpt"


def _book_folder(place: Place, recipe: Recipe, pupil: Stage, teacher: Stage) -> Path:
    key = book_key(recipe, pupil, stage_key(recipe, teacher))
    return place.out / "lessons" / key[:24]


def _link(source: Path, target: Path) -> None:
    """Make a file appear in a second place without a second copy, where the disk can do that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
