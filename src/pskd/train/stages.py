"""The stages of a run: what they are, what they depend on, and where they are kept."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from pskd.data.clips import VERSION as CLIPS
from pskd.distill.objective import wants_class_vectors, wants_skeletons
from pskd.errors import DataError, UsageError
from pskd.models import Model, Signal, build, count_macs
from pskd.models.adapt import batch_norms
from pskd.recipe import ALONE, DistillOptions, Recipe, Stage
from pskd.train.equalise import equalise
from pskd.train.fit import Progress, fit, make_objective, make_sources, told, visible
from pskd.train.lessons import available, signals
from pskd.train.prepare import Prepared
from pskd.train.quantised import Int8
from pskd.train.stream import View, draw_seed, read_batch

_ELSEWHERE = {"name", "about", "chain", "test", "budget"}
"""Keys of a recipe that do not change how a stage is trained, or stand in its key as the stage."""


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The chain and, after it, the student alone: the same without teachers or skeletons.

    A student that nobody teaches is alone as it is. Beside one that starts from an earlier stage,
    it is that stage's student alone.
    """
    student = first_student(recipe)
    if not student.teachers and not wants_skeletons(student):
        return recipe.chain
    alone = DistillOptions(selection="label", semantic=student.distill.semantic)
    changes = {"name": ALONE, "teachers": (), "distill": alone}
    return (*recipe.chain, student.model_copy(update=changes))


def first_student(recipe: Recipe) -> Stage:
    """The student, or the stage that it starts from, or that one, and so on: from scratch."""
    by_name = {stage.name: stage for stage in recipe.chain}
    student = recipe.student
    while student.start:
        student = by_name[student.start]
    return student


def find_stage(recipe: Recipe, name: str) -> Stage:
    """A stage by its name, the student alone among them."""
    return next(stage for stage in stages(recipe) if stage.name == name)


def stream_of(recipe: Recipe, stage: Stage) -> str:
    """Whose weights a stage starts from and whose views it sees: alone, the student's."""
    return first_student(recipe).name if stage.name == ALONE else stage.name


