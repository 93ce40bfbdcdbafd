"""RKD against loops over pairs and triplets, and where embeddings coincide."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pskd.distill.losses.rkd import RKDAngle, RKDDistance, rkd_angle, rkd_distance

BOTH = pytest.mark.parametrize("loss", [RKDDistance(), RKDAngle()])


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def huber(x: float) -> float:
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def distances(x: np.ndarray) -> np.ndarray:
    n = len(x)
    d = np.array([[np.sqrt(((x[i] - x[j]) ** 2).sum()) for j in range(n)] for i in range(n)])
    return d / np.mean([d[i, j] for i in range(n) for j in range(n) if i != j])


def cosine(x: np.ndarray, i: int, j: int, k: int) -> float:
    a, b = x[j] - x[i], x[k] - x[i]
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size else 0.0


def test_distance_is_that_of_loops_over_pairs() -> None:
    student, teacher = draw(6, 4), 5 * draw(6, 9, seed=1) ** 3
    s, t = distances(student.numpy()), distances(teacher.numpy())
    expected = np.mean([huber(s[i, j] - t[i, j]) for i in range(6) for j in range(6)])
    assert abs(s - t).max() > 1  # both branches of huber are used
    assert RKDDistance()(student, teacher).item() == pytest.approx(expected)


def test_angle_is_that_of_loops_over_triplets() -> None:
    student, teacher = draw(5, 4), draw(5, 7, seed=1)
    teacher[3] = teacher[1]  # no direction from one to the other
    s, t, triplets = student.numpy(), teacher.numpy(), list(np.ndindex(5, 5, 5))
    expected = np.mean([huber(cosine(s, *ijk) - cosine(t, *ijk)) for ijk in triplets])
    assert RKDAngle()(student, teacher).item() == pytest.approx(expected)


def test_neither_counts_shift_scale_or_turn_and_only_the_angle_is_not_about_distance() -> None:
    teacher = draw(8, 5)
    turn, _ = torch.linalg.qr(draw(5, 5, seed=1))
    student = 3 * teacher @ turn + 7
    assert rkd_distance(student, teacher).item() == pytest.approx(0, abs=1e-12)
    assert rkd_angle(student, teacher).item() == pytest.approx(0, abs=1e-12)
    line, stretched = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [1.0], [9.0]])
    assert rkd_angle(line, stretched).item() == 0
    assert rkd_distance(line, stretched).item() > 0.01


@BOTH
def test_gradient(loss: torch.nn.Module) -> None:
    student, teacher = draw(5, 3).requires_grad_(), draw(5, 4, seed=1)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), student)


@BOTH
@pytest.mark.parametrize(
    "student",
    [torch.ones(1, 4), torch.zeros(6, 4), torch.ones(6, 4), 1e-15 * torch.ones(6, 4).tril()],
    ids=["one clip", "zeros", "all the same", "tiny"],
)
def test_nothing_to_compare_gives_no_gradient(loss: torch.nn.Module, student: Tensor) -> None:
    student = student.clone().requires_grad_()
    teacher = draw(len(student), 3).float()
    value = loss(student, teacher)
    value.backward()
    assert student.grad is not None
    assert value.isfinite()
    assert student.grad.abs().max() < 1e-6
    assert loss(teacher, student.detach()).isfinite()
    if len(student) == 1:
        assert value.item() == 0


@BOTH
def test_two_clips_at_one_place_leave_the_others_their_gradient(loss: torch.nn.Module) -> None:
    student = draw(5, 3).float()
    student[1] = student[0]
    student.requires_grad_()
    loss(student, draw(5, 3, seed=1).float()).backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 10


@BOTH
def test_a_student_comes_to_have_the_relations_of_its_teacher(loss: torch.nn.Module) -> None:
    student, teacher = draw(8, 4).requires_grad_(), draw(8, 6, seed=1)
    before = np.abs(distances(student.detach().numpy()) - distances(teacher.numpy())).mean()
    start = loss(student, teacher).item()
    optimizer = torch.optim.Adam([student], 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(student, teacher).backward()
        optimizer.step()
    after = np.abs(distances(student.detach().numpy()) - distances(teacher.numpy())).mean()
    assert loss(student, teacher).item() < start / 10
    assert after < before / 2
