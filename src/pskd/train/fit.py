"""The training loop of one stage.

All randomness comes from (seed, stage, epoch, step), and a checkpoint holds everything else, so a
stage that was killed and started again ends with the same bytes as one that was left alone.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pskd.data.clips import Clips
from pskd.distill.chain import StageLoss, stage_loss
from pskd.distill.losses.motion import MotionHead
from pskd.errors import PskdError
from pskd.models import Model, Output
from pskd.recipe import Recipe, Stage
from pskd.signal.augment import Batch, make_views
from pskd.train.state import Learner, State

CHECKPOINT_SECONDS = 10.0
"""A checkpoint is written at the end of an epoch once this much time has passed since the last."""


@dataclass(frozen=True)
class Progress:
    """Where the training of a stage stands after an epoch."""

    stage: str
    epoch: int
    epochs: int
    loss: float


def draw_seed(*keys: object) -> int:
    """A 63-bit seed from anything that can be printed: the same keys, the same seed."""
    digest = hashlib.sha256(repr(keys).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def signals(model: Model, batch: Batch) -> tuple[Tensor, ...]:
    """The modalities that a model takes, in its order."""
    return tuple(getattr(batch, name) for name in model.inputs)


def available(model: Model, batch: Batch) -> Tensor:
    """Clips that have every modality that a model takes [B], bool."""
    return batch.has_skeleton | ("skeleton" not in model.inputs)


def batches(clips: Clips, targets: Tensor, order: Tensor, size: int) -> Iterator[Batch]:
    """Clips in batches, in the order given; row i of every tensor is the same recording."""
    for index in torch.split(order, size):
        yield Batch(
            clips.read("acceleration", index),
            clips.read("skeleton", index),
            clips.has_skeleton[index],
            clips.aligned[index],
            targets[index],
        )


def draw_labelled(labels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Which recordings keep their label [N], bool: this share of each class, at least one."""
    keep = torch.zeros(len(labels), dtype=torch.bool)
    for label in torch.unique(labels):
        members = (labels == label).nonzero().flatten()
        drawn = torch.randperm(len(members), generator=generator)
        keep[members[drawn[: max(round(share * len(members)), 1)]]] = True
    return keep


