"""VID: the Gaussian log-likelihood against torch's own, and its least value."""

import math

import pytest
import torch

from pskd.distill.losses.vid import VID


def test_value_is_the_log_likelihood_without_its_constant() -> None:
    torch.manual_seed(0)
    loss = VID(student_channels=3, teacher_channels=5).double()
    with torch.no_grad():
        loss.spread.copy_(torch.randn(5, 1))
    student, teacher = torch.randn(2, 3, 4).double(), torch.randn(2, 5, 4).double()
    first, second, third = (loss.regressor[k].weight.detach().squeeze(-1) for k in (0, 2, 4))
    expected = []
    for s, t in zip(student, teacher, strict=True):
        total = 0.0
        for k in range(4):
            mean = third @ (second @ (first @ s[:, k]).clamp(min=0)).clamp(min=0)
            for c in range(5):
                deviation = math.sqrt(math.log(1 + math.exp(loss.spread[c].item())) + 1e-5)
                density = torch.distributions.Normal(mean[c].item(), deviation)
                total -= density.log_prob(t[c, k]).item() + math.log(2 * math.pi) / 2
        expected.append(total / (5 * 4))
    assert loss(student, teacher).tolist() == pytest.approx(expected)


def test_the_first_variance_is_the_one_asked_for() -> None:
    loss = VID(2, 3, variance=0.5)
    nothing = torch.zeros(1, 2, 4)
    assert loss(nothing, torch.zeros(1, 3, 4)).item() == pytest.approx(math.log(0.5) / 2)
    # A mean of 0, ones to tell: half of 1 / variance more.
    assert loss(nothing, torch.ones(1, 3, 4)).item() == pytest.approx(math.log(0.5) / 2 + 1)


def test_a_channel_that_cannot_be_told_gets_its_own_variance() -> None:
    torch.manual_seed(0)
    loss = VID(2, 2, variance=1.0)
    student = torch.zeros(64, 2, 8)
    teacher = torch.randn(64, 2, 8) * torch.tensor([[0.5], [2.0]])
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.3)
    for _ in range(120):
        optimiser.zero_grad()
        loss(student, teacher).mean().backward()
        optimiser.step()
    measured = teacher.square().mean((0, 2))  # the likeliest variance about a mean of 0
    learnt = torch.nn.functional.softplus(loss.spread).flatten()
    assert learnt.tolist() == pytest.approx(measured.tolist(), rel=0.02)
    least = (1 + measured.log()).mean().item() / 2
    assert loss(student, teacher).mean().item() == pytest.approx(least, abs=1e-3)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_features_without_variation_have_finite_gradients(batch: int, fill: float) -> None:
    loss = VID(3, 5, variance=1e-4)
    student = torch.full((batch, 3, 8), fill, requires_grad=True)
    value = loss(student, torch.full((batch, 5, 3), fill))
    value.sum().backward()
    assert value.isfinite().all()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_the_student_learns_to_tell_of_the_teacher() -> None:
    torch.manual_seed(0)
    loss = VID(5, 5, variance=1.0)
    student, teacher = torch.randn(8, 5, 4, requires_grad=True), torch.rand(8, 5, 4)
    optimiser = torch.optim.Adam([student, *loss.parameters()], lr=0.03)
    for _ in range(150):
        optimiser.zero_grad()
        loss(student, teacher).mean().backward()
        optimiser.step()
    spread = teacher.var((0, 2))
    untold = (1 + spread.log()).mean().item() / 2  # who only knows each channel's mean
    assert loss(student, teacher).mean().item() < untold - 0.5
    gap = (loss.regressor(student) - teacher).square().mean().item()
    assert gap < 0.5 * spread.mean().item()


def test_gradient_is_that_of_the_value() -> None:
    torch.manual_seed(0)
    loss = VID(3, 2).double()
    student = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (student, torch.randn(2, 2, 4).double()))
