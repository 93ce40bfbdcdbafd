"""Attention transfer (AT)."""

from __future__ import annotations

from torch import Tensor, nn

from pskd.distill.losses.base import register
from pskd.distill.losses.fitnet import to_steps
from pskd.distill.losses.sp import unit


def attention(features: Tensor) -> Tensor:
    """Where in time features [B, D, T] are active: mean of squares over D, of length 1, [B, T]."""
    return unit(features.square().mean(1))


@register("at")
class AT(nn.Module):
    """The student shall be active when the teacher is: mean over time of (Q_S - Q_T)^2.

    Q is the map of `attention`. Gives [B].

    Source: Zagoruyko, Komodakis, "Paying More Attention to Attention" (ICLR 2017), eq. 2 with
    p = 2; the mean of squares is that of the authors' code, where the paper has the root of their
    sum. Ours: the last features alone, where eq. 2 sums over layers; maps over time, not
    images; the teacher's features are brought to the student's time steps.

    Example:
        >>> import torch
        >>> x = torch.tensor([[[0.0, 1.0, 0.0, 0.0]]])
        >>> AT()(x, 3 * x), AT()(x, x.roll(1))
        (tensor([0.]), tensor([0.5000]))
    """

    def forward(self, student_features: Tensor, teacher_features: Tensor) -> Tensor:
        teacher = to_steps(teacher_features, student_features.shape[-1])
        return (attention(student_features) - attention(teacher)).square().mean(1)
