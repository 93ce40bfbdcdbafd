"""The training loop of one stage.

All randomness comes from (seed, stage, epoch, step), and a checkpoint holds everything else, so a
stage that was killed and started again ends with the same bytes as one that was left alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pskd.data.clips import Clips
from pskd.distill.chain import StageLoss
from pskd.distill.objective import Objective, Sizes, wants_features, wants_skeletons
from pskd.errors import PskdError
from pskd.models import Model, Output
from pskd.recipe import FitOptions, Recipe, Stage
from pskd.train.lessons import Source, Teacher, available, find_book, signals
from pskd.train.quantised import Int8
from pskd.train.state import Learner, State
from pskd.train.stream import Stream, View, make_stream, seed_dropout

CHECKPOINT_SECONDS = 10.0
"""A checkpoint is written at the end of an epoch once this much time has passed since the last."""


@dataclass(frozen=True)
class Progress:
    """Where the training of a stage stands after an epoch."""

    stage: str
    epoch: int
    epochs: int
    loss: float


def visible(model: Model, clips: Clips) -> Clips:
    """Return the clips that have what a model needs: what it cannot see is not its error."""
    if "skeleton" not in model.inputs:
        return clips
    return clips.select(clips.has_skeleton.nonzero().flatten().tolist())


@torch.inference_mode()
def predict(model: Model, clips: Clips) -> Output:
    """Outputs of a model for all clips, in order, without any random change."""
    model.eval()
    device = next(model.parameters()).device
    outputs = [
        model(*(clips.read(name, index).to(device) for name in model.inputs))
        for index in torch.split(torch.arange(len(clips)), 64)
    ]
    return Output(*(torch.cat(part).float().cpu() for part in zip(*outputs, strict=True)))


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """One-cycle schedule (Smith 2018): cosine from peak / 25 up to the peak, then down to 0."""
    rise = max(round(steps * warmup), 1)
    if step < rise:
        low, high, share = peak / 25, peak, step / rise
    else:
        low, high, share = peak, 0.0, (step - rise) / max(steps - rise, 1)
    return low + (high - low) * (1 - math.cos(math.pi * share)) / 2


def set_learning_rate(
    optimizer: torch.optim.Optimizer, step: int, steps: int, options: FitOptions
) -> None:
    """Take the learning rate of a step of so many."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, steps, options.learning_rate, options.warmup)


def is_looked_at(epoch: int, options: FitOptions) -> bool:
    """Whether validation clips are predicted after an epoch: every tenth, and the last."""
    return epoch + 1 == options.epochs or (epoch + 1) % 10 == 0


def accuracy(model: Model, clips: Clips) -> float:
    """Share of the clips that the model can see that it names rightly."""
    looked = visible(model, clips)
    right = predict(model, looked).logits.argmax(1) == looked.labels
    return float(right.float().mean())


def make_objective(
    recipe: Recipe,
    stage: Stage,
    model: Model,
    teachers: Mapping[str, Model],
    clips: Clips,
    classes: int,
) -> Objective:
    """The loss of a stage for its model, teachers and clips.

    Raises:
        UsageError: A loss that is unknown, or whose options do not fit.
    """
    coordinates = math.prod(clips.signals["skeleton"].shape[2:])
    return Objective(
        stage,
        Sizes(model.feature_channels, recipe.embedding),
        {name: Sizes(t.feature_channels, recipe.embedding) for name, t in teachers.items()},
        classes=classes,
        clips=len(clips),
        coordinates=coordinates if bool(clips.has_skeleton.any()) else None,
    )


def make_optimizer(learner: nn.Module, options: FitOptions) -> torch.optim.AdamW:
    """Of all that is trained; its learning rate is set anew at every step."""
    return torch.optim.AdamW(
        learner.parameters(),
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
        fused=True,
    )


def make_sources(
    stage: Stage,
    teachers: Mapping[str, Model],
    books: Mapping[str, Path],
    steps: int,
    fabric: Fabric,
) -> dict[str, Source]:
    """Whom a stage asks for the lessons of its teachers: a book that will do, or the teacher."""
    wanted, sources = wants_features(stage), dict[str, Source]()
    for name, model in teachers.items():
        book = find_book(books[name], steps, name in wanted) if name in books else None
        sources[name] = book or Teacher(model, fabric, name in wanted)
    return sources


def spare_skeletons(
    stream: Stream, stage: Stage, model: Model, sources: Mapping[str, Source]
) -> Stream:
    """The stream, without skeletons if neither model, loss nor a teacher to be asked sees them."""
    asked = [source.model for source in sources.values() if isinstance(source, Teacher)]
    seen = wants_skeletons(stage) or any("skeleton" in m.inputs for m in [model, *asked])
    return replace(stream, skeletons=seen)


def told(
    view: View,
    usable: Tensor,
    sources: Mapping[str, Source],
    class_vectors: Tensor,
    step: int,
    steps: int,
) -> dict[str, Any]:
    """What an objective is told of the view of a step, counted from the start of training."""
    batch = view.batch
    return {
        "progress": step / steps,
        "target": batch.target,
        "index": view.clips.to(batch.target.device),
        "usable": usable,
        "skeleton": batch.skeleton,
        "moves": batch.has_skeleton & batch.aligned,
        "lessons": {name: source.lesson(step, batch) for name, source in sources.items()},
        "class_vectors": class_vectors,
        "generator": view.generator,
    }


