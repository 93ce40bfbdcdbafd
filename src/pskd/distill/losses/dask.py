"""Distance and Angle-wise Semantic Knowledge (DASK) loss of VSKD."""

from __future__ import annotations

from torch import Tensor, nn

from pskd.distill.losses.base import register
from pskd.distill.losses.rkd import rkd_angle, rkd_distance
from pskd.distill.losses.semantic import Semantic


@register("dask")
class DASK(nn.Module):
    """Relations between clips in the semantic embedding, and the embedding itself.

    L = distance * RKD distance + angle * RKD angle + semantic * mean squared error, all on the
    embeddings of the student and the teacher.

    Source: Ni, Sarbajna, Liu, Ngu, Yan, VSKD (ICASSP 2022, arXiv 2112.01849). The three weights of
    1 are those in the authors' published script, where the three terms are commented out, and where
    KL (T = 4) has 0.01. VSKD adds that KL: give it as `kd`. Ours: the formula is read from that
    script, not from the paper; the map of `Semantic` where sizes differ.

    Args:
        student_size: Values of the student's embedding.
        teacher_size: Values of the teacher's.
        distance: Weight of the distance-wise relations.
        angle: Weight of the angle-wise relations.
        semantic: Weight of the squared error.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 2.0], [0.0, 1.0], [2.0, 0.0]])
        >>> DASK(student_size=2, teacher_size=2)(student_embedding=x, teacher_embedding=x)
        tensor(0.)
    """

    def __init__(
        self,
        student_size: int,
        teacher_size: int,
        distance: float = 1.0,
        angle: float = 1.0,
        semantic: float = 1.0,
    ) -> None:
        super().__init__()
        self.distance = distance
        self.angle = angle
        self.semantic = semantic
        self.error = Semantic(student_size, teacher_size)

    def forward(self, student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
        error: Tensor = self.error(student_embedding, teacher_embedding).mean()
        return (
            self.distance * rkd_distance(student_embedding, teacher_embedding)
            + self.angle * rkd_angle(student_embedding, teacher_embedding)
            + self.semantic * error
        )
