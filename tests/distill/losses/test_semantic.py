"""The semantic loss against a loop, with and without a map between sizes."""

import pytest
import torch
from torch import nn

from pskd.distill.losses.semantic import Semantic


def test_value_for_each_clip() -> None:
    student, teacher = [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], [[1.0, 0.0, 6.0], [0.0, 0.0, 0.3]]
    expected = [
        sum((a - b) ** 2 for a, b in zip(s, t, strict=True)) / 3
        for s, t in zip(student, teacher, strict=True)
    ]
    loss = Semantic(3, 3)
    assert loss(torch.tensor(student), torch.tensor(teacher)).tolist() == pytest.approx(expected)
    assert list(loss.parameters()) == []


def test_other_sizes_are_mapped() -> None:
    loss = Semantic(2, 3)
    assert isinstance(loss.map, nn.Linear)
    with torch.no_grad():
        loss.map.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        loss.map.bias.copy_(torch.tensor([0.0, 0.0, 3.0]))
    student = torch.tensor([[1.0, 2.0]], requires_grad=True)
    value = loss(student, torch.tensor([[1.0, 2.0, 0.0]]))
    value.sum().backward()
    assert value.tolist() == pytest.approx([12.0])  # 6^2 / 3
    assert student.grad is not None
    assert student.grad.tolist() == [[4.0, 4.0]]  # 2 * 6 / 3 through the last row


def test_gradient() -> None:
    loss = Semantic(2, 3).double()
    student = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(4, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), student)


def test_a_smaller_student_and_its_map_come_to_give_the_teachers_embedding() -> None:
    torch.manual_seed(0)
    teacher = torch.randn(20, 2) @ torch.randn(2, 5)  # two of its five dimensions are enough
    student, loss = torch.randn(20, 2, requires_grad=True), Semantic(2, 5)
    optimizer = torch.optim.Adam([student, *loss.parameters()], 0.05)
    start = loss(student, teacher).mean().item()
    for _ in range(300):
        optimizer.zero_grad()
        loss(student, teacher).mean().backward()
        optimizer.step()
    assert loss(student, teacher).mean().item() < start / 100
