"""Similarity-preserving distillation (SP)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pskd.distill.losses.base import register


def unit(x: Tensor) -> Tensor:
    """Rows [..., D] divided by their length.

    A row of zeros has no direction: it stays zero and has no gradient.
    """
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(length > 1e-8, length, torch.inf)


@register("sp")
class SP(nn.Module):
    """Clips that are alike to the teacher shall be alike to the student.

    Each model's features, flattened to rows F, give G = F F^T [B, B], and each row of G is brought
    to length 1. The value of clip i is sum over j of (G_S[i, j] - G_T[i, j])^2 / B, whose mean
    over the batch is the paper's ||G_S - G_T||^2 / B^2. A clip alone in its batch has 0. Channels
    and time steps of the two models need not agree.

    Source: Tung, Mori, "Similarity-Preserving Knowledge Distillation" (ICCV 2019).

    Example:
        >>> x = torch.eye(3).unsqueeze(-1)
        >>> SP()(x, 2 * x)
        tensor([0., 0., 0.])
    """

    def forward(self, student_features: Tensor, teacher_features: Tensor) -> Tensor:
        student, teacher = student_features.flatten(1), teacher_features.flatten(1)
        return (unit(student @ student.T) - unit(teacher @ teacher.T)).square().mean(1)
