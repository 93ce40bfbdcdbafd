"""Fine-tuning of the student of a finished run, so that its int8 exports lose less."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

from pskd.distill.objective import trains_beside
from pskd.errors import UsageError
from pskd.recipe import FitOptions, Recipe, Stage, load_recipe, weight_at
from pskd.recipe.parts import Part
from pskd.train.checkpoint import link
from pskd.train.prepare import Reading, prepare
from pskd.train.run import ProgressContext, claim, quiet, train
from pskd.train.stages import check_stage, checkpoint_path, stages

EPOCHS = 10
LEARNING_RATE = 1e-4

P = TypeVar("P", bound=Part)


def int8_recipe(recipe: Recipe, epochs: int = EPOCHS) -> Recipe:
    """A recipe with one more stage at its end: its student, trained on with simulated int8.

    It learns from the student's teachers, and all weights of its loss are what they were when the
    student's training ended. Losses that train something beside the student are left out, dense
    motion among them: what they trained was not kept, and new layers would first pull the features
    about.

    Raises:
        UsageError: The student is fine-tuned already, or has a loss that is unknown.
    """
    student = recipe.student
    if student.fit.quantise:
        raise UsageError(
            f"its student, {student.name!r}, is trained for int8 already",
            remedy="Name the run that it was made from, and other --epochs",
        )
    distill = _at_end(student.distill, "label", "logits", "semantic")
    pairs = zip(distill.losses, trains_beside(student), strict=True)
    losses = [_at_end(loss, "weight") for loss, beside in pairs if not beside]
    stage = Stage(
        name=f"{student.name}_int8",
        model=student.model,
        start=student.name,
        teachers=tuple(_at_end(teacher, "weight") for teacher in student.teachers),
        distill=distill.model_copy(update={"motion": 0.0, "losses": tuple(losses)}),
        fit=FitOptions(
            epochs=epochs,
            batch_size=student.fit.batch_size,
            learning_rate=LEARNING_RATE,
            weight_decay=student.fit.weight_decay,
            label_smoothing=student.fit.label_smoothing,
            quantise=True,
        ),
    )
    changes = {"name": f"{recipe.name}-int8", "chain": (*recipe.chain, stage)}
    return recipe.model_copy(update=changes)


def finetune(
    run: Path,
    *,
    data_root: Path | None,
    out: Path,
    cache: Path,
    epochs: int = EPOCHS,
    progress: ProgressContext = quiet,
    reading: Reading = nullcontext,
) -> Path:
    """Fine-tune the student of a finished run for int8, in a run folder of its own.

    What the run has trained is taken over, not trained again. The same call takes up a fine-tuning
    that was stopped.

    Args:
        run: A finished run.
        data_root: Folder with the dataset's own files.
        out: The new run folder.
        cache: Folder of parsed datasets.
        epochs: Of the fine-tuning.
        progress: See `train`.
        reading: See `train`.

    Raises:
        UsageError: There is no finished run, its student cannot be quantised or is fine-tuned
            already, or `out` holds another run.
        CheckpointError: A file of either run is torn or foreign, or cannot be written.
        DataError, ProtocolError: The data cannot be used as the recipe says, or leak.
    """
    old = _finished(run)
    recipe = int8_recipe(old, epochs)
    data = prepare(recipe, data_root, cache, reading)
    check_stage(recipe, recipe.student, data)
    claim(recipe, out)
    files = [checkpoint_path(Path(), stage) for stage in stages(old)]
    for file in (*files, Path("environment.json")):  # where and with what these were trained
        if not (out / file).exists():
            link(run / file, out / file)
    return train(recipe, data_root=data_root, out=out, cache=cache, progress=progress, data=data)


def _finished(run: Path) -> Recipe:
    if (run / "recipe.yaml").is_file():
        recipe = load_recipe(run / "recipe.yaml")
        whole = [checkpoint_path(run, stage).is_file() for stage in stages(recipe)]
        if all(whole) and (run / "report.html").is_file():  # which is written last
            return recipe
    raise UsageError(
        "no finished run here",
        where=run,
        remedy="Name the folder of a run: `pskd train` again finishes one that was stopped",
    )


def _at_end(part: P, *weights: str) -> P:
    """A part of a recipe with some weights as they are when training ends."""
    return part.model_copy(update={name: weight_at(getattr(part, name), 1.0) for name in weights})
