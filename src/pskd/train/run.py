"""A run: data, split, every stage of the chain, the student alone, and the run folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric

from pskd.errors import CheckpointError, DataError, UsageError
from pskd.evaluate.report import write_report
from pskd.models import Model, Signal, build, count_macs
from pskd.recipe import DistillOptions, Recipe, Stage, load_recipe
from pskd.train import outputs
from pskd.train.checkpoint import write_run_file
from pskd.train.fit import Progress, draw_seed, fit, visible
from pskd.train.prepare import Prepared, Reading, prepare
from pskd.train.state import load_finished, load_verified

ProgressContext = Callable[[], AbstractContextManager[Callable[[Progress], None]]]


ALONE = "student_alone"
"""Name of the stage that trains the student without any teacher."""


@contextmanager
def quiet() -> Iterator[Callable[[Progress], None]]:
    """Say nothing."""
    yield lambda _: None


def train(
    recipe: Recipe,
    *,
    data_root: Path | None,
    out: Path,
    cache: Path,
    progress: ProgressContext = quiet,
    reading: Reading = nullcontext,
) -> Path:
    """Train the whole chain, or what is left of it, and write the run folder `out`.

    The same call takes up a run that was stopped and ends with the same bytes. It sets torch's
    threads and deterministic mode for the whole process.

    Args:
        recipe: What to do.
        data_root: Folder with the dataset's own files.
        out: The run folder.
        cache: Folder of parsed datasets.
        progress: Context manager that gives a function to call after every epoch. It is entered in
            the process that trains, so with several devices it has to be a function of a module.
        reading: Likewise, for the trials of a dataset that is read for the first time.

    Raises:
        UsageError: `out` holds another run, or CUDA is asked for where there is none.
        CheckpointError: A file in `out` is torn, foreign, in use, or cannot be written.
        DataError, ProtocolError: The data cannot be used as the recipe says, or leak.
    """
    options = recipe.compute
    if options.accelerator == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "compute.accelerator is cuda, but torch sees no CUDA device",
            remedy="Use compute.accelerator=auto or cpu, or install a CUDA build of torch",
        )
    _check_devices(recipe)
    prepared = prepare(recipe, data_root, cache, reading)
    for stage in recipe.chain:  # a model that cannot run is known before any training
        _check_model(stage, prepared)
    _claim(recipe, out)
    for stage in stages(recipe):  # and so is a checkpoint that cannot be trusted
        if checkpoint_path(out, stage).exists():
            load_verified(checkpoint_path(out, stage), _identity(recipe, prepared, stage))
    with _locked(out):
        for part in out.rglob(".*.part"):  # of a write that was killed
            part.unlink()
        for part in out.glob(".student-*"):
            shutil.rmtree(part)
        fabric = Fabric(
            accelerator=options.accelerator,
            devices=options.devices,
            strategy="ddp_spawn" if options.devices > 1 else "auto",
            precision=options.precision,
        )
        fabric.launch(
            partial(_train_stages, recipe=recipe, prepared=prepared, out=out, progress=progress)
        )
    return out


def evaluate(run: Path, *, data_root: Path | None, cache: Path) -> dict[str, object]:
    """Predict the test side again from the saved weights; rewrite predictions, summary, report.

    Raises:
        UsageError: There is no run.
        CheckpointError: The run is not finished, in use, or a file of it is torn or another's.
        DataError, ProtocolError: The data cannot be used as the recipe says.
    """
    if not (run / "recipe.yaml").is_file():
        raise UsageError(
            "no such run folder", where=run, remedy="Name the folder that `pskd train` wrote"
        )
    recipe = load_recipe(run / "recipe.yaml")
    prepared = prepare(recipe, data_root, cache)
    trained = []
    with _locked(run):
        for stage in stages(recipe):
            model, rows = load_finished(
                checkpoint_path(run, stage),
                build_model(stage, prepared.signal),
                _identity(recipe, prepared, stage),
            )
            trained.append((stage, role(recipe, stage), model, rows))
        summary = outputs.write_results(recipe, prepared, trained, run)
        write_report([run], run / "report.html")
    return summary


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The chain and, after it, the student alone: the same without teachers or skeletons.

    A student that nobody teaches is alone as it is.
    """
    student = recipe.student
    if not student.teachers and not student.distill.motion:
        return recipe.chain
    alone = DistillOptions(selection="label", semantic=student.distill.semantic)
    changes = {"name": ALONE, "teachers": (), "distill": alone}
    return (*recipe.chain, student.model_copy(update=changes))


def checkpoint_path(out: Path, stage: Stage) -> Path:
    """Where a stage keeps its checkpoint."""
    return out / "checkpoints" / f"{stage.name}.ckpt"