def fit(
    stage: Stage,
    model: Model,
    clips: Clips,
    validation: Clips | None,
    teachers: Mapping[str, Model],
    *,
    books: Mapping[str, Path] | None = None,
    recipe: Recipe,
    class_vectors: Tensor,
    up: int,
    fabric: Fabric,
    checkpoint: Path,
    identity: Mapping[str, str],
    stream: str,
    report: Callable[[Progress], None],
) -> tuple[Model, list[dict[str, Any]]]:
    """Train a stage; return its model and its metrics, a row an epoch.

    A checkpoint that is there is taken up. When training ends it holds the model and the metrics.

    Args:
        stage: What to train and how.
        model: With its first weights.
        clips: Training clips.
        validation: Clips to look at, never to choose by; or None.
        teachers: Trained models of earlier stages by name, in the order of `stage.teachers`.
        books: Where what some of them say of these very views is kept already.
        recipe: Views and seed.
        class_vectors: [K, E].
        up: Upward axis of the skeleton.
        fabric: Device, precision and processes.
        checkpoint: File to save to.
        identity: Facts that a checkpoint must share to be taken up.
        stream: Name of the random stream: stages with the same one see the same views.
        report: Called after every epoch.

    Raises:
        CheckpointError: The checkpoint is torn, foreign, or of another recipe.
        PskdError: The loss is no longer finite.
    """
    options = stage.fit
    seen = make_stream(recipe, stage, clips, len(class_vectors), name=stream, up=up)
    objective = make_objective(recipe, stage, model, teachers, clips, len(class_vectors))
    learner = Learner(model, objective, Int8(model) if options.quantise else None)
    distributed, optimizer = fabric.setup(learner, make_optimizer(learner, options))
    average = deepcopy(learner) if options.averaging else None
    state = State(learner, optimizer, average, [])
    finished = checkpoint.exists() and state.restore(checkpoint, identity)
    fabric.barrier()
    if finished:
        return state.final_model(), state.rows
    steps = options.epochs * seen.steps
    sources = make_sources(stage, teachers, books or {}, steps, fabric)
    seen = spare_skeletons(seen, stage, model, sources)
    class_vectors = class_vectors.to(fabric.device)
    saved_at, began = time.monotonic(), time.monotonic()
    before = state.rows[-1]["seconds"] if state.rows else 0.0

    for epoch in range(len(state.rows), options.epochs):
        totals = Totals()
        learner.train()
        views = seen.epoch(epoch, fabric.device, fabric.global_rank, fabric.world_size)
        for step, view in enumerate(views, epoch * seen.steps):
            seed_dropout(view)
            usable = available(model, view.batch)
            logits, loss = distributed(
                signals(model, view.batch),
                **told(view, usable, sources, class_vectors, step, steps),
            )
            set_learning_rate(optimizer, step, steps, options)
            optimizer.zero_grad()
            fabric.backward(loss.total)
            optimizer.step()
            state.update_average(options.averaging, step)
            totals.add(loss, logits, view.batch.target * usable.unsqueeze(1))

        row = totals.row(stage, stream, epoch, optimizer)
        if validation is not None and is_looked_at(epoch, options):
            row["validation_accuracy"] = accuracy(state.final_model(), validation)
        row["seconds"] = before + time.monotonic() - began
        state.rows.append(row)
        report(Progress(stage.name, epoch + 1, options.epochs, row["loss"]))
        last = epoch + 1 == options.epochs
        if last or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            if fabric.is_global_zero:
                state.save(checkpoint, identity, finished=last)
            saved_at = time.monotonic()
    fabric.barrier()
    state.restore(checkpoint, identity)  # every process goes on with the same bytes
    return state.final_model(), state.rows


class Totals:
    """Means over the steps of an epoch, and the row of metrics that they make."""

    def __init__(self) -> None:
        self.steps, self.loss, self.right, self.labelled = 0, 0.0, 0, 0
        self.terms: dict[str, float] = {}
        self.choices: dict[str, float] = {}

    def add(self, loss: StageLoss, logits: Tensor, target: Tensor) -> None:
        """Count a step; rows of zeros in the target [B, K] are clips that do not count."""
        self.steps += 1
        self.loss += float(loss.total.detach())
        labelled = target.sum(1) > 0
        self.right += int((logits.argmax(1) == target.argmax(1))[labelled].sum())
        self.labelled += int(labelled.sum())
        for name, term in loss.terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + float(term)
        for name, share in loss.choices.items():
            self.choices[name] = self.choices.get(name, 0.0) + share

    def row(
        self, stage: Stage, stream: str, epoch: int, optimizer: torch.optim.Optimizer
    ) -> dict[str, Any]:
        """The row of an epoch.

        Raises:
            PskdError: The loss is no longer finite.
        """
        n = self.steps
        row: dict[str, Any] = {
            "stage": stage.name,
            "epoch": epoch + 1,
            "epochs": stage.fit.epochs,
            "loss": self.loss / n,
            "terms": {k: v / n for k, v in self.terms.items()},
            "train_accuracy": self.right / max(self.labelled, 1),
        }
        if self.choices:
            row["choices"] = {k: v / n for k, v in self.choices.items()}
        row["learning_rate"] = optimizer.param_groups[0]["lr"]
        if not math.isfinite(row["loss"]):
            raise PskdError(
                f"the loss of stage {stage.name!r} is {row['loss']} after epoch {epoch + 1}",
                remedy=f"Lower chain.{stream}.fit.learning_rate",
            )
        return row
