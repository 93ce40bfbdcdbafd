"""KD against sums written out."""

import math

import pytest
import torch

from pskd.distill.losses.kd import KD, kd


def by_hand(student: list[float], teacher: list[float], temperature: float) -> float:
    s = [math.exp(z / temperature) for z in student]
    t = [math.exp(z / temperature) for z in teacher]
    pairs = zip((x / sum(s) for x in s), (x / sum(t) for x in t), strict=True)
    return temperature**2 * sum(q * math.log(q / p) for p, q in pairs)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_value_for_each_clip(temperature: float) -> None:
    student = [[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]]
    teacher = [[3.0, 0.0, -1.0], [0.2, 0.1, 0.0]]
    rows = zip(student, teacher, strict=True)
    expected = [by_hand(s, t, temperature) for s, t in rows]
    x, y = torch.tensor(student).double(), torch.tensor(teacher).double()
    value, module = kd(x, y, temperature), KD(temperature)(student_logits=x, teacher_logits=y)
    assert value.tolist() == pytest.approx(expected)
    assert module.tolist() == value.tolist()
    assert KD().temperature == 4


def test_a_constant_added_to_the_logits_changes_nothing() -> None:
    student, teacher = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0.0, 3.0, 1.0]])
    value = kd(student, teacher, 2).item()
    assert kd(student + 9, teacher - 5, 2).item() == pytest.approx(value, rel=1e-5)
    assert kd(student, teacher.log_softmax(-1), 2).item() == pytest.approx(value, rel=1e-5)


def test_gradient_is_t_times_the_difference_of_probabilities() -> None:
    torch.manual_seed(0)
    student = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(4, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: kd(s, teacher, 3), student)
    kd(student, teacher, 3).sum().backward()
    expected = 3 * ((student / 3).softmax(-1) - (teacher / 3).softmax(-1))
    assert student.grad is not None
    assert torch.allclose(student.grad, expected)


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_flat_and_extreme_logits_give_finite_values(scale: float) -> None:
    student = (scale * torch.eye(3)).requires_grad_()
    value = kd(student, scale * torch.eye(3).roll(1, 0), 1)
    value.sum().backward()
    assert student.grad is not None
    assert value.isfinite().all()
    assert student.grad.isfinite().all()


def test_a_student_comes_to_predict_what_its_teacher_does() -> None:
    torch.manual_seed(0)
    student, teacher = torch.zeros(4, 5, requires_grad=True), torch.randn(4, 5)
    optimizer = torch.optim.Adam([student], 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        kd(student, teacher, 4).mean().backward()
        optimizer.step()
    assert (student.softmax(-1) - teacher.softmax(-1)).abs().max() < 0.01