def _claim(recipe: Recipe, out: Path) -> None:
    """Make the folder this run's own, or make sure that it is."""
    path = out / "recipe.yaml"
    if path.exists():
        if load_recipe(path) != recipe:
            raise UsageError(
                "this folder holds a run of another recipe or seed",
                where=out,
                remedy="Choose another --out, or delete it",
            )
        return
    if out.exists() and (not out.is_dir() or any(_foreign(p.name) for p in out.iterdir())):
        raise UsageError(
            "exists and is no run of pskd", where=out, remedy="Choose an empty or new --out"
        )
    write_run_file(path, recipe.to_yaml().encode())


def _foreign(name: str) -> bool:
    """Whether a file is not what a first write that was killed leaves behind."""
    return re.fullmatch(r"\.recipe\.yaml\.\d+\.part", name) is None


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    try:
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout:
        raise CheckpointError(
            "another process is at work here",
            where=out,
            remedy="Wait for it, or use another --out",
        ) from None


def _check_devices(recipe: Recipe) -> None:
    options = recipe.compute
    cuda = options.accelerator != "cpu" and torch.cuda.is_available()
    most = torch.cuda.device_count() if cuda else os.cpu_count() or 1
    if options.devices > most:
        raise UsageError(
            f"compute.devices is {options.devices}, but this machine has {most}",
            remedy=f"Use at most {most}",
        )
    for stage in recipe.chain:
        if stage.fit.batch_size < 2 * options.devices:
            raise UsageError(
                f"chain.{stage.name}.fit.batch_size is {stage.fit.batch_size}: too small for "
                f"{options.devices} processes",
                remedy="Give each process at least two clips",
            )


def _check_model(stage: Stage, prepared: Prepared) -> None:
    try:
        model = build_model(stage, prepared.signal)
        count_macs(model, prepared.signal)
    except RuntimeError as error:
        raise UsageError(
            f"the model does not run: {error}",
            where=f"chain.{stage.name}.model",
            remedy="Change its options",
        ) from error
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


def _train_stages(
    fabric: Fabric,
    recipe: Recipe,
    prepared: Prepared,
    out: Path,
    progress: ProgressContext,
) -> None:
    if recipe.compute.threads:
        torch.set_num_threads(recipe.compute.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by the next line
    torch.use_deterministic_algorithms(True)
    if fabric.is_global_zero:
        outputs.write_environment(recipe, prepared, fabric.device, out)
    models: dict[str, Model] = {}
    trained = []
    with (progress if fabric.is_global_zero else quiet)() as report:
        for stage in stages(recipe):
            stream = recipe.student.name if stage.name == ALONE else stage.name
            torch.manual_seed(draw_seed(recipe.seed, stream, "init"))
            models[stage.name], rows = fit(
                stage,
                build_model(stage, prepared.signal),
                prepared.train,
                prepared.validation,
                {t.stage: models[t.stage] for t in stage.teachers},
                recipe=recipe,
                class_vectors=prepared.class_vectors,
                up=prepared.source.layout.up,
                fabric=fabric,
                checkpoint=checkpoint_path(out, stage),
                identity=_identity(recipe, prepared, stage),
                stream=stream,
                report=report,
            )
            trained.append((stage, role(recipe, stage), models[stage.name], rows))
    if fabric.is_global_zero:
        for model in models.values():
            model.cpu()
        summary = outputs.write_results(recipe, prepared, trained, out)
        outputs.write_student(recipe, prepared, models[recipe.student.name], summary, out)
        write_report([out], out / "report.html")


def build_model(stage: Stage, signal: Signal) -> Model:
    """The model of a stage, its weights drawn from torch's global generator."""
    try:
        return build(stage.model.name, signal, **stage.model.options)
    except UsageError as error:
        where = f"chain.{stage.name}.model"
        raise UsageError(error.what, where=where, remedy=error.remedy) from error


def role(recipe: Recipe, stage: Stage) -> str:
    """`teacher`, `student` or `alone`."""
    if stage.name == ALONE:
        return "alone"
    return "student" if stage.name == recipe.student.name else "teacher"


def _identity(recipe: Recipe, prepared: Prepared, stage: Stage) -> dict[str, str]:
    text = json.dumps(recipe.model_dump(mode="json"), sort_keys=True)
    return {
        "recipe": hashlib.sha256(text.encode()).hexdigest(),
        "data": prepared.store.key,
        "class vectors": hashlib.sha256(prepared.class_vectors.numpy().tobytes()).hexdigest(),
        "stage": stage.name,
    }