def epoch_order(pool: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """`size` members of the pool in random order, each as often as any other, give or take one."""
    rounds = -(-size // len(pool))
    orders = [pool[torch.randperm(len(pool), generator=generator)] for _ in range(rounds)]
    return torch.cat(orders)[:size]


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


def fit(
    stage: Stage,
    model: Model,
    clips: Clips,
    validation: Clips | None,
    teachers: Mapping[str, Model],
    *,
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
        model: As initialised.
        clips: Training clips.
        validation: Clips to look at, never to choose by; or None.
        teachers: Trained models of earlier stages by name, in the order of `stage.teachers`.
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
    options, size = stage.fit, len(clips)
    batch_size = min(options.batch_size, size)
    steps = size // batch_size
    head = None
    if stage.distill.motion and bool(clips.has_skeleton.any()):
        head = MotionHead(model.feature_channels, math.prod(clips.signals["skeleton"].shape[2:]))
    learner = Learner(model, head)
    optimizer = torch.optim.AdamW(
        learner.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    distributed, optimizer = fabric.setup(learner, optimizer)
    average = deepcopy(learner) if options.averaging else None
    state = State(learner, optimizer, average, [])
    draw = torch.Generator().manual_seed(draw_seed(recipe.seed, "labelled"))
    labelled = draw_labelled(clips.labels, recipe.labelled, draw)
    targets = nn.functional.one_hot(clips.labels, len(class_vectors)) * labelled.unsqueeze(1)
    targets = targets.float()
    pool = torch.arange(size) if teachers else labelled.nonzero().flatten()
    finished = checkpoint.exists() and state.restore(checkpoint, identity)
    fabric.barrier()
    if finished:
        return state.final_model(), state.rows
    for teacher in teachers.values():
        teacher.eval().to(fabric.device)
    class_vectors = class_vectors.to(fabric.device)
    saved_at, began = time.monotonic(), time.monotonic()
    before = state.rows[-1]["seconds"] if state.rows else 0.0

    for epoch in range(len(state.rows), options.epochs):
        shuffle = torch.Generator().manual_seed(draw_seed(recipe.seed, stream, epoch))
        order = epoch_order(pool, steps * batch_size, shuffle)
        totals = _Totals()
        learner.train()
        for step, plain in enumerate(batches(clips, targets, order, batch_size)):
            key = (recipe.seed, stream, epoch, step, fabric.global_rank)
            torch.manual_seed(draw_seed(*key, "dropout"))
            generator = torch.Generator(fabric.device).manual_seed(draw_seed(*key, "views"))
            own = (part[fabric.global_rank :: fabric.world_size] for part in plain)
            batch = Batch(*(part.to(fabric.device) for part in own))
            batch = make_views(batch, recipe.views, generator, up)
            with torch.no_grad(), fabric.autocast():
                lessons = {
                    name: (*_lesson(teacher, batch), available(teacher, batch))
                    for name, teacher in teachers.items()
                }
            at = epoch * steps + step
            logits, embedding, motion = distributed(*signals(model, batch))
            loss = stage_loss(
                stage,
                progress=at / (options.epochs * steps),
                logits=logits,
                embedding=embedding,
                motion=motion,
                target=batch.target,
                usable=available(model, batch),
                skeleton=batch.skeleton,
                moves=batch.has_skeleton & batch.aligned,
                teachers=lessons,
                class_vectors=class_vectors,
                generator=generator,
            )
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(
                    at, options.epochs * steps, options.learning_rate, options.warmup
                )
            optimizer.zero_grad()
            fabric.backward(loss.total)
            optimizer.step()
            state.update_average(options.averaging, at)
            totals.add(loss, logits, batch.target * available(model, batch).unsqueeze(1))

        row: dict[str, Any] = {"stage": stage.name, "epoch": epoch + 1, "epochs": options.epochs}
        row |= totals.means() | {"learning_rate": optimizer.param_groups[0]["lr"]}
        if not math.isfinite(row["loss"]):
            raise PskdError(
                f"the loss of stage {stage.name!r} is {row['loss']} after epoch {epoch + 1}",
                remedy=f"Lower chain.{stream}.fit.learning_rate",
            )
        last = epoch + 1 == options.epochs
        if validation is not None and (last or (epoch + 1) % 10 == 0):
            seen = visible(model, validation)
            right = predict(state.final_model(), seen).logits.argmax(1) == seen.labels
            row["validation_accuracy"] = float(right.float().mean())
        row["seconds"] = before + time.monotonic() - began
        state.rows.append(row)
        report(Progress(stage.name, epoch + 1, options.epochs, row["loss"]))
        if last or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            if fabric.is_global_zero:
                state.save(checkpoint, identity, finished=last)
            saved_at = time.monotonic()
    fabric.barrier()
    state.restore(checkpoint, identity)  # every process goes on with the same bytes
    return state.final_model(), state.rows


def _lesson(teacher: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    output = teacher(*signals(teacher, batch))
    return output.logits.float(), output.embedding.float()


class _Totals:
    """Means over the steps of an epoch."""

    def __init__(self) -> None:
        self.steps, self.loss, self.right, self.labelled = 0, 0.0, 0, 0
        self.terms: dict[str, float] = {}
        self.choices: dict[str, float] = {}

    def add(self, loss: StageLoss, logits: Tensor, target: Tensor) -> None:
        self.steps += 1
        self.loss += float(loss.total.detach())
        labelled = target.sum(1) > 0
        self.right += int((logits.argmax(1) == target.argmax(1))[labelled].sum())
        self.labelled += int(labelled.sum())
        for name, term in loss.terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + float(term)
        for name, share in loss.choices.items():
            self.choices[name] = self.choices.get(name, 0.0) + share

    def means(self) -> dict[str, Any]:
        n = self.steps
        row: dict[str, Any] = {
            "loss": self.loss / n,
            "terms": {k: v / n for k, v in self.terms.items()},
            "train_accuracy": self.right / max(self.labelled, 1),
        }
        if self.choices:
            row["choices"] = {k: v / n for k, v in self.choices.items()}
        return row
