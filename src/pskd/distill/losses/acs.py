"""Adaptive-Confidence Semantic (ACS) loss of PSKD (arXiv 2208.08090), as this project reads it.

For each clip the student mimics one teacher or the label: of the teachers whose prediction is
right, the most confident one, if its confidence is above a threshold; otherwise the label. The
same choice drives the semantic term. The paper names the adaptive selection and the semantic
term without formulas that we could check, so the rules below are our own.

A clip without a label has a target of zeros: then no teacher is known to be wrong, and its own
largest probability is its confidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.distill.losses.base import above_zero, register
from pskd.distill.losses.kd import kd

LABEL = -1
"""The choice of the label instead of a teacher."""


def confidence(probabilities: Tensor, target: Tensor) -> Tensor:
    """How much of the target a teacher covers: sum over classes of min(p, y).

    For a plain label this is the probability of the true class; for a mixed one it is 1 only when
    the teacher gives each class its share.

    Args:
        probabilities: [..., B, K].
        target: Shares of the labels [B, K].

    Returns:
        [..., B], between 0 and 1.
    """
    return torch.minimum(probabilities, target).sum(-1)


def select(
    teacher_logits: Tensor,
    target: Tensor,
    threshold: float,
    weights: Tensor | None = None,
    available: Tensor | None = None,
) -> Tensor:
    """Choose for each clip which teacher to mimic, or the label.

    A teacher is right where its most probable class has the largest share of the target.

    Args:
        teacher_logits: [M, B, K].
        target: Shares of the labels [B, K]; zeros for a clip without one.
        threshold: The label is chosen unless a confidence is above this.
        weights: Preference for each teacher [M]: of several that may be chosen, the one with the
            largest weight times confidence is. A teacher of weight 0 is never chosen.
        available: Which teachers can be asked [M, B], bool; all, if None.

    Returns:
        [B], index of the teacher or `LABEL`.
    """
    probabilities = teacher_logits.softmax(-1)
    labelled = target.sum(-1) > 0
    claimed = target.gather(1, probabilities.argmax(-1).T).T  # what the target gives its top class
    right = claimed >= target.amax(-1)  # without a label 0 >= 0: no teacher is known to be wrong
    score = torch.where(labelled, confidence(probabilities, target), probabilities.amax(-1))
    usable = right & (score > threshold)
    if available is not None:
        usable &= available
    if weights is not None:
        score = score * weights.unsqueeze(1)
    best, choice = torch.where(usable, score, 0.0).max(0)
    return torch.where(best > 0, choice, LABEL)


def gather_choice(values: Tensor, choice: Tensor) -> Tensor:
    """Rows of values [M, B, D] from the chosen teacher of each clip; zeros for the label."""
    index = choice.clamp(min=0).view(1, -1, 1).expand(1, -1, values.shape[-1])
    picked = values.gather(0, index).squeeze(0)
    return torch.where((choice == LABEL).unsqueeze(1), 0.0, picked)


def selected_kl(
    student_logits: Tensor, teacher_logits: Tensor, choice: Tensor, temperature: float
) -> Tensor:
    """T^2 KL(teacher || student) with the chosen teacher; 0 where the label is chosen.

    Args:
        student_logits: [B, K].
        teacher_logits: [M, B, K].
        choice: From `select` [B].
        temperature: T.

    Returns:
        [B].
    """
    divergence = kd(student_logits, gather_choice(teacher_logits, choice), temperature)
    return torch.where(choice == LABEL, 0.0, divergence)


def selected_semantic(
    student_embedding: Tensor,
    teacher_embeddings: Tensor,
    choice: Tensor,
    target: Tensor,
    class_vectors: Tensor,
) -> Tensor:
    """1 - cosine to the chosen teacher's embedding, or to the class-name vector of the label.

    Args:
        student_embedding: [B, E].
        teacher_embeddings: [M, B, E].
        choice: From `select` [B].
        target: Shares of the labels [B, K]; a mixed label is tied to the mix of its vectors, a
            missing one to nothing (its value is 1, without a gradient).
        class_vectors: [K, E].

    Returns:
        [B].
    """
    goal = target @ class_vectors
    if len(teacher_embeddings):
        chosen = gather_choice(teacher_embeddings, choice)
        goal = torch.where((choice == LABEL).unsqueeze(1), goal, chosen)
    return 1 - functional.cosine_similarity(student_embedding, goal, dim=-1)


def choice_shares(choice: Tensor, labelled: Tensor, teachers: Sequence[str]) -> dict[str, float]:
    """Share of clips that went to each teacher, to the label, and to nobody for want of one."""
    nobody = (choice == LABEL) & ~labelled
    counts = torch.bincount(choice[~nobody] + 1, minlength=len(teachers) + 1).tolist()
    total = max(len(choice), 1)
    shares = {name: n / total for name, n in zip(["label", *teachers], counts, strict=True)}
    return shares if labelled.all() else {**shares, "nobody": int(nobody.sum()) / total}


@register("acs")
class ACS(nn.Module):
    """One teacher or the label for each clip, for the soft targets and the semantic term alike.

    L = `selected_kl` + semantic * `selected_semantic`, with the choice of `select`. The label's own
    cross-entropy is not in it. All embeddings have the size E of the class vectors.

    Source: Ni, Ngu, Yan, PSKD (ACM MM 2022, arXiv 2208.08090), as this project reads it: the rules
    and the defaults are ours.

    Args:
        threshold: The label is chosen unless a confidence is above this.
        temperature: T > 0.
        semantic: Weight of the semantic term; the default is that of the shipped recipes.

    Example:
        >>> import torch
        >>> logits, vectors = torch.tensor([[3.0, 0.0]]), torch.eye(2)
        >>> embedding, target = vectors[:1], torch.tensor([[1.0, 0.0]])
        >>> ACS()(logits, embedding, [logits], [embedding], target, vectors)
        tensor([0.])
    """

    def __init__(
        self, threshold: float = 0.5, temperature: float = 2.0, semantic: float = 0.2
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.temperature = above_zero("temperature", temperature)
        self.semantic = semantic

    def forward(
        self,
        student_logits: Tensor,
        student_embedding: Tensor,
        teachers_logits: Sequence[Tensor],
        teachers_embedding: Sequence[Tensor],
        target: Tensor,
        class_vectors: Tensor,
    ) -> Tensor:
        logits = torch.stack(list(teachers_logits))
        embeddings = torch.stack(list(teachers_embedding))
        choice = select(logits, target, self.threshold)
        return selected_kl(
            student_logits, logits, choice, self.temperature
        ) + self.semantic * selected_semantic(
            student_embedding, embeddings, choice, target, class_vectors
        )
