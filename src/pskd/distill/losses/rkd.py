"""Relational knowledge distillation (RKD)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.distill.losses.base import register

_SAME = 1e-10
"""Distance below which two rows count as the same: the gradient of a direction has no bound."""


def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between the distances of all pairs, each side's over their mean.

    Args:
        student: [B, E].
        teacher: [B, E2].

    Returns:
        []; 0 for a batch of one.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
        >>> rkd_distance(x, 10 * x)  # scale does not count
        tensor(0.)
    """
    return functional.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between the cosines of the angles of all triplets.

    Args:
        student: [B, E].
        teacher: [B, E2].

    Returns:
        []; 0 for a batch of one.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> rkd_angle(x, x @ torch.tensor([[0.0, 2.0], [-2.0, 0.0]]))  # nor do turns
        tensor(0.)
    """
    return functional.smooth_l1_loss(_cosines(student), _cosines(teacher))


@register("rkd_distance")
class RKDDistance(nn.Module):
    """Distances between the clips of a batch, in the student as in the teacher: `rkd_distance`.

    L = mean over i, j of huber(d_ij / mu - d'_ij / mu'), mu the mean distance of two clips.

    Source: Park, Kim, Lu, Cho, "Relational Knowledge Distillation" (CVPR 2019), distance-wise loss;
    as in its code, the mean is over all B^2 pairs, and embeddings are not normalised.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [1.0], [3.0]])
        >>> RKDDistance()(student_embedding=x, teacher_embedding=x)
        tensor(0.)
    """

    def forward(self, student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
        return rkd_distance(student_embedding, teacher_embedding)


@register("rkd_angle")
class RKDAngle(nn.Module):
    """Angles between the clips of a batch, in the student as in the teacher: `rkd_angle`.

    L = mean over i, j, k of huber(cos jik - cos' jik), the angle being that at clip i.

    Source: Park, Kim, Lu, Cho, "Relational Knowledge Distillation" (CVPR 2019), angle-wise loss;
    as in its code, the mean is over all B^3 triplets. Ours: clips at the same place have no
    direction to each other, so their cosine is 0.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [1.0], [3.0]])
        >>> RKDAngle()(student_embedding=x, teacher_embedding=x)
        tensor(0.)
    """

    def forward(self, student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
        return rkd_angle(student_embedding, teacher_embedding)


def _differences(x: Tensor) -> tuple[Tensor, Tensor]:
    """x_j - x_i [B, B, E] and their lengths [B, B], 0 for rows that are the same."""
    difference = x.unsqueeze(0) - x.unsqueeze(1)
    distance = difference.norm(dim=-1)
    return difference, distance * (distance > _SAME)


def _relative_distances(x: Tensor) -> Tensor:
    _, distance = _differences(x)
    pairs = max(len(x) * (len(x) - 1), 1)
    return distance / (distance.sum() / pairs).clamp(min=1e-12)


def _cosines(x: Tensor) -> Tensor:
    difference, distance = _differences(x)
    direction = difference / torch.where(distance > 0, distance, 1.0).unsqueeze(-1)
    return direction @ direction.transpose(1, 2)
