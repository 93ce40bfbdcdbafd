"""FitNet: the hint against loops over the paper's sum, and the alignment in time."""

import numpy as np
import pytest
import torch

from pskd.distill.losses.fitnet import FitNet, to_steps


def test_value_by_hand() -> None:
    torch.manual_seed(0)
    loss = FitNet(student_channels=3, teacher_channels=5).double()
    student, teacher = torch.randn(2, 3, 4).double(), torch.randn(2, 5, 4).double()
    weight = loss.regressor.weight.detach().numpy()[:, :, 0]
    bias = loss.regressor.bias.detach().numpy()
    expected = []
    for s, t in zip(student.numpy(), teacher.numpy(), strict=True):
        squares = [(weight @ s[:, k] + bias - t[:, k]) ** 2 for k in range(4)]
        expected.append(np.sum(squares) / (5 * 4))
    assert loss(student, teacher).tolist() == pytest.approx(expected)


def test_steps_are_averaged_down_and_interpolated_up() -> None:
    ramp = torch.arange(8.0).view(1, 1, 8)
    assert to_steps(ramp, 4).flatten().tolist() == [0.5, 2.5, 4.5, 6.5]
    assert torch.equal(to_steps(ramp, 8), ramp)
    back = to_steps(ramp, 16).flatten().tolist()  # every sample stands in the middle of its share
    assert back == [0, *(0.25 + 0.5 * k for k in range(14)), 7]


def test_nothing_is_lost_when_the_regressor_gives_the_teacher() -> None:
    loss = FitNet(3, 3)
    torch.nn.init.dirac_(loss.regressor.weight)
    torch.nn.init.zeros_(loss.regressor.bias)
    x = torch.randn(4, 3, 8)
    assert loss(x, x).tolist() == [0.0] * 4


@pytest.mark.parametrize("batch", [1, 4])
def test_features_without_variation_have_finite_gradients(batch: int) -> None:
    loss = FitNet(3, 5)
    for fill in (0.0, 1.0):
        student = torch.full((batch, 3, 8), fill, requires_grad=True)
        value = loss(student, torch.full((batch, 5, 3), fill))
        value.sum().backward()
        assert value.isfinite().all()
        assert student.grad is not None
        assert student.grad.isfinite().all()


def test_student_and_regressor_learn_the_hint_together() -> None:
    torch.manual_seed(0)
    loss = FitNet(6, 5)
    student, teacher = torch.randn(8, 6, 4, requires_grad=True), torch.randn(8, 5, 4)
    before = loss(student, teacher).mean().item()
    optimiser = torch.optim.Adam([student, *loss.parameters()], lr=0.1)
    for _ in range(80):
        optimiser.zero_grad()
        loss(student, teacher).mean().backward()
        optimiser.step()
    assert loss(student, teacher).mean().item() < 0.01 * before


def test_gradient_is_that_of_the_value() -> None:
    loss = FitNet(3, 2).double()
    student = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (student, torch.randn(2, 2, 4).double()))
