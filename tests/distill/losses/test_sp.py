"""SP: similarities of clips against loops over the paper's formula."""

import numpy as np
import pytest
import torch

from pskd.distill.losses.sp import SP, unit


def similarities(features: np.ndarray) -> np.ndarray:
    n = len(features)
    g = np.array([[(features[i] * features[j]).sum() for j in range(n)] for i in range(n)])
    return np.array([row / np.sqrt((row**2).sum()) for row in g])


def test_value_by_loops_with_other_channels_and_steps() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 3, 6).double(), torch.randn(5, 7, 2).double()
    gap = similarities(student.numpy()) - similarities(teacher.numpy())
    values = SP()(student, teacher)
    assert values.mean().item() == pytest.approx(np.linalg.norm(gap, "fro") ** 2 / 5**2)
    assert values.tolist() == pytest.approx([sum(v * v for v in row) / 5 for row in gap])


def test_rotated_and_scaled_features_are_as_similar() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 4, 3).double()
    turn = torch.linalg.qr(torch.randn(4, 4).double())[0]
    assert SP()(2 * turn @ x, x).max().item() == pytest.approx(0.0, abs=1e-24)


def test_a_clip_alone_has_nothing_to_be_similar_to() -> None:
    student = torch.randn(1, 3, 4, requires_grad=True)
    value = SP()(student, torch.randn(1, 5, 4))
    value.sum().backward()
    assert value.item() == pytest.approx(0.0, abs=1e-12)
    assert student.grad is not None
    assert student.grad.abs().max().item() < 1e-6


def test_a_row_of_zeros_has_no_direction_and_moves_nothing() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    rows = unit(x)
    assert rows.tolist() == [[0.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)]]
    rows[:, 0].sum().backward()
    assert x.grad is not None
    assert x.grad[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("zeros", [1, 4])
def test_clips_without_activity_have_small_gradients(zeros: int) -> None:
    student = torch.ones(4, 3, 2)
    student[:zeros] = 0
    student.requires_grad_()
    value = SP()(student, torch.randn(4, 5, 4))
    value.sum().backward()
    assert value.isfinite().all()
    assert student.grad is not None
    assert student.grad.abs().max().item() < 10


def test_the_student_finds_the_teachers_similarities() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(8, 6, 2, requires_grad=True), torch.randn(8, 5, 3)
    before = SP()(student, teacher).mean().item()
    optimiser = torch.optim.Adam([student], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        SP()(student, teacher).mean().backward()
        optimiser.step()
    assert SP()(student, teacher).mean().item() < 0.01 * before
    learnt = similarities(student.detach().numpy().astype(float))
    assert np.abs(learnt - similarities(teacher.numpy().astype(float))).max() < 0.05


def test_gradient_is_that_of_the_value() -> None:
    student = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(SP(), (student, torch.randn(4, 5, 3).double()))
