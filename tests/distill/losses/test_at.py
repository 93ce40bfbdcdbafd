"""AT: maps and distance against loops, shapes that differ, and what has no activity."""

import numpy as np
import pytest
import torch

from pskd.distill.losses.at import AT


def by_loops(student: np.ndarray, teacher: np.ndarray) -> list[float]:
    values = []
    for clips in zip(student, teacher, strict=True):
        maps = []
        for x in clips:
            q = np.array([sum(v * v for v in x[:, k]) / len(x) for k in range(x.shape[1])])
            maps.append(q / np.sqrt((q**2).sum()))
        values.append(((maps[0] - maps[1]) ** 2).mean())
    return values


def test_value_by_loops_with_other_channels() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(3, 4, 6).double(), torch.randn(3, 7, 6).double()
    expected = by_loops(student.numpy(), teacher.numpy())
    assert AT()(student, teacher).tolist() == pytest.approx(expected)


def test_a_longer_teacher_is_averaged_over_time() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(3, 4, 6).double(), torch.randn(3, 7, 12).double()
    halved = teacher.numpy().reshape(3, 7, 6, 2).mean(-1)
    expected = by_loops(student.numpy(), halved)
    assert AT()(student, teacher).tolist() == pytest.approx(expected)


def test_only_the_relative_size_over_time_counts() -> None:
    x = torch.randn(4, 5, 8)
    assert AT()(x, -3 * x).tolist() == pytest.approx([0.0] * 4, abs=1e-12)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("fill", [0.0, 1e-20, 1.0])
def test_features_without_variation_have_finite_gradients(batch: int, fill: float) -> None:
    student = torch.full((batch, 3, 8), fill, requires_grad=True)
    value = AT()(student, torch.zeros(batch, 5, 4))
    value.sum().backward()
    assert value.isfinite().all()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_the_student_learns_when_the_teacher_is_active() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(8, 6, 10, requires_grad=True), torch.randn(8, 5, 10)
    teacher[:, :, 3] *= 4
    before = AT()(student, teacher).mean().item()
    optimiser = torch.optim.Adam([student], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        AT()(student, teacher).mean().backward()
        optimiser.step()
    assert AT()(student, teacher).mean().item() < 0.01 * before
    assert student.square().sum(1).argmax(1).tolist() == [3] * 8


def test_gradient_is_that_of_the_value() -> None:
    student = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(AT(), (student, torch.randn(2, 4, 3).double()))
