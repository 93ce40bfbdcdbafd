"""Confidence-aware multi-teacher knowledge distillation (CA-MKD)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pskd.distill.losses.base import above_zero, register
from pskd.distill.losses.fitnet import to_steps
from pskd.distill.losses.kd import kd


def teacher_weights(teachers_logits: Sequence[Tensor], target: Tensor) -> Tensor:
    """(1 - softmax over teachers of their cross-entropy with the label) / (M - 1).

    Args:
        teachers_logits: M of [B, K].
        target: Shares of the labels [B, K]; teachers are alike for a clip without one.

    Returns:
        [M, B]; sums to 1 over the teachers.

    Example:
        >>> import torch
        >>> says = [torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 5.0]])]
        >>> teacher_weights(says, torch.tensor([[0.0, 1.0]])).round(decimals=2)
        tensor([[0.0100],
                [0.9900]])
    """
    logits = torch.stack(list(teachers_logits))
    if len(logits) == 1:
        return logits.new_ones(logits.shape[:2])
    cross_entropy = -(target * logits.log_softmax(-1)).sum(-1)
    return (1 - cross_entropy.softmax(0)) / (len(logits) - 1)


@register("ca_mkd")
class CAMKD(nn.Module):
    """Soft targets and features of several teachers, each as much as its prediction fits the label.

    L = sum over teachers of w (T^2 KL(teacher || student) + features * mean((F - r(F'))^2)), with
    `teacher_weights` w, per-time features F of the teacher and F' of the student, and a regressor r
    for each teacher: 1x1 convolution, batch norm, ReLU.

    Source: Zhang, Chen, Wang, "Confidence-Aware Multi-Teacher Knowledge Distillation" (ICASSP 2022,
    arXiv 2201.00007); T = 4, features = 50 and the regressor as in the authors' code, which besides
    divides both terms by the number of teachers. Ours: the authors weight the features by how well
    the teacher's classifier does on r(F'); here both terms have the weights of the logits, since a
    loss does not see the teachers' classifiers. Features are brought to the student's time steps.
    Mixed labels have the cross-entropy of their mix.

    Args:
        student_channels: D of the student's features.
        teachers_channels: D of each teacher's.
        temperature: T > 0.
        features: Weight of the features against the soft targets.

    Example:
        >>> import torch
        >>> loss = CAMKD(student_channels=2, teachers_channels=[3, 4])
        >>> logits, target = torch.zeros(5, 6), torch.eye(6)[:5]
        >>> features = [torch.zeros(5, 3, 8), torch.zeros(5, 4, 7)]
        >>> loss(logits, torch.zeros(5, 2, 8), [logits, logits], features, target).shape
        torch.Size([5])
    """

    def __init__(
        self,
        student_channels: int,
        teachers_channels: Sequence[int],
        temperature: float = 4.0,
        features: float = 50.0,
    ) -> None:
        super().__init__()
        self.temperature = above_zero("temperature", temperature)
        self.features = features
        self.regressors = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(student_channels, channels, 1, bias=False),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
            )
            for channels in teachers_channels
        )

    def forward(
        self,
        student_logits: Tensor,
        student_features: Tensor,
        teachers_logits: Sequence[Tensor],
        teachers_features: Sequence[Tensor],
        target: Tensor,
    ) -> Tensor:
        steps = student_features.shape[-1]
        terms = []
        for regressor, logits, features in zip(
            self.regressors, teachers_logits, teachers_features, strict=True
        ):
            error = regressor(student_features) - to_steps(features, steps)
            soft = kd(student_logits, logits, self.temperature)
            terms.append(soft + self.features * error.square().mean((1, 2)))
        return (teacher_weights(teachers_logits, target) * torch.stack(terms)).sum(0)
