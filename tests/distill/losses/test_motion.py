"""Dense motion targets against loops over frames and joints."""

import numpy as np
import pytest
import torch

from pskd.distill.losses.motion import DenseMotion, MotionHead, motion_loss, motion_target


def test_targets_are_means_of_frames_joint_by_joint() -> None:
    skeleton = torch.randn(2, 6, 4, 3)
    target = motion_target(skeleton, 3)
    assert target.shape == (2, 12, 3)
    for clip, joint, axis, step in np.ndindex(2, 4, 3, 3):
        expected = skeleton[clip, 2 * step : 2 * step + 2, joint, axis].mean().item()
        assert target[clip, 3 * joint + axis, step].item() == pytest.approx(expected, abs=1e-6)


def test_loss_is_the_mean_squared_error_of_clips_that_have_one() -> None:
    skeleton, predicted = torch.randn(3, 8, 2, 2), torch.randn(3, 4, 4)
    target = skeleton.reshape(3, 4, 2, 4).mean(2).transpose(1, 2)
    value = motion_loss(predicted, skeleton, torch.tensor([True, False, True]))
    errors = ((predicted - target) ** 2).flatten(1).mean(1).tolist()
    assert value.tolist() == pytest.approx([errors[0], 0, errors[2]], rel=1e-5)


def test_module_is_the_head_and_the_loss() -> None:
    loss = DenseMotion(student_channels=3, coordinates=4)
    features, skeleton = torch.randn(5, 3, 8), torch.randn(5, 16, 2, 2)
    weight, bias = loss.head.project.weight.squeeze(-1), loss.head.project.bias
    predicted = torch.einsum("cd,bdt->bct", weight, features) + bias.view(1, -1, 1)
    target = skeleton.reshape(5, 8, 2, 4).mean(2).transpose(1, 2)
    expected = ((predicted - target) ** 2).flatten(1).mean(1)
    assert loss(features, skeleton).tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert isinstance(loss.head, MotionHead)


def test_gradient_and_skeletons_shorter_than_the_features() -> None:
    loss = DenseMotion(3, 4).double()
    features = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    skeleton = torch.randn(2, 4, 2, 2, dtype=torch.float64)  # each frame counts for two steps
    assert torch.autograd.gradcheck(lambda f: loss(f, skeleton), features)
    assert motion_target(skeleton, 8)[0, 0, :4].tolist() == (
        skeleton[0, [0, 0, 1, 1], 0, 0].tolist()
    )


def test_features_come_to_say_where_the_joints_are() -> None:
    torch.manual_seed(0)
    loss, skeleton = DenseMotion(3, 4), torch.randn(2, 8, 2, 2)
    features = torch.zeros(2, 3, 4, requires_grad=True)
    optimizer = torch.optim.Adam([features, *loss.parameters()], 0.05)
    start = loss(features, skeleton).mean().item()
    for _ in range(300):
        optimizer.zero_grad()
        loss(features, skeleton).mean().backward()
        optimizer.step()
    assert loss(features, skeleton).mean().item() < start / 3
