"""Mixture of specialised teachers (MST-Distill), over teachers that are frozen."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.distill.losses.base import above_zero, register
from pskd.distill.losses.kd import kd


class MaskNet(nn.Module):
    """A mask between 0 and 1 for every entry of x [B, E], by attention among the entries.

    Args:
        size: E.
        heads: Heads of the attention.
        hidden_factor: Each entry becomes a token of about E / hidden_factor channels.
    """

    def __init__(self, size: int, heads: int, hidden_factor: int) -> None:
        super().__init__()
        self.tokens = (size, heads * max(size // (hidden_factor * heads), 1))
        self.embed = nn.Linear(size, math.prod(self.tokens))
        self.attention = nn.MultiheadAttention(self.tokens[1], heads, batch_first=True)
        self.score = nn.Linear(self.tokens[1], 1)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).unflatten(1, self.tokens)
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        mask: Tensor = self.score(mixed).squeeze(-1).sigmoid()
        return mask


class SpecialisedTeacher(nn.Module):
    """A frozen teacher with its embedding masked before its last layer.

    The last layer is not handed to a loss, so `head` learns it from embeddings and logits. Only
    what the mask takes away goes through `head`: without a mask the logits are the teacher's own.
    """

    def __init__(self, size: int, classes: int, heads: int, hidden_factor: int) -> None:
        super().__init__()
        self.mask = MaskNet(size, heads, hidden_factor)
        self.head = nn.Linear(size, classes)

    def forward(self, logits: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the masked teacher, which never train the head, and of the head: [B, K]."""
        removed = (1 - self.mask(embedding)) * embedding
        masked = logits - functional.linear(removed, self.head.weight.detach())
        return masked, self.head(embedding)


def balance(gate_logits: Tensor) -> Tensor:
    """Load balancing: KL(uniform || mean of the gate's probabilities) / M, [B, M] -> [].

    The division is the reference implementation's ("batchmean" of a vector).
    """
    clips, teachers = gate_logits.shape
    log_mean = gate_logits.log_softmax(-1).logsumexp(0) - math.log(clips)
    return -(log_mean.mean() + math.log(teachers)) / teachers


@register("mst_distill")
class MSTDistill(nn.Module):
    """A gate picks for each clip the k specialised teachers that the student mimics.

    With s the student's logits, t_m the m-th teacher's, t'_m those of its specialised version,
    KD(a <- b) = T^2 KL(stopgrad(b) || a) at temperature T, and S the k teachers of the largest
    gate(s), for each clip:

        stage 1: sum over m of KD(s <- t_m)
        stage 2: sum over m of KD(t'_m <- s), which trains the masks
        stage 3: mean over m in S of KD(s <- t'_m) + balance_weight * balance(gate(s))

    and always, over m, KD(head_m <- t_m). The selection is hard, so the gate learns from the
    balance alone, and the balance reaches the student through the gate: both as in the reference
    implementation. Gives a value a clip.

    Source: Li, Yang, Chen, Dong, Chen, Wang, "MST-Distill: Mixture of Specialized Teachers for
    Cross-Modal Knowledge Distillation" (ACM MM 2025, arXiv 2507.07015). Its abstract states the
    cross-modal and multimodal teachers, the masks trained apart, and the routing by instance. Its
    code (github.com/Gray-OREO/MST-Distill) gives the rest, for we had no equations: MaskNet's and
    the gate's layers, the stages, their terms and stop-gradients, T = 4, k = 1, weights of 1.

    Ours: the teachers are frozen, while in the code's first stage they learn from each other and
    the student. In the second, where the code freezes the student, it goes on with the caller's
    terms. The code gives each stage 100 epochs, a third of all, at one learning rate. Here the rate
    goes on as the caller has it: by a one-cycle schedule the third stage, the only one in which
    routed teachers teach, has 7 to 9 % of its sum. With `stage_epochs` = 0 there is no
    first stage and the other two run together: the masks follow the student as it learns, and the
    lesson is weak. The code masks two layers a teacher; here it is the embedding alone, with a
    learnt copy of the last layer (`SpecialisedTeacher`), which stands for it if that is linear.
    MaskNet is smaller (the code has heads = 3, hidden_factor = 2), to cost less than the student.
    The code's decay of the weights over epochs is left out.

    Args:
        teachers_size: E of each teacher's embedding.
        classes: K.
        clips: Number of training clips, for the count of epochs.
        epochs: Of the whole training.
        k: Teachers a clip is taught by.
        stage_epochs: Of each of the first two stages; None for a third of all, as in the code.
            Counted by clips seen, so that they last longer where an epoch leaves out its last
            clips, or where several processes share it.
        temperature: T > 0.
        balance_weight: Weight of the load balancing.
        heads: Attention heads of each MaskNet.
        hidden_factor: Narrowness of each MaskNet.

    Raises:
        ValueError: If k is not between 1 and the number of teachers.

    Example:
        >>> import torch
        >>> loss = MSTDistill(teachers_size=[64, 32], classes=27, clips=431, epochs=150)
        >>> logits = torch.randn(4, 27)
        >>> loss(logits, [logits, logits], [torch.randn(4, 64), torch.randn(4, 32)]).shape
        torch.Size([4])
    """

    seen: Tensor

    def __init__(
        self,
        teachers_size: list[int],
        classes: int,
        clips: int,
        epochs: int,
        k: int = 1,
        stage_epochs: int | None = None,
        temperature: float = 4.0,
        balance_weight: float = 1.0,
        heads: int = 1,
        hidden_factor: int = 4,
    ) -> None:
        super().__init__()
        if not 1 <= k <= len(teachers_size):
            raise ValueError(f"k is {k}, not between 1 and the {len(teachers_size)} teachers")
        self.k, self.balance_weight = k, balance_weight
        self.temperature = above_zero("temperature", temperature)
        self.stage_clips = (epochs // 3 if stage_epochs is None else stage_epochs) * clips
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.teachers = nn.ModuleList(
            SpecialisedTeacher(size, classes, heads, hidden_factor) for size in teachers_size
        )
        self.gate = nn.Sequential(
            nn.Linear(classes, 2 * classes), nn.Linear(2 * classes, len(teachers_size))
        )

    def forward(
        self,
        student_logits: Tensor,
        teachers_logits: list[Tensor],
        teachers_embedding: list[Tensor],
    ) -> Tensor:
        together = self.stage_clips == 0
        stage = 3 if together else 1 + min(int(self.seen) // self.stage_clips, 2)
        if self.training:
            self.seen += len(student_logits)
        value, lessons = torch.zeros_like(student_logits[:, 0]), []
        for teacher, logits, embedding in zip(
            self.teachers, teachers_logits, teachers_embedding, strict=True
        ):
            masked, copy = teacher(logits, embedding)
            value = value + kd(copy, logits, self.temperature)
            if stage == 2 or together:
                value = value + kd(masked, student_logits.detach(), self.temperature)
            lesson = logits if stage == 1 else masked.detach()
            lessons.append(kd(student_logits, lesson, self.temperature))
        if stage == 1:
            return value + torch.stack(lessons).sum(0)
        if stage == 2:
            return value
        gate = self.gate(student_logits)
        mimicry = torch.stack(lessons, 1).gather(1, gate.topk(self.k, dim=1).indices).mean(1)
        return value + mimicry + self.balance_weight * balance(gate)
