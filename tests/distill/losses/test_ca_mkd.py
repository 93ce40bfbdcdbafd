"""CA-MKD against loops over teachers and clips."""

import math

import pytest
import torch
from torch import Tensor

from pskd.distill.losses.ca_mkd import CAMKD, teacher_weights
from pskd.distill.losses.kd import kd


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(v) for v in values]
    return [p / sum(powers) for p in powers]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def given(clips: int = 4) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor], Tensor]:
    """What `forward` takes: two teachers, one with fewer and one with more time steps."""
    teachers = [draw(clips, 3, seed=s) for s in (1, 2)]
    features = [draw(clips, 5, 4, seed=3).relu(), draw(clips, 2, 16, seed=4).relu()]
    target = torch.eye(3)[[i % 3 for i in range(clips)]]
    return draw(clips, 3), draw(clips, 6, 8, seed=5), teachers, features, target


@pytest.mark.parametrize("count", [2, 3])
def test_weights_are_those_of_the_formula(count: int) -> None:
    logits = [2 * draw(4, 3, seed=s) for s in range(count)]
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.3, 0.7], [0.0, 0.0, 0.0]])
    weights = teacher_weights(logits, target)
    for clip in range(4):
        fits = []
        for teacher in logits:
            p = softmax(teacher[clip].tolist())
            fits.append(-sum(float(target[clip, k]) * math.log(p[k]) for k in range(3)))
        total = sum(math.exp(f) for f in fits)
        expected = [(1 - math.exp(f) / total) / (count - 1) for f in fits]
        assert weights[:, clip].tolist() == pytest.approx(expected, rel=1e-4)
    assert weights.sum(0).tolist() == pytest.approx([1.0] * 4)
    assert weights[:, 3].tolist() == pytest.approx([1 / count] * count)  # no label: all alike


def test_a_hopeless_teacher_is_hardly_heard_and_a_single_one_fully() -> None:
    right, wrong = torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1e4]])
    target = torch.tensor([[1.0, 0.0]])
    assert teacher_weights([right, wrong], target).tolist() == [[1.0], [0.0]]
    assert teacher_weights([wrong], target).tolist() == [[1.0]]


def test_value_is_the_weighted_sum_over_teachers() -> None:
    loss = CAMKD(6, [5, 2], temperature=3, features=7).eval()
    student, student_features, teachers, features, target = given()
    at_steps = [
        torch.nn.functional.interpolate(features[0], 8, mode="linear"),
        features[1].view(4, 2, 8, 2).mean(-1),
    ]
    expected = torch.zeros(4)
    for m, weight in enumerate(teacher_weights(teachers, target)):
        convolution = loss.regressors[m][0].weight.squeeze(-1)  # batch norm is new: almost nothing
        mapped = torch.einsum("ed,bdt->bet", convolution, student_features).relu()
        error = ((mapped - at_steps[m]) ** 2).flatten(1).mean(1)
        expected += weight * (kd(student, teachers[m], 3) + 7 * error)
    value = loss(student, student_features, teachers, features, target)
    assert value.tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_gradient() -> None:
    loss = CAMKD(6, [5, 2]).double()
    student, student_features, teachers, features, target = given()
    lists = [[t.double() for t in teachers], [f.double() for f in features], target.double()]
    inputs = (student.double().requires_grad_(), student_features.double().requires_grad_())
    assert torch.autograd.gradcheck(lambda s, f: loss(s, f, *lists), inputs)


@pytest.mark.parametrize("clips", [1, 4])
def test_flat_outputs_give_finite_values(clips: int) -> None:
    loss = CAMKD(6, [5, 2])
    student, student_features, teachers, features, target = given(clips)
    zeros = torch.zeros_like(student_features, requires_grad=True)
    value = loss(torch.zeros_like(student), zeros, teachers, features, torch.zeros_like(target))
    value.sum().backward()
    assert value.shape == (clips,)
    assert value.isfinite().all()
    assert zeros.grad is not None
    assert zeros.grad.isfinite().all()


def test_a_student_follows_the_teacher_that_is_right() -> None:
    _, student_features, _, features, target = given()
    student = torch.zeros(4, 3, requires_grad=True)
    right, wrong = 6 * target - 3, 6 * target.roll(1, 1) - 3
    loss = CAMKD(6, [5, 2], temperature=1)
    optimizer = torch.optim.Adam([student, *loss.parameters()], 0.05)
    start = loss(student, student_features, [wrong, right], features, target).mean().item()
    for _ in range(200):
        optimizer.zero_grad()
        loss(student, student_features, [wrong, right], features, target).mean().backward()
        optimizer.step()
    end = loss(student, student_features, [wrong, right], features, target).mean().item()
    assert end < start / 2
    assert (student.softmax(-1) - right.softmax(-1)).abs().max() < 0.02
