"""FitNets: hints from the features of the teacher."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from pskd.distill.losses.base import register


def to_steps(features: Tensor, steps: int) -> Tensor:
    """Bring per-time features [B, D, T] to another number of time steps: [B, D, steps].

    Averages where there are too many, interpolates where there are too few. This part is ours.
    """
    if features.shape[-1] < steps:
        return functional.interpolate(features, steps, mode="linear")
    return functional.adaptive_avg_pool1d(features, steps)


@register("fitnet")
class FitNet(nn.Module):
    """Regress the teacher's features from the student's: mean of (r(S) - T)^2.

    r is a convolution of length 1 over time. Gives [B].

    Source: Romero et al., "FitNets: Hints for Thin Deep Nets" (2015), eq. 3; the mean instead of
    half the sum, as in RepDistiller. Ours: the hint is of the last features, where the paper takes
    a middle layer; r is linear, so that features of either sign can be
    met; hints and labels are learnt together, not one after the other; the teacher is brought to
    the student's time steps.

    Args:
        student_channels: D of the student's features.
        teacher_channels: D of the teacher's.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(4, 2, 8), torch.ones(4, 3, 4)
        >>> FitNet(student_channels=2, teacher_channels=3)(student, teacher).shape
        torch.Size([4])
    """

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__()
        self.regressor = nn.Conv1d(student_channels, teacher_channels, 1)

    def forward(self, student_features: Tensor, teacher_features: Tensor) -> Tensor:
        hint = to_steps(teacher_features, student_features.shape[-1])
        error: Tensor = self.regressor(student_features) - hint
        return error.square().mean((1, 2))
