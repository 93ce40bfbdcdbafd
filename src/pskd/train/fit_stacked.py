"""The training loop of several seeds of one student, stacked into one model.

Each seed has what it has when `fit` trains it alone: initial weights, views, lessons, losses, and
the random numbers of its dropout and of its losses. What a seed ends with is therefore what `fit`
ends with up to rounding, whoever else is in the stack.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pskd.models import Model
from pskd.models.sensor import TemporalCNN
from pskd.recipe import Recipe, Stage
from pskd.train.fit import (
    CHECKPOINT_SECONDS,
    Totals,
    accuracy,
    is_looked_at,
    make_objective,
    make_optimizer,
    make_sources,
    set_learning_rate,
    spare_skeletons,
    told,
)
from pskd.train.lessons import available
from pskd.train.prepare import Prepared
from pskd.train.stacked import Stacked
from pskd.train.stages import build_model, identity, stage_key, stream_of
from pskd.train.state import Learner, State
from pskd.train.stream import View, draw_seed, make_stream, seed_dropout


@dataclass(frozen=True)
class Pupil:
    """A stage of one seed, and whom it learns from.

    Attributes:
        recipe: Its recipe.
        stage: The stage.
        data: Its data.
        teachers: Trained models of earlier stages by name, in the order of `stage.teachers`.
        books: Where what some of them say of these very views is kept already.
        checkpoint: File of the finished stage.
    """

    recipe: Recipe
    stage: Stage
    data: Prepared
    teachers: Mapping[str, Model]
    books: Mapping[str, Path]
    checkpoint: Path


def can_stack(recipe: Recipe, stage: Stage) -> bool:
    """Whether stages like this one, of other seeds, can be trained with it."""
    compute = recipe.compute
    plain = compute.devices == 1 and compute.precision == "32-true"
    plain &= not (stage.start or stage.fit.averaging or stage.fit.quantise)
    return stage.model.name == "temporal_cnn" and plain


def stack_key(recipe: Recipe, stage: Stage) -> str:
    """A hash of all that the seeds of one stack share; see `stage_key`."""
    return stage_key(recipe.model_copy(update={"seed": 0}), stage)


def fit_stacked(pupils: Sequence[Pupil], *, fabric: Fabric, checkpoint: Path) -> None:
    """Train the stages of several seeds, alike in all but the seed, as one model.

    Each one's checkpoint then holds the finished stage as `fit` leaves it: its model, and a row of
    metrics an epoch. Their `seconds` are those of the stack divided by the number of its seeds. A
    checkpoint that is there already is left alone.

    Args:
        pupils: The stages; `can_stack` holds for each.
        fabric: The device.
        checkpoint: File of the whole stack while it trains; taken up if it is there.

    Raises:
        CheckpointError: The checkpoint is torn, foreign, or of another stack.
        PskdError: The loss of one of them is no longer finite.
    """
    size, first = len(pupils), pupils[0]
    options = first.stage.fit
    seen = [
        make_stream(
            p.recipe, p.stage, p.data.train, p.data.signal.classes,
            name=stream_of(p.recipe, p.stage), up=p.data.source.layout.up,
        )
        for p in pupils
    ]  # fmt: skip
    steps = options.epochs * seen[0].steps
    sources = [make_sources(p.stage, p.teachers, p.books, steps, fabric) for p in pupils]
    vectors = [p.data.class_vectors.to(fabric.device) for p in pupils]
    learners = [_learner(p).to(fabric.device) for p in pupils]
    stacked = Stacked([cast(TemporalCNN, learner.model) for learner in learners])
    seen = [
        spare_skeletons(stream, p.stage, stacked, asked)
        for stream, p, asked in zip(seen, pupils, sources, strict=True)
    ]
    objectives = nn.ModuleList(learner.objective for learner in learners)
    together = Learner(stacked, objectives).train()
    optimizer = make_optimizer(together, options)
    rows: list[dict[str, Any]] = []  # epoch by epoch, of each of them
    state = State(together, optimizer, None, rows)
    facts = _facts(pupils)
    if checkpoint.exists():
        state.restore(checkpoint, facts)
    saved_at, began = time.monotonic(), time.monotonic()
    before = rows[-1]["seconds"] if rows else 0.0

    for epoch in range(len(rows) // size, options.epochs):
        totals = [Totals() for _ in pupils]
        epochs = zip(*(stream.epoch(epoch, fabric.device) for stream in seen), strict=True)
        for step, views in enumerate(epochs, epoch * seen[0].steps):
            masks = torch.stack([_draw_mask(stacked, view) for view in views])
            output = stacked(torch.stack([v.batch.acceleration for v in views]), masks)
            losses: list[Tensor] = []
            for i, view in enumerate(views):
                _draw_mask(stacked, view)  # what a loss draws follows the dropout, as in `fit`
                usable = available(stacked, view.batch)
                loss = objectives[i](
                    *(part[i] for part in output),
                    **told(view, usable, sources[i], vectors[i], step, steps),
                )
                losses.append(loss.total)
                totals[i].add(loss, output.logits[i], view.batch.target * usable.unsqueeze(1))
            set_learning_rate(optimizer, step, steps, options)
            optimizer.zero_grad()
            fabric.backward(torch.stack(losses).sum())
            optimizer.step()

        looks = is_looked_at(epoch, options)
        if looks:
            _share_out(stacked, learners)
        for pupil, learner, total in zip(pupils, learners, totals, strict=True):
            stream = stream_of(pupil.recipe, pupil.stage)
            row = total.row(pupil.stage, stream, epoch, optimizer)
            if pupil.data.validation is not None and looks:
                row["validation_accuracy"] = accuracy(learner.model, pupil.data.validation)
            rows.append(row)
        seconds = before + (time.monotonic() - began) / size
        for row in rows[-size:]:
            row["seconds"] = seconds
        last = epoch + 1 == options.epochs
        if last or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            state.save(checkpoint, facts, finished=False)
            saved_at = time.monotonic()

    _share_out(stacked, learners)
    for i, (pupil, learner) in enumerate(zip(pupils, learners, strict=True)):
        if not pupil.checkpoint.exists():
            own = State(learner, optimizer, None, rows[i::size])
            facts = identity(pupil.recipe, pupil.data, pupil.stage)
            own.save(pupil.checkpoint, facts, finished=True)
    checkpoint.unlink()


def _learner(pupil: Pupil) -> Learner:
    recipe, stage, data = pupil.recipe, pupil.stage, pupil.data
    torch.manual_seed(draw_seed(recipe.seed, stream_of(recipe, stage), "init"))
    model = build_model(stage, data.signal)
    objective = make_objective(
        recipe, stage, model, pupil.teachers, data.train, data.signal.classes
    )
    return Learner(model, objective)


def _draw_mask(stacked: Stacked, view: View) -> Tensor:
    seed_dropout(view)
    return stacked.draw_mask(len(view.clips))


def _share_out(stacked: Stacked, learners: Sequence[Learner]) -> None:
    for learner, state in zip(learners, stacked.unstack(), strict=True):
        learner.model.load_state_dict(state)


def _facts(pupils: Sequence[Pupil]) -> dict[str, str]:
    """What a checkpoint must share with a stack to be taken up."""
    each = [identity(p.recipe, p.data, p.stage) for p in pupils]
    return {
        name: hashlib.sha256(" ".join(facts[name] for facts in each).encode()).hexdigest()
        for name in each[0]
    }
