"""Correlation congruence (CC)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pskd.distill.losses.base import register
from pskd.distill.losses.sp import unit


@register("cc")
class CC(nn.Module):
    """The student shall correlate clips as the teacher does, under a Gaussian kernel.

    For embeddings of length 1 the kernel exp(-gamma |x - y|^2) is expanded to
    K = exp(-2 gamma) * sum over p = 0 .. order of (2 gamma x.y)^p / p!. The value of clip i is the
    mean over j of (K_S[i, j] - K_T[i, j])^2, whose mean over the batch is the paper's
    ||K_S - K_T||^2 / B^2. A clip alone in its batch has 0.

    Source: Peng et al., "Correlation Congruence for Knowledge Distillation" (ICCV 2019), the
    generalised kernel method with the Gaussian kernel. It is not the variant of RepDistiller,
    which multiplies the differences of neighbours in the batch. The embeddings are the models'
    own: with a trained layer behind each, as some implementations have, both could become
    constant.

    Args:
        gamma: Of the kernel.
        order: Of its expansion.

    Example:
        >>> x = torch.eye(3)
        >>> CC()(x, 2 * x)
        tensor([0., 0., 0.])
    """

    def __init__(self, gamma: float = 0.4, order: int = 2) -> None:
        super().__init__()
        self.gamma = gamma
        self.order = order

    def forward(self, student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
        return (self._kernel(student_embedding) - self._kernel(teacher_embedding)).square().mean(1)

    def _kernel(self, embedding: Tensor) -> Tensor:
        direction = unit(embedding)
        exponent = 2 * self.gamma * direction @ direction.T
        terms = [exponent**p / math.factorial(p) for p in range(self.order + 1)]
        return math.exp(-2 * self.gamma) * torch.stack(terms).sum(0)
