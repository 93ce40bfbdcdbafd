"""DKD against loops, its identity with KD, and mixed and missing labels."""

import math

import pytest
import torch
from torch import Tensor

from pskd.distill.losses.dkd import DKD
from pskd.distill.losses.kd import kd


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(*shape, generator=generator, dtype=torch.float64)


def softened(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in logits]
    return [p / sum(powers) for p in powers]


def by_hand(
    student: list[float], teacher: list[float], label: int, parts: tuple[float, float, float]
) -> float:
    alpha, beta, temperature = parts
    s, t = softened(student, temperature), softened(teacher, temperature)
    sure = t[label] * math.log(t[label] / s[label])
    sure += (1 - t[label]) * math.log((1 - t[label]) / (1 - s[label]))
    others = 0.0
    for k in range(len(s)):
        if k != label:
            p, q = t[k] / (1 - t[label]), s[k] / (1 - s[label])
            others += p * math.log(p / q)
    return temperature**2 * (alpha * sure + beta * others)


def test_value_for_each_clip() -> None:
    student, teacher, labels = draw(5, 4), draw(5, 4, seed=1), [0, 3, 1, 1, 2]
    target = torch.eye(4, dtype=torch.float64)[labels]
    for parts in [(1.0, 8.0, 4.0), (0.5, 2.0, 1.0)]:
        rows = zip(student.tolist(), teacher.tolist(), labels, strict=True)
        expected = [by_hand(*row, parts) for row in rows]
        assert DKD(*parts)(student, teacher, target).tolist() == pytest.approx(expected)
    assert vars(DKD()).items() >= {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}.items()


def test_weighted_by_what_the_teacher_leaves_the_others_it_is_kd() -> None:
    student, teacher = draw(1, 6), draw(1, 6, seed=1)
    left = 1 - (teacher / 3).softmax(-1)[0, 2].item()
    loss = DKD(alpha=1, beta=left, temperature=3)
    target = torch.eye(6)[[2]]
    assert loss(student, teacher, target).item() == pytest.approx(kd(student, teacher, 3).item())


def test_the_largest_share_is_the_class_and_without_a_label_the_teachers_is() -> None:
    student, teacher = draw(3, 4), draw(3, 4, seed=1)
    mixed = torch.tensor([[0.0, 0.4, 0.0, 0.6], [0.7, 0.3, 0.0, 0.0], [0.0] * 4])
    plain = torch.eye(4)[[3, 0, int(teacher[2].argmax())]]
    assert DKD()(student, teacher, mixed).tolist() == DKD()(student, teacher, plain).tolist()


def test_zero_for_the_teacher_itself_and_gradient() -> None:
    student, teacher, target = draw(4, 5).requires_grad_(), draw(4, 5, seed=1), torch.eye(5)[:4]
    assert DKD()(teacher, teacher, target).tolist() == pytest.approx([0] * 4)
    assert torch.autograd.gradcheck(lambda s: DKD()(s, teacher, target), student)


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_flat_and_extreme_logits_give_finite_values(scale: float) -> None:
    student = (scale * draw(3, 5).float()).requires_grad_()
    value = DKD()(student, -student.detach(), torch.eye(5)[:3])
    value.sum().backward()
    assert student.grad is not None
    assert value.isfinite().all()
    assert student.grad.isfinite().all()


def test_a_student_comes_to_predict_what_its_teacher_does() -> None:
    student, teacher = draw(6, 5).requires_grad_(), draw(6, 5, seed=1)
    target = torch.eye(5)[[0, 1, 2, 3, 4, 0]]
    loss, optimizer = DKD(), torch.optim.Adam([student], 0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss(student, teacher, target).mean().backward()
        optimizer.step()
    assert (student.softmax(-1) - teacher.softmax(-1)).abs().max() < 0.01
