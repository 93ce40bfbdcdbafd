"""Variational information distillation (VID)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.distill.losses.base import register
from pskd.distill.losses.fitnet import to_steps

LEAST_VARIANCE = 1e-5


@register("vid")
class VID(nn.Module):
    """Raise what the student's features tell of the teacher's, by a bound of it.

    The teacher's features are taken as Gaussian around a mean m regressed from the student's, with
    a learnt variance s_c^2 for each channel c: mean over channels and time of
    ((T - m)^2 / s^2 + log s^2) / 2. Gives [B]; below 0 where the variance is below 1.

    Source: Ahn et al., "Variational Information Distillation for Knowledge Transfer" (CVPR 2019);
    regressor, mean instead of sum and first variance from RepDistiller. Ours: the last features
    alone, where both have several layers; the convolutions are over time, and
    the teacher is brought to the student's time steps.

    Args:
        student_channels: D of the student's features.
        teacher_channels: D of the teacher's, also the width of the regressor.
        variance: That every channel starts with.

    Example:
        >>> student, teacher = torch.zeros(4, 2, 8), torch.zeros(4, 3, 4)
        >>> VID(student_channels=2, teacher_channels=3, variance=1.0)(student, teacher).abs().max()
        tensor(0., grad_fn=<MaxBackward1>)
    """

    def __init__(self, student_channels: int, teacher_channels: int, variance: float = 5.0) -> None:
        super().__init__()
        width = teacher_channels
        self.regressor = nn.Sequential(
            nn.Conv1d(student_channels, width, 1, bias=False),
            nn.ReLU(),
            nn.Conv1d(width, width, 1, bias=False),
            nn.ReLU(),
            nn.Conv1d(width, width, 1, bias=False),
        )
        start = math.log(math.expm1(variance - LEAST_VARIANCE))  # what softplus takes back
        self.spread = nn.Parameter(torch.full((width, 1), start))

    def forward(self, student_features: Tensor, teacher_features: Tensor) -> Tensor:
        teacher = to_steps(teacher_features, student_features.shape[-1])
        variance = functional.softplus(self.spread) + LEAST_VARIANCE
        error: Tensor = teacher - self.regressor(student_features)
        return (error.square() / variance + variance.log()).mean((1, 2)) / 2
