"""Knowledge distillation (KD)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from pskd.distill.losses.base import above_zero, register


def kd(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) between outputs softened by the temperature T.

    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (2015), eq. 2-4.

    Args:
        student_logits: [B, K].
        teacher_logits: [B, K]; logarithms of probabilities will do, up to a constant a row.
        temperature: T > 0.

    Returns:
        [B].

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 2.0, 3.0]])
        >>> kd(x, x, temperature=4.0)
        tensor([0.])
    """
    student = functional.log_softmax(student_logits / temperature, -1)
    teacher = functional.log_softmax(teacher_logits / temperature, -1)
    divergence = functional.kl_div(student, teacher, log_target=True, reduction="none").sum(-1)
    return temperature**2 * divergence


@register("kd")
class KD(nn.Module):
    """Soft targets of one teacher: see `kd`.

    Args:
        temperature: T > 0.
    """

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = above_zero("temperature", temperature)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        return kd(student_logits, teacher_logits, self.temperature)
