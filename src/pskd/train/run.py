"""A run: data, split, every stage of the chain, the student alone, and the run folder."""

from __future__ import annotations

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
from lightning_fabric.strategies.ddp import DDPStrategy

from pskd.errors import CheckpointError, UsageError
from pskd.evaluate.report import write_report
from pskd.models import Model
from pskd.recipe import Recipe, load_recipe
from pskd.train import outputs
from pskd.train.budget import within_budget
from pskd.train.checkpoint import write_run_file
from pskd.train.fit import Progress
from pskd.train.prepare import Prepared, Reading, prepare
from pskd.train.stages import (
    build_model,
    check_stage,
    checkpoint_path,
    identity,
    role,
    stages,
    train_stage,
)
from pskd.train.state import load_finished, load_verified

ProgressContext = Callable[[], AbstractContextManager[Callable[[Progress], None]]]


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
    data: Prepared | None = None,
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
        data: What `prepare` gives for the recipe, where that is at hand.

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
    prepared = data or prepare(recipe, data_root, cache, reading)
    recipe = within_budget(recipe, prepared.signal)
    for stage in recipe.chain:  # what cannot work is known before any training
        check_stage(recipe, stage, prepared)
    claim(recipe, out)
    for stage in stages(recipe):  # and so is a checkpoint that cannot be trusted
        if checkpoint_path(out, stage).exists():
            load_verified(checkpoint_path(out, stage), identity(recipe, prepared, stage))
    with _locked(out):
        for part in out.rglob(".*.part"):  # of a write that was killed
            part.unlink()
        for part in out.glob(".student-*"):
            shutil.rmtree(part)
        # A loss may leave what it trains aside for a step in which nobody has its teacher.
        spawn = DDPStrategy(start_method="spawn", find_unused_parameters=True)
        fabric = Fabric(
            accelerator=options.accelerator,
            devices=options.devices,
            strategy=spawn if options.devices > 1 else "auto",
            precision=options.precision,
        )
        fabric.launch(
            partial(_train_stages, recipe=recipe, prepared=prepared, out=out, progress=progress)
        )
    return out


def set_up_torch(threads: int) -> None:
    """Threads and deterministic mode, for the whole process; 0 leaves torch's choice."""
    if threads:
        torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by the next line
    torch.use_deterministic_algorithms(True)
    # Else every tensor is filled when it is made, 4 % of a step of the default student. Nothing
    # here reads one before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


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
    set_up_torch(recipe.compute.threads)
    prepared = prepare(recipe, data_root, cache)
    trained = []
    with _locked(run):
        for stage in stages(recipe):
            model, rows = load_finished(
                checkpoint_path(run, stage),
                build_model(stage, prepared.signal),
                identity(recipe, prepared, stage),
            )
            trained.append((stage, role(recipe, stage), model, rows))
        summary = outputs.write_results(recipe, prepared, trained, run)
        write_report([run], run / "report.html")
    return summary


def claim(recipe: Recipe, out: Path) -> None:
    """Make a folder this run's own, or make sure that it is.

    Raises:
        UsageError: It holds another run, or something else.
        CheckpointError: It cannot be written.
    """
    path = out / "recipe.yaml"
    if path.exists():
        if not recipe.same_as(load_recipe(path)):
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
    return re.fullmatch(r"\.recipe\.yaml\.[\w-]+\.part", name) is None


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


def _train_stages(
    fabric: Fabric,
    recipe: Recipe,
    prepared: Prepared,
    out: Path,
    progress: ProgressContext,
) -> None:
    set_up_torch(recipe.compute.threads)
    if fabric.is_global_zero:
        outputs.write_environment(recipe, prepared, fabric.device, out)
    models: dict[str, Model] = {}
    trained = []
    with (progress if fabric.is_global_zero else quiet)() as report:
        for stage in stages(recipe):
            models[stage.name], rows = train_stage(
                recipe,
                prepared,
                stage,
                {name: models[name] for name in stage.needs},
                fabric=fabric,
                checkpoint=checkpoint_path(out, stage),
                report=report,
            )
            trained.append((stage, role(recipe, stage), models[stage.name], rows))
    if fabric.is_global_zero:
        for model in models.values():
            model.cpu()
        summary = outputs.write_results(recipe, prepared, trained, out)
        outputs.write_student(recipe, prepared, models[recipe.student.name], summary, out)
        write_report([out], out / "report.html")
