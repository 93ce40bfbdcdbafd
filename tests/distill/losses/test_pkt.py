"""PKT: neighbour probabilities against loops over the paper's formula."""

import math

import numpy as np
import pytest
import torch

from pskd.distill.losses.pkt import PKT


def neighbours(embedding: np.ndarray) -> np.ndarray:
    n = len(embedding)
    p = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            a, b = embedding[i], embedding[j]
            if j != i:
                p[i, j] = (1 + (a @ b) / math.sqrt((a @ a) * (b @ b))) / 2
        p[i] /= p[i].sum()
    return p


def test_value_by_loops_with_other_sizes() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 4).double(), torch.randn(5, 7).double()
    q, p = neighbours(student.numpy()), neighbours(teacher.numpy())
    expected = [
        sum(p[i, j] * math.log(p[i, j] / q[i, j]) for j in range(5) if j != i) for i in range(5)
    ]
    assert PKT()(student, teacher).tolist() == pytest.approx(expected)


def test_rotated_and_scaled_embeddings_have_the_same_neighbours() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 4).double()
    turn = torch.linalg.qr(torch.randn(4, 4).double())[0]
    assert PKT()(2 * x @ turn, x).abs().max().item() == pytest.approx(0.0, abs=1e-14)


@pytest.mark.parametrize("batch", [1, 2])
def test_too_few_clips_have_no_choice_of_neighbours(batch: int) -> None:
    student = torch.randn(batch, 4, requires_grad=True)
    value = PKT()(student, torch.randn(batch, 6))
    value.sum().backward()
    assert value.tolist() == pytest.approx([0.0] * batch, abs=1e-6)
    assert student.grad is not None
    assert student.grad.abs().max().item() < 1e-5


@pytest.mark.parametrize("rows", [[0, 0, 0, 0], [0, 1, 1, 1], [1, 1, 1, 1], [1, -1, -1, -1]])
def test_zeros_equal_and_opposite_embeddings_have_finite_gradients(rows: list[int]) -> None:
    embedding = torch.tensor(rows).float().unsqueeze(1).repeat(1, 3)
    for student, teacher in ((embedding, torch.randn(4, 5)), (torch.randn(4, 3), embedding)):
        student = student.clone().requires_grad_()
        value = PKT()(student, teacher)
        value.sum().backward()
        assert value.isfinite().all()
        assert student.grad is not None
        assert student.grad.abs().max().item() < 1e3


def test_the_student_finds_the_teachers_neighbours() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(8, 6, requires_grad=True), torch.randn(8, 5)
    before = PKT()(student, teacher).mean().item()
    optimiser = torch.optim.Adam([student], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        PKT()(student, teacher).mean().backward()
        optimiser.step()
    assert PKT()(student, teacher).mean().item() < 0.01 * before
    learnt = neighbours(student.detach().numpy().astype(float))
    assert np.abs(learnt - neighbours(teacher.numpy().astype(float))).max() < 0.02


def test_gradient_is_that_of_the_value() -> None:
    student = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(PKT(), (student, torch.randn(4, 5).double()))
