"""Decoupled knowledge distillation (DKD)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pskd.distill.losses.base import above_zero, register
from pskd.distill.losses.kd import kd


@register("dkd")
class DKD(nn.Module):
    """KD in two parts: how sure the teacher is of the label's class, and how it ranks the others.

    L = alpha T^2 KL(b || b') + beta T^2 KL(q || q'): b is (p, 1 - p) with p the softened
    probability of the label's class, q the softened distribution over the other classes. KD is
    alpha = 1 and beta = 1 - p of the teacher.

    Source: Zhao, Cui, Song, Qiu, Liang, "Decoupled Knowledge Distillation" (CVPR 2022), eq. 7. The
    authors raise its weight from 0 over the first 20 of 240 epochs: a schedule of the weight does
    so here. Ours: the class of a mixed label is the one with the largest share; that of a clip
    without a label is the teacher's most probable one.

    Args:
        alpha: Weight of the label's class.
        beta: Weight of the other classes. The authors' CIFAR-100 settings start from 8 and differ
            with the teacher; on ImageNet it is 0.5, with T = 1.
        temperature: T > 0.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 2.0, 3.0]])
        >>> DKD()(student_logits=x, teacher_logits=x, target=torch.tensor([[0.0, 0.0, 1.0]]))
        tensor([0.])
    """

    def __init__(self, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.temperature = above_zero("temperature", temperature)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor, target: Tensor) -> Tensor:
        labelled = target.sum(-1) > 0
        label = torch.where(labelled, target.argmax(-1), teacher_logits.argmax(-1))
        student, student_others = self._split(student_logits, label)
        teacher, teacher_others = self._split(teacher_logits, label)
        sure = self.temperature**2 * kd(student, teacher, 1.0)
        others = kd(student_others, teacher_others, self.temperature)
        return self.alpha * sure + self.beta * others

    def _split(self, logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of b, at T already [B, 2], and of q [B, K - 1]."""
        classes = torch.arange(logits.shape[1], device=logits.device)
        others = logits[classes != label.unsqueeze(1)].view(len(logits), -1)
        own = logits.gather(1, label.unsqueeze(1)).squeeze(1)
        rest = (others / self.temperature).logsumexp(-1)
        return torch.stack([own / self.temperature, rest], -1), others