def stage_key(recipe: Recipe, stage: Stage) -> str:
    """A hash of all settings that the training of a stage depends on, its teachers' included.

    Stages with the same key, of whatever recipe, end with the same weights on the same data.
    """
    settings = recipe.model_dump(mode="json", exclude=_ELSEWHERE)
    own = stage.model_dump(mode="json", include={"model", "distill", "fit"})
    # Keys younger than some checkpoints change nothing where unused.
    if not recipe.labelled_subjects:
        del settings["labelled_subjects"]
    if not recipe.views.cut:
        del settings["views"]["cut"]
    if not stage.fit.quantise:
        del own["fit"]["quantise"]
    if stage.start:
        own["start"] = stage_key(recipe, find_stage(recipe, stage.start))
    teachers = [
        [teacher.model_dump(mode="json"), stage_key(recipe, find_stage(recipe, teacher.stage))]
        for teacher in stage.teachers
    ]
    content = [settings, own, teachers, stream_of(recipe, stage)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def identity(recipe: Recipe, prepared: Prepared, stage: Stage) -> dict[str, str]:
    """What a checkpoint must share with a stage to be taken up."""
    vectors = prepared.class_vectors if wants_class_vectors(stage) else torch.zeros(0)
    rounded = (vectors * 1e4).round().int()  # the last digits are the CPU's
    return {
        "settings": stage_key(recipe, stage),
        "data": prepared.store.key,
        "clips": str(CLIPS),
        "class names": hashlib.sha256(rounded.numpy().tobytes()).hexdigest(),
    }


def checkpoint_path(out: Path, stage: Stage) -> Path:
    """Where a stage keeps its checkpoint."""
    return out / "checkpoints" / f"{stage.name}.ckpt"


def role(recipe: Recipe, stage: Stage) -> str:
    """`teacher`, `student`, `alone`, or `start` of a stage that starts from it."""
    if stage.name == ALONE:
        return "alone"
    if stage.name == recipe.student.name:
        return "student"
    return "start" if stage.name in {other.start for other in recipe.chain} else "teacher"


def train_stage(
    recipe: Recipe,
    prepared: Prepared,
    stage: Stage,
    before: Mapping[str, Model],
    *,
    fabric: Fabric,
    checkpoint: Path,
    report: Callable[[Progress], None],
    books: Mapping[str, Path] | None = None,
) -> tuple[Model, list[dict[str, Any]]]:
    """Train a stage, or what is left of it, after the stages that it needs; see `fit`."""
    stream = stream_of(recipe, stage)
    torch.manual_seed(draw_seed(recipe.seed, stream, "init"))
    model = build_model(stage, prepared.signal)
    if stage.start:
        model.load_state_dict(before[stage.start].state_dict())
        if stage.fit.quantise:
            equalise(model, visible(model, prepared.train))
    return fit(
        stage,
        model,
        prepared.train,
        prepared.validation,
        {teacher.stage: before[teacher.stage] for teacher in stage.teachers},
        books=books,
        recipe=recipe,
        class_vectors=prepared.class_vectors,
        up=prepared.source.layout.up,
        fabric=fabric,
        checkpoint=checkpoint,
        identity=identity(recipe, prepared, stage),
        stream=stream,
        report=report,
    )


def build_model(stage: Stage, signal: Signal) -> Model:
    """The model of a stage, its weights drawn from torch's global generator."""
    try:
        return build(stage.model.name, signal, **stage.model.options)
    except UsageError as error:
        where = f"chain.{stage.name}.model"
        raise UsageError(error.what, where=where, remedy=error.remedy) from error


def _try_objective(
    recipe: Recipe, stage: Stage, model: Model, teachers: Mapping[str, Model], prepared: Prepared
) -> None:
    """Ask for the loss of a few clips once, of networks that know nothing yet.

    Raises:
        UsageError: It cannot be made or asked, or is no number.
    """
    clips, classes = prepared.train, prepared.signal.classes
    objective = make_objective(recipe, stage, model, teachers, clips, classes)
    some = clips.has_skeleton.int().argsort(descending=True, stable=True)[:4]
    targets = nn.functional.one_hot(clips.labels, classes).float()
    view = View(some, read_batch(clips, targets, some), (), torch.Generator())
    sources = make_sources(stage, teachers, {}, 1, Fabric(accelerator="cpu", devices=1))
    usable = available(model, view.batch)
    known = told(view, usable, sources, prepared.class_vectors, 0, 1)
    where = f"chain.{stage.name}.distill"
    try:
        terms = objective(*model.eval()(*signals(model, view.batch)), **known).terms
    except (TypeError, ValueError, RuntimeError, LookupError) as error:
        raise UsageError(
            f"the loss does not run: {error}",
            where=where,
            remedy="Mend its options, or the loss where it is your own",
        ) from error
    for name, value in terms.items():
        if not math.isfinite(value):
            what = f"the loss {name!r} is {float(value)} before any training"
            raise UsageError(what, where=where, remedy="Mend its options")


def check_stage(recipe: Recipe, stage: Stage, prepared: Prepared) -> None:
    """Build a model and its loss, and run the model once.

    Raises:
        UsageError: The options of the model or of a loss do not fit, a student sees more than the
            accelerometer, or the model cannot adapt to test subjects as `test.adapt` asks.
        DataError: A side without any clip that it can see.
    """
    try:
        model = build_model(stage, prepared.signal)
        count_macs(model, prepared.signal)
    except RuntimeError as error:
        raise UsageError(
            f"the model does not run: {error}",
            where=f"chain.{stage.name}.model",
            remedy="Change its options",
        ) from error
    worn = ("acceleration",)
    if role(recipe, stage) in ("student", "alone") and model.inputs != worn:
        raise UsageError(
            f"the student sees {' and '.join(model.inputs)}; a watch has the accelerometer alone",
            where=f"chain.{stage.name}.model",
            remedy="Take a model of the accelerometer, such as temporal_cnn",
        )
    if recipe.test.adapt and model.inputs == worn:
        try:
            batch_norms(model)
        except UsageError as error:
            where = f"test.adapt, stage {stage.name!r}"
            raise UsageError(error.what, where=where, remedy="Leave test.adapt at 0") from error
    teachers = {
        t.stage: build_model(find_stage(recipe, t.stage), prepared.signal) for t in stage.teachers
    }
    _try_objective(recipe, stage, model, teachers, prepared)
    if stage.fit.quantise:
        Int8(model)
    for side, clips in (
        ("training", prepared.train),
        ("validation", prepared.validation),
        ("test", prepared.test),
    ):
        if clips is not None and not len(visible(model, clips)):
            raise DataError(
                f"stage {stage.name!r} needs skeletons, and no {side} recording has one",
                remedy="Take the stage out of the chain, or add recordings with a skeleton",
            )
