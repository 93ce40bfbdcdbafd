"""Distillation from a stronger teacher (DIST)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pskd.distill.losses.base import above_zero, register

_CONSTANT = 1e-6
"""Length of the deviation below which values count as constant: they have no correlation."""


@register("dist")
class DIST(nn.Module):
    """Correlates with the teacher, instead of equalling it, in each clip and in each class.

    L = T^2 (beta mean over clips of (1 - r(clip)) + gamma mean over classes of (1 - r(class))),
    r being Pearson's correlation of the softened probabilities.

    Source: Huang, You, Wang, Qian, Xu, "Knowledge Distillation from A Stronger Teacher" (NeurIPS
    2022); beta = gamma = 1 and T = 1 as in its code. Ours: a student's clip or class that does not
    vary has r = 0 without a gradient; a batch of one has no relation over clips, so that this term
    is 0.

    Args:
        beta: Weight of the inter-class relation, within a clip.
        gamma: Weight of the intra-class relation, across clips.
        temperature: T > 0.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 2.0, 4.0], [3.0, 1.0, 1.0]])
        >>> round(DIST()(student_logits=x, teacher_logits=x).item(), 3)
        0.0
    """

    def __init__(self, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0) -> None:
        super().__init__()
        self.beta = beta
        self.gamma = gamma
        self.temperature = above_zero("temperature", temperature)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        student = (student_logits / self.temperature).softmax(-1)
        teacher = (teacher_logits / self.temperature).softmax(-1)
        loss = self.beta * (1 - _correlation(student, teacher)).mean()
        if len(student) > 1:
            loss = loss + self.gamma * (1 - _correlation(student.T, teacher.T)).mean()
        return self.temperature**2 * loss


def _correlation(student: Tensor, teacher: Tensor) -> Tensor:
    """Pearson's correlation of the rows."""
    student = student - student.mean(-1, keepdim=True)
    teacher = teacher - teacher.mean(-1, keepdim=True)
    length = student.norm(dim=-1)
    correlation = (student * teacher).sum(-1) / (length * teacher.norm(dim=-1) + 1e-8)
    return torch.where(length > _CONSTANT, correlation, 0.0)
