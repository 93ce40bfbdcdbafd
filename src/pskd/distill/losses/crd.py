"""Contrastive representation distillation (CRD)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.distill.losses.base import above_zero, register
from pskd.distill.losses.sp import unit


@register("crd")
class CRD(nn.Module):
    """Tell the teacher's embedding of the same clip from those of others, and the other way round.

    Both embeddings are mapped linearly to `size` numbers of length 1, g_S and g_T. A pair scores
    s = exp(g_S . g_T / temperature) / Z and is taken for a pair of one clip with
    h = s / (s + k / n); k negatives, n clips. The value of a clip is
    -log h(positive) - sum over negatives of log(1 - h), once with the student as anchor and
    negatives from the teacher's memory, once with the teacher as anchor and the student's.
    Each memory keeps the last embedding of every clip, averaged with those before. Z is n times
    the mean unnormalised score of the first batch, one for each anchor, and stays.

    Source: Tian, Krishnan, Isola, "Contrastive Representation Distillation" (ICLR 2020); memory
    and Z as in the authors' RepDistiller.

    Ours: views of a clip are random and mixed, so the positive is the present pair, two models on
    the same view, whose gradient reaches both maps; the memory serves the negatives alone. These
    are any other clips, be it of the same class, and fewer than the paper's 16,384 of 50,000.
    A memory is only written in training, and a clip may come once in a batch.

    Args:
        student_size: E of the student.
        teacher_size: E of the teacher.
        clips: n, how many training clips there are.
        size: Of the compared embeddings.
        negatives: k, drawn with replacement.
        temperature: Of the scores.
        momentum: Weight of what a memory holds against what is new.

    Example:
        >>> loss = CRD(student_size=8, teacher_size=4, clips=10)
        >>> loss(torch.ones(2, 8), torch.ones(2, 4), torch.tensor([3, 7])).shape
        torch.Size([2])
    """

    student_memory: Tensor
    teacher_memory: Tensor
    normalisers: Tensor

    def __init__(
        self,
        student_size: int,
        teacher_size: int,
        clips: int,
        size: int = 128,
        negatives: int = 256,
        temperature: float = 0.07,
        momentum: float = 0.5,
    ) -> None:
        super().__init__()
        self.clips = clips
        self.negatives = negatives
        self.temperature = above_zero("temperature", temperature)
        self.momentum = momentum
        self.student_map = nn.Linear(student_size, size)
        self.teacher_map = nn.Linear(teacher_size, size)
        bound = math.sqrt(3 / size)  # about length 1
        for name in ("student_memory", "teacher_memory"):
            self.register_buffer(name, torch.empty(clips, size).uniform_(-bound, bound))
        self.register_buffer("normalisers", torch.zeros(2))  # 0: not set yet

    def forward(
        self, student_embedding: Tensor, teacher_embedding: Tensor, index: Tensor
    ) -> Tensor:
        student = unit(self.student_map(student_embedding))
        teacher = unit(self.teacher_map(teacher_embedding))
        shape = (len(index), self.negatives)
        steps = torch.randint(1, max(self.clips, 2), shape, device=index.device)
        others = (index.unsqueeze(1) + steps) % self.clips  # never the clip itself
        positive = (student * teacher).sum(1, keepdim=True)
        value = self._nce(0, student, positive, self.teacher_memory[others])
        value = value + self._nce(1, teacher, positive, self.student_memory[others])
        if self.training:
            self._remember(self.student_memory, student.detach(), index)
            self._remember(self.teacher_memory, teacher.detach(), index)
        return value

    def _nce(self, side: int, anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
        """Noise-contrastive estimate [B] of anchor [B, D], its positive [B, 1] and others."""
        against = (negatives @ anchor.unsqueeze(-1)).squeeze(-1)
        scores = torch.cat([positive, against], 1) / self.temperature
        known = self.normalisers[side]
        first = scores.detach().exp().mean() * self.clips
        self.normalisers[side] = torch.where(known > 0, known, first)
        noise = self.normalisers[side].log() + math.log(self.negatives / self.clips)
        odds = scores - noise  # log h / (1 - h)
        return functional.softplus(-odds[:, 0]) + functional.softplus(odds[:, 1:]).sum(1)

    def _remember(self, memory: Tensor, new: Tensor, index: Tensor) -> None:
        memory[index] = unit(self.momentum * memory[index] + (1 - self.momentum) * new)
