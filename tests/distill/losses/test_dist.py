"""DIST against NumPy's correlation, and where there is none."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pskd.distill.losses.dist import DIST


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def probabilities(logits: Tensor, temperature: float) -> np.ndarray:
    powers = np.exp(logits.numpy() / temperature)
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("options", [(1.0, 1.0, 1.0), (2.0, 0.5, 4.0)])
def test_value_is_that_of_correlations(options: tuple[float, float, float]) -> None:
    beta, gamma, temperature = options
    student, teacher = draw(7, 5), draw(7, 5, seed=1)
    s, t = probabilities(student, temperature), probabilities(teacher, temperature)
    clips = np.mean([1 - np.corrcoef(s[i], t[i])[0, 1] for i in range(7)])
    classes = np.mean([1 - np.corrcoef(s[:, k], t[:, k])[0, 1] for k in range(5)])
    expected = temperature**2 * (beta * clips + gamma * classes)
    assert DIST(*options)(student, teacher).item() == pytest.approx(expected, rel=1e-4)


def test_what_only_correlates_is_as_good_as_equal() -> None:
    student, teacher = draw(6, 4), draw(6, 4, seed=1)
    assert DIST()(teacher, teacher).item() == pytest.approx(0, abs=1e-5)
    halfway = (0.5 * teacher.softmax(-1) + 0.5 / 4).log()  # each probability a linear map of its
    assert DIST()(halfway, teacher).item() == pytest.approx(0, abs=1e-5)
    assert DIST()(student, teacher).item() > 0.1


def test_gradient() -> None:
    student, teacher = draw(5, 4).requires_grad_(), draw(5, 4, seed=1)
    assert torch.autograd.gradcheck(lambda s: DIST()(s, teacher), student)


@pytest.mark.parametrize("scale", [0.0, 1e-7])
@pytest.mark.parametrize("clips", [1, 4])
def test_a_student_that_says_nothing_yet_has_no_correlation_and_no_wild_gradient(
    clips: int, scale: float
) -> None:
    student = (scale * draw(clips, 5)).float().requires_grad_()
    teacher = draw(clips, 5, seed=1).float()
    value = DIST()(student, teacher)
    value.backward()
    assert student.grad is not None
    assert value.item() == (1 if clips == 1 else 2)
    assert student.grad.abs().max() == 0
    assert DIST()(teacher, student.detach()).isfinite()


def test_one_clip_has_a_relation_over_classes_only() -> None:
    student, teacher = draw(1, 5), draw(1, 5, seed=1)
    r = np.corrcoef(probabilities(student, 1)[0], probabilities(teacher, 1)[0])[0, 1]
    assert DIST()(student, teacher).item() == pytest.approx(1 - r, rel=1e-4)


def test_a_student_comes_to_rank_as_its_teacher_does() -> None:
    student, teacher = draw(6, 5).requires_grad_(), draw(6, 5, seed=1)
    loss, optimizer = DIST(), torch.optim.Adam([student], 0.05)
    start = loss(student, teacher).item()
    for _ in range(300):
        optimizer.zero_grad()
        loss(student, teacher).backward()
        optimizer.step()
    assert loss(student, teacher).item() < start / 100
    assert (student.argmax(-1) == teacher.argmax(-1)).all()
