"""The loss of one stage of the progressive chain: label, selected teacher, semantics, motion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional

from pskd.distill.losses import acs
from pskd.distill.losses.kd import kd
from pskd.distill.losses.motion import motion_loss
from pskd.recipe import Stage, weight_at


class StageLoss(NamedTuple):
    """What a stage minimises, its terms before weighting, and whom the student listened to."""

    total: Tensor
    terms: dict[str, Tensor]
    choices: dict[str, float]


def stage_loss(
    stage: Stage,
    *,
    progress: float,
    logits: Tensor,
    embedding: Tensor,
    motion: Tensor | None,
    target: Tensor,
    usable: Tensor,
    skeleton: Tensor,
    moves: Tensor,
    teachers: Mapping[str, tuple[Tensor, Tensor, Tensor]],
    class_vectors: Tensor,
    generator: Generator,
) -> StageLoss:
    """L = label * CE + logits * T^2 KL(selected) + semantic * (1 - cos) + motion * MSE.

    Args:
        stage: The recipe's stage.
        progress: How far its training has come, 0 to 1; schedules follow it.
        logits: Of the model in training [B, K].
        embedding: Of the model in training [B, E].
        motion: Joint positions that it predicts [B, J * C, T'], if it is asked for them.
        target: Shares of the labels [B, K]; zeros for a clip without one.
        usable: Clips that have what the model in training needs [B], bool.
        skeleton: [B, F, J, C].
        moves: Clips whose skeleton says what the accelerometer feels, moment by moment [B], bool.
        teachers: Stage name -> (logits [B, K], embedding [B, E], available [B]).
        class_vectors: [K, E], unit length.
        generator: For teacher dropping.
    """
    options, names = stage.distill, list(teachers)
    smooth = stage.fit.label_smoothing
    label = target * (1 - smooth) + target.sum(-1, keepdim=True) * smooth / target.shape[-1]
    terms = {"label": -(label * functional.log_softmax(logits, -1)).sum(-1)}
    weights: dict[str, float | Tensor] = {"label": weight_at(options.label, progress)}

    choice = torch.full(target.shape[:1], acs.LABEL, device=target.device)
    embeddings = target.new_zeros((0, *embedding.shape))
    if names:
        teacher_logits = torch.stack([teachers[n][0] for n in names])
        embeddings = torch.stack([teachers[n][1] for n in names])
        available = torch.stack([teachers[n][2] for n in names])
        draw = torch.rand((len(names), 1), generator=generator, device=generator.device)
        available &= draw >= options.teacher_dropping  # DGKD: each sits out at random
        says = [weight_at(t.weight, progress) for t in stage.teachers]
        weight = torch.tensor(says, device=target.device)
        if options.selection == "acs":
            choice = acs.select(teacher_logits, target, options.threshold, weight, available)
            terms["distillation"] = acs.selected_kl(
                logits, teacher_logits, choice, options.temperature
            )
        elif options.selection == "average":
            terms["distillation"] = _averaged_kd(
                logits, teacher_logits, weight, available, options.temperature
            )
        weights["distillation"] = weight_at(options.logits, progress)
        if options.exclusive:
            terms["label"] = torch.where(choice == acs.LABEL, terms["label"], 0.0)

    terms["semantic"] = acs.selected_semantic(embedding, embeddings, choice, target, class_vectors)
    weights["semantic"] = weight_at(options.semantic, progress)
    if motion is not None:
        terms["motion"] = motion_loss(motion, skeleton, moves)
        weights["motion"] = weight_at(options.motion, progress)

    share = usable.float() / usable.sum().clamp(min=1)
    means = {name: (term * share).sum() for name, term in terms.items()}
    total = torch.stack([weights[name] * mean for name, mean in means.items()]).sum()
    follows = options.selection == "acs" and names
    return StageLoss(
        total,
        {name: mean.detach() for name, mean in means.items()},
        acs.choice_shares(choice, target.sum(-1) > 0, names) if follows else {},
    )


def _averaged_kd(
    logits: Tensor, teacher_logits: Tensor, weight: Tensor, available: Tensor, temperature: float
) -> Tensor:
    """KD from the weighted mean of the available teachers' softened outputs; 0 without any."""
    shares = weight.unsqueeze(1) * available
    total = shares.sum(0)
    soft = (teacher_logits / temperature).softmax(-1)
    mean = (shares.unsqueeze(-1) * soft).sum(0) / total.clamp(min=1e-12).unsqueeze(-1)
    divergence = kd(logits, temperature * mean.clamp(min=1e-12).log(), temperature)
    return torch.where(total > 0, divergence, 0.0)
