"""DASK is the weighted sum of its three terms."""

import numpy as np
import pytest
import torch

from pskd.distill.losses.dask import DASK


def parts(student: np.ndarray, teacher: np.ndarray) -> tuple[float, float, float]:
    """Distance, angle and squared error, written out once more."""

    def huber(x: np.ndarray) -> float:
        return float(np.where(abs(x) < 1, x * x / 2, abs(x) - 0.5).mean())

    def relations(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        difference = x[None] - x[:, None]
        length = np.linalg.norm(difference, axis=-1)
        unit = difference / np.where(length == 0, 1, length)[..., None]
        return length / length[length > 0].mean(), np.einsum("ije,ike->ijk", unit, unit)

    (d, a), (e, b) = relations(student), relations(teacher)
    return huber(d - e), huber(a - b), float(((student - teacher) ** 2).mean())


def test_value() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(6, 4), torch.randn(6, 4)
    distance, angle, error = parts(student.double().numpy(), teacher.double().numpy())
    assert DASK(4, 4)(student, teacher).item() == pytest.approx(distance + angle + error, rel=1e-5)
    loss = DASK(4, 4, distance=2, angle=0.5, semantic=0)
    assert loss(student, teacher).item() == pytest.approx(2 * distance + angle / 2, rel=1e-5)
    assert DASK(4, 4)(teacher, teacher).item() == 0


def test_other_sizes_need_a_map_for_the_error_only() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(6, 4), torch.randn(6, 9)
    loss = DASK(4, 9)
    relational = DASK(4, 9, semantic=0)(student, teacher)
    error = (loss.error.map(student) - teacher).square().mean()
    assert loss(student, teacher).item() == pytest.approx((relational + error).item(), rel=1e-5)


def test_one_clip_leaves_the_error() -> None:
    student = torch.tensor([[1.0, 2.0]], requires_grad=True)
    value = DASK(2, 2)(student, torch.tensor([[0.0, 0.0]]))
    value.backward()
    assert value.item() == 2.5
    assert student.grad is not None
    assert student.grad.tolist() == [[1.0, 2.0]]


def test_gradient_and_descent() -> None:
    torch.manual_seed(0)
    student = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    teacher, loss = torch.randn(6, 3, dtype=torch.float64), DASK(3, 3)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), student)
    optimizer = torch.optim.Adam([student], 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss(student, teacher).backward()
        optimizer.step()
    assert (student - teacher).abs().max() < 0.05
