"""What a stage minimises: its own loss, and those that its recipe names beside it.

Losses are called by the names of their parameters; `pskd.distill.losses.base` lists them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from itertools import chain, count
from typing import Any, NamedTuple, cast

import torch
from torch import Generator, Tensor, nn

from pskd.distill.chain import StageLoss, stage_loss
from pskd.distill.losses import LOSSES
from pskd.distill.losses.motion import MotionHead
from pskd.errors import PLUGIN, UsageError, nearest
from pskd.recipe import Loss, Stage, weight_at


class Sizes(NamedTuple):
    """Sizes of a model's outputs: channels of its features, and of its embedding."""

    channels: int
    size: int


class Lesson(NamedTuple):
    """What one teacher says of a batch of B clips."""

    logits: Tensor
    """[B, K]"""
    embedding: Tensor
    """[B, E]"""
    features: Tensor | None
    """[B, D, T'], where a loss asks for them"""
    available: Tensor
    """[B], bool: clips that have what the teacher needs"""


_INPUTS = {
    *("target", "index", "skeleton", "class_vectors"),
    *("student_logits", "student_embedding", "student_features"),
    *("teacher_logits", "teacher_embedding", "teacher_features"),
    *("teachers_logits", "teachers_embedding", "teachers_features"),
}
"""What `forward` of a loss may ask for, as `pskd.distill.losses.base` lists it."""


class Objective(nn.Module):
    """The loss of a stage, with all that is trained for it beside the model.

    Args:
        stage: The recipe's stage.
        student: Sizes of the model in training.
        teachers: Sizes of its teachers by name.
        classes: Number of classes, K.
        clips: Number of training clips.
        coordinates: J * C of the skeletons; None where there is none to predict.

    Raises:
        UsageError: A loss that is unknown, or whose options do not fit.
    """

    def __init__(
        self,
        stage: Stage,
        student: Sizes,
        teachers: Mapping[str, Sizes],
        *,
        classes: int,
        clips: int,
        coordinates: int | None,
    ) -> None:
        super().__init__()
        self.stage = stage
        self.motion = None
        if stage.distill.motion and coordinates is not None:
            self.motion = MotionHead(student.channels, coordinates)
        facts = {
            "classes": classes,
            "clips": clips,
            "epochs": stage.fit.epochs,
            "coordinates": coordinates,
            "student_channels": student.channels,
            "student_size": student.size,
        }
        self.terms = nn.ModuleList(
            _Term(loss, position, stage, facts, teachers)
            for position, loss in enumerate(stage.distill.losses)
        )

    def forward(
        self,
        logits: Tensor,
        embedding: Tensor,
        features: Tensor,
        *,
        progress: float,
        target: Tensor,
        index: Tensor,
        usable: Tensor,
        skeleton: Tensor,
        moves: Tensor,
        lessons: Mapping[str, Lesson],
        class_vectors: Tensor,
        generator: Generator,
    ) -> StageLoss:
        """Args as `stage_loss` has them; `index` are the clips' places in training [B]."""
        with torch.autocast(logits.device.type, enabled=False):
            logits, embedding, features = logits.float(), embedding.float(), features.float()
            loss = stage_loss(
                self.stage,
                progress=progress,
                logits=logits,
                embedding=embedding,
                motion=self.motion(features) if self.motion else None,
                target=target,
                usable=usable,
                skeleton=skeleton,
                moves=moves,
                teachers={n: (x.logits, x.embedding, x.available) for n, x in lessons.items()},
                class_vectors=class_vectors,
                generator=generator,
            )
            if not self.terms:
                return loss
            inputs = {
                "student_logits": logits,
                "student_embedding": embedding,
                "student_features": features,
                "target": target,
                "index": index,
                "skeleton": skeleton,
            }
            total, terms = loss.total, dict(loss.terms)
            for term in cast(Iterable[_Term], self.terms):
                value = term(inputs, lessons, usable, moves, class_vectors)
                # The stage's own semantic and motion terms keep their names.
                further = (f"{term.name}_loss_{n}" for n in count(2))
                names = chain((term.name, f"{term.name}_loss"), further)
                terms[next(name for name in names if name not in terms)] = value.detach()
                total = total + weight_at(term.weight, progress) * value
            return StageLoss(total, terms, loss.choices)


