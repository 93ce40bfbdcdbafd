"""CC: the expanded Gaussian kernel against loops, and its limit against the kernel itself."""

import math

import numpy as np
import pytest
import torch

from pskd.distill.losses.cc import CC


def expanded(embedding: np.ndarray, gamma: float) -> np.ndarray:
    """exp(-2 gamma) (1 + 2 gamma c + (2 gamma c)^2 / 2) of each pair's cosine c."""
    n = len(embedding)
    kernel = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            a, b = embedding[i], embedding[j]
            c = (a @ b) / math.sqrt((a @ a) * (b @ b))
            kernel[i, j] = math.exp(-2 * gamma) * (1 + 2 * gamma * c + 2 * gamma**2 * c**2)
    return kernel


def test_value_by_loops_with_other_sizes() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 4).double(), torch.randn(5, 7).double()
    gap = expanded(student.numpy(), 0.4) - expanded(teacher.numpy(), 0.4)
    values = CC()(student, teacher)
    assert values.mean().item() == pytest.approx(np.linalg.norm(gap, "fro") ** 2 / 5**2)
    assert values.tolist() == pytest.approx([(row**2).mean() for row in gap])


def test_a_high_order_is_the_gaussian_kernel() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 4).double(), torch.randn(5, 7).double()
    kernels = []
    for x in (student.numpy(), teacher.numpy()):
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        kernels.append(np.exp(-0.7 * ((x[:, None] - x[None]) ** 2).sum(-1)))
    expected = ((kernels[0] - kernels[1]) ** 2).mean(1).tolist()
    assert CC(gamma=0.7, order=20)(student, teacher).tolist() == pytest.approx(expected)


def test_rotated_and_scaled_embeddings_correlate_alike() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 4).double()
    turn = torch.linalg.qr(torch.randn(4, 4).double())[0]
    assert CC()(2 * x @ turn, x).max().item() == pytest.approx(0.0, abs=1e-24)


def test_a_clip_alone_correlates_with_nothing() -> None:
    student = torch.randn(1, 4, requires_grad=True)
    value = CC()(student, torch.randn(1, 6))
    value.sum().backward()
    assert value.item() == pytest.approx(0.0, abs=1e-12)
    assert student.grad is not None
    assert student.grad.abs().max().item() < 1e-6


@pytest.mark.parametrize("zeros", [0, 1, 4])
def test_embeddings_without_variation_have_small_gradients(zeros: int) -> None:
    student = torch.ones(4, 3)
    student[:zeros] = 0
    student.requires_grad_()
    value = CC()(student, torch.randn(4, 5))
    value.sum().backward()
    assert value.isfinite().all()
    assert student.grad is not None
    assert student.grad.abs().max().item() < 10


def test_the_student_finds_the_teachers_correlations() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(8, 6, requires_grad=True), torch.randn(8, 5)
    before = CC()(student, teacher).mean().item()
    optimiser = torch.optim.Adam([student], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        CC()(student, teacher).mean().backward()
        optimiser.step()
    assert CC()(student, teacher).mean().item() < 0.01 * before
    cosines = [torch.nn.functional.normalize(x.detach()) for x in (student, teacher)]
    assert (cosines[0] @ cosines[0].T - cosines[1] @ cosines[1].T).abs().max().item() < 0.05


def test_gradient_is_that_of_the_value() -> None:
    student = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(CC(), (student, torch.randn(4, 5).double()))
