"""Semantic embedding loss of the lineage of PSKD."""

from __future__ import annotations

from torch import Tensor, nn

from pskd.distill.losses.base import register


@register("semantic")
class Semantic(nn.Module):
    """The student's semantic embedding is the teacher's.

    L = mean over the embedding of (W e - e')^2; W is left out where both have one size.

    Source: Liu et al., SAKDN (arXiv 2009.00210) and Ni et al., VSKD (arXiv 2112.01849), where the
    embedding has the 300 values of a GloVe vector; the key `embedding` of a recipe sets it here.
    Ours: W, learned with the student, for teachers whose embedding has another size.

    Args:
        student_size: Values of the student's embedding.
        teacher_size: Values of the teacher's.

    Example:
        >>> import torch
        >>> loss = Semantic(student_size=2, teacher_size=2)
        >>> loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))
        tensor([2.])
    """

    def __init__(self, student_size: int, teacher_size: int) -> None:
        super().__init__()
        same = student_size == teacher_size
        self.map = nn.Identity() if same else nn.Linear(student_size, teacher_size)

    def forward(self, student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
        error: Tensor = self.map(student_embedding) - teacher_embedding
        return error.square().mean(-1)