class _Term(nn.Module):
    """One named loss, over the clips that it can be asked about."""

    def __init__(
        self,
        loss: Loss,
        position: int,
        stage: Stage,
        facts: Mapping[str, Any],
        teachers: Mapping[str, Sizes],
    ) -> None:
        super().__init__()
        self.name, self.weight = loss.name, loss.weight
        self.teachers = loss.teachers or tuple(teachers)
        where = f"chain.{stage.name}.distill.losses.{position}"
        if loss.name not in LOSSES:
            raise UsageError(
                f"unknown loss {loss.name!r}",
                where=where,
                remedy=f"{nearest(loss.name, LOSSES)}; {PLUGIN}",
            )
        kind = LOSSES[loss.name]
        self.asks = tuple(inspect.signature(kind.forward).parameters)[1:]
        for name in self.asks:
            if name not in _INPUTS:
                raise UsageError(
                    f"forward of loss {loss.name!r} asks for {name!r}, which there is not",
                    where=where,
                    remedy=nearest(name, _INPUTS),
                )
        self.each = any(name.startswith("teacher_") for name in self.asks)
        self.together = any(name.startswith("teachers_") for name in self.asks)
        if (self.each or self.together) and not self.teachers:
            raise UsageError(
                f"loss {loss.name!r} is about teachers, and stage {stage.name!r} has none",
                where=where,
                remedy="Name teachers of the stage, or leave the loss out",
            )
        sizes = [teachers[name] for name in self.teachers]
        facts = {
            **facts,
            "teachers_channels": [s.channels for s in sizes],
            "teachers_size": [s.size for s in sizes],
        }
        ones = sizes if self.each else [None]
        self.losses = nn.ModuleList(_build(kind, loss, where, facts, one) for one in ones)

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        lessons: Mapping[str, Lesson],
        usable: Tensor,
        moves: Tensor,
        class_vectors: Tensor,
    ) -> Tensor:
        """Mean over the usable clips, and over the teachers where each is asked by itself."""
        rows = usable & moves if "skeleton" in self.asks else usable
        if self.each:
            asked = [
                (loss, [lessons[n]]) for loss, n in zip(self.losses, self.teachers, strict=True)
            ]
        else:
            all_ = self.teachers if self.together else ()
            asked = [(self.losses[0], [lessons[name] for name in all_])]
        values = [self._ask(*pair, inputs, rows, class_vectors) for pair in asked]
        return torch.stack(values).mean() / max(int(usable.sum()), 1)

    def _ask(
        self,
        loss: nn.Module,
        lessons: list[Lesson],
        inputs: Mapping[str, Tensor],
        rows: Tensor,
        class_vectors: Tensor,
    ) -> Tensor:
        """Sum over the clips that all of the lessons are about."""
        for lesson in lessons:
            rows = rows & lesson.available
        count = int(rows.sum())
        if not count:
            return class_vectors.new_zeros(())
        everything = count == len(rows)

        def pick(values: Tensor) -> Tensor:
            return values if everything else values[rows]

        given: dict[str, Any] = {}
        for name in self.asks:
            side, _, part = name.partition("_")
            if name == "class_vectors":
                given[name] = class_vectors
            elif side == "teacher":
                given[name] = pick(getattr(lessons[0], part))
            elif side == "teachers":
                given[name] = [pick(getattr(lesson, part)) for lesson in lessons]
            else:
                given[name] = pick(inputs[name])
        value: Tensor = loss(**given)
        if value.shape not in ((), (count,)):
            raise ValueError(
                f"{self.name!r} gives {tuple(value.shape)} for {count} clips; a value a clip or "
                "one for the batch is expected"
            )
        return value.mean() * count


def wants_features(stage: Stage) -> set[str]:
    """Teachers of a stage whose features a loss asks for."""
    wanted: set[str] = set()
    for loss in stage.distill.losses:
        if _asks(loss) & {"teacher_features", "teachers_features"}:
            wanted |= set(loss.teachers or (teacher.stage for teacher in stage.teachers))
    return wanted


def wants_class_vectors(stage: Stage) -> bool:
    """Whether the loss of a stage compares with class-name vectors."""
    asked = set().union(*map(_asks, stage.distill.losses))
    return bool(stage.distill.semantic) or "class_vectors" in asked


def wants_skeletons(stage: Stage) -> bool:
    """Whether the loss of a stage looks at skeletons itself, without a teacher."""
    asked = set().union(*map(_asks, stage.distill.losses))
    return bool(stage.distill.motion) or "skeleton" in asked


def trains_beside(stage: Stage) -> list[bool]:
    """For each named loss of a stage, whether it trains or remembers something beside the model.

    Raises:
        UsageError: A loss that is unknown, or whose options do not fit.
    """
    # All stages of a recipe share the size of the embedding, not that of the features.
    teachers = {teacher.stage: Sizes(12, 8) for teacher in stage.teachers}
    made = Objective(stage, Sizes(8, 8), teachers, classes=2, clips=8, coordinates=3)
    return [bool(term.state_dict()) for term in made.terms]


def _asks(loss: Loss) -> set[str]:
    kind = LOSSES.get(loss.name)  # an unknown one is refused where the objective is made
    return set(inspect.signature(kind.forward).parameters) if kind else set()


def _build(
    kind: type[nn.Module], loss: Loss, where: str, facts: Mapping[str, Any], teacher: Sizes | None
) -> nn.Module:
    if teacher is not None:
        facts = {**facts, "teacher_channels": teacher.channels, "teacher_size": teacher.size}
    known = list(inspect.signature(kind).parameters)
    options = [name for name in known if name not in facts]
    for name in loss.options:
        if name not in options:
            raise UsageError(
                f"loss {loss.name!r} has no option {name!r}",
                where=where,
                remedy=nearest(name, options) if options else "It has none",
            )
    given = {name: value for name, value in facts.items() if name in known}
    try:
        return kind(**given, **loss.options)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"loss {loss.name!r} cannot be built with {loss.options}: {error}", where=where
        ) from error
