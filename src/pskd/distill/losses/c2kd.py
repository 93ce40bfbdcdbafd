"""Customised cross-modal knowledge distillation (C2KD), with the teacher's body frozen."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.distill.losses.base import above_zero, register
from pskd.distill.losses.kd import kd

HIDDEN = -1000.0  # its exponential is 0 even in double, and differences of it stay finite


def kendall_tau(first: Tensor, second: Tensor) -> Tensor:
    """Kendall's rank correlation tau-b of each row of [B, K] with its partner: [B].

    It compares the order of every two classes, so it costs [B, K, K]. A constant row, where
    tau-b is not defined, gets 0.

    Example:
        >>> import torch
        >>> kendall_tau(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([0.3333])
    """
    a, b = ((x.unsqueeze(2) - x.unsqueeze(1)).sign().flatten(1) for x in (first, second))
    untied = (a.square().sum(1) * b.square().sum(1)).sqrt()
    return (a * b).sum(1) / untied.clamp(min=1)


def non_target_kd(
    student_logits: Tensor, teacher_logits: Tensor, target: Tensor, temperature: float
) -> Tensor:
    """T^2 KL(teacher || student) among the classes that have no share of the target: [B].

    Without a label these are all classes; where every class has a share the value is 0.
    """
    labelled = target > 0
    student = student_logits.masked_fill(labelled, HIDDEN * temperature)
    teacher = teacher_logits.masked_fill(labelled, HIDDEN * temperature)
    return kd(student, teacher, temperature)


class Proxy(nn.Module):
    """A second head on features [B, D, T']: mean over time, a layer of the same width, logits."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels, channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        self.classifier = nn.Linear(channels, classes)
        nn.init.kaiming_normal_(self.layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.layer(features.mean(-1))
        hidden = functional.batch_norm(
            hidden,
            self.norm.running_mean,
            self.norm.running_var,
            self.norm.weight,
            self.norm.bias,
            training=self.training and len(hidden) > 1,  # one clip alone has no variance
        )
        logits: Tensor = self.classifier(functional.leaky_relu(hidden, 0.1))
        return logits


@register("c2kd")
class C2KD(nn.Module):
    """Student and teacher talk through proxy heads, where these rank the classes alike.

    With s and t the outputs of student and teacher, s' and t' those of their proxies,
    KD(a <- b) = KL(stopgrad(b) || a), and NT the same among non-target classes:

        KD(s <- s') + KD(s' <- s) + KD(t' <- t) + KD(t <- t') + CE(t, y)
            + [tau(s', t') > threshold] * (NT(s' <- t') + NT(t' <- s'))

    The proxies' gradients run on into the student's features. The student's own cross-entropy,
    which the paper adds, is left to the caller. Gives a value a clip.

    Source: Huo, Xu, Guo, Wang, Guo, "C2KD: Bridging the Modality Gap for Cross-Modal Knowledge
    Distillation" (CVPR 2024). Its abstract states the proxies, both directions, the selection on
    the fly and the non-target classes. Its code (github.com/huofushuo/C2KD) gives what we had no
    equations of: the sum with weights of 1, the stop-gradients, T = 1, tau-b over all classes of
    the proxies, the threshold, a mean that counts dropped clips as 0, and the proxies' layers.

    Ours: the paper goes on training the whole teacher. Here it is frozen but for its last layer,
    t = teacher_logits + correction(teacher_embedding), which starts at the teacher and is just
    its last layer trained on if that is linear. Classes with any share of a mixed label are
    targets. The code sets their logits to 0, which leaves them in the softmax; here they are
    left out of it. One clip alone is normalised by the running statistics.

    Args:
        teacher_size: E of the teacher's embedding.
        student_channels: D of the student's features.
        teacher_channels: D of the teacher's features.
        classes: K.
        threshold: Clips whose tau is not above it exchange nothing across the modalities.
        temperature: T > 0.

    Example:
        >>> import torch
        >>> loss = C2KD(teacher_size=64, student_channels=72, teacher_channels=200, classes=27)
        >>> logits, embedding = torch.randn(4, 27), torch.randn(4, 64)
        >>> features, teachers = torch.randn(4, 72, 32), torch.randn(4, 200, 16)
        >>> loss(logits, features, logits, embedding, teachers, torch.eye(27)[:4]).shape
        torch.Size([4])
    """

    def __init__(
        self,
        teacher_size: int,
        student_channels: int,
        teacher_channels: int,
        classes: int,
        threshold: float = 0.0,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.temperature = above_zero("temperature", temperature)
        self.student_proxy = Proxy(student_channels, classes)
        self.teacher_proxy = Proxy(teacher_channels, classes)
        self.correction = nn.Linear(teacher_size, classes)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(
        self,
        student_logits: Tensor,
        student_features: Tensor,
        teacher_logits: Tensor,
        teacher_embedding: Tensor,
        teacher_features: Tensor,
        target: Tensor,
    ) -> Tensor:
        teacher = teacher_logits + self.correction(teacher_embedding)
        student_proxy = self.student_proxy(student_features)
        teacher_proxy = self.teacher_proxy(teacher_features)
        within: Tensor = (
            self._both(student_logits, student_proxy)
            + self._both(teacher, teacher_proxy)
            - (target * teacher.log_softmax(-1)).sum(-1)
        )
        across = non_target_kd(
            student_proxy, teacher_proxy.detach(), target, self.temperature
        ) + non_target_kd(teacher_proxy, student_proxy.detach(), target, self.temperature)
        tau = kendall_tau(student_proxy.detach(), teacher_proxy.detach())
        return within + torch.where(tau > self.threshold, across, 0.0)

    def _both(self, one: Tensor, other: Tensor) -> Tensor:
        return kd(one, other.detach(), self.temperature) + kd(other, one.detach(), self.temperature)
