"""Probabilistic knowledge transfer (PKT)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pskd.distill.losses.base import register
from pskd.distill.losses.sp import unit


def neighbours(embedding: Tensor) -> Tensor:
    """How probably each clip picks each other one as its neighbour: [B, B], zeros with itself.

    Rows of (1 + cosine) / 2, over their sum.
    """
    direction = unit(embedding)
    kernel = ((1 + direction @ direction.T) / 2).clamp(min=1e-7)  # opposite ones: not quite 0
    kernel = kernel * (1 - torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device))
    return kernel / kernel.sum(1, keepdim=True).clamp(min=1e-7)


@register("pkt")
class PKT(nn.Module):
    """The student's clips shall have the neighbours that the teacher's have.

    p_T(j | i) and p_S(j | i) are those of `neighbours`. The value of clip i is
    KL = sum over j != i of p_T(j | i) log(p_T(j | i) / p_S(j | i)); 0 in a batch of one or two.

    Source: Passalis, Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer"
    (ECCV 2018), with the cosine kernel. The authors' code also counts j = i, and takes the mean
    over all B^2 pairs: B times less than the mean of this over the batch.

    Example:
        >>> x = torch.eye(3)
        >>> PKT()(x, 2 * x)
        tensor([0., 0., 0.])
    """

    def forward(self, student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
        teacher = neighbours(teacher_embedding)
        student = neighbours(student_embedding).clamp(min=1e-12)  # the gradient of 0 log 0 is NaN
        return (torch.xlogy(teacher, teacher) - torch.xlogy(teacher, student)).sum(1)
