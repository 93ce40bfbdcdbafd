"""Dense motion targets: while it trains, a student predicts where the joints are.

The accelerometer is a second derivative of the wrist's path, so its features over time can be
asked for the body's motion. The head that does so is dropped after training. This part is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.distill.losses.base import register


class MotionHead(nn.Module):
    """Per-time features [B, D, T'] -> joint positions [B, J * C, T']."""

    def __init__(self, channels: int, coordinates: int) -> None:
        super().__init__()
        self.project = nn.Conv1d(channels, coordinates, 1)

    def forward(self, features: Tensor) -> Tensor:
        positions: Tensor = self.project(features)
        return positions


def motion_target(skeleton: Tensor, steps: int) -> Tensor:
    """Joint positions [B, F, J, C] averaged down to the student's time steps: [B, J * C, steps]."""
    return functional.adaptive_avg_pool1d(skeleton.flatten(2).transpose(1, 2), steps)


def motion_loss(predicted: Tensor, skeleton: Tensor, moves: Tensor) -> Tensor:
    """Mean squared error in squared torso lengths; 0 for clips that have no such target: [B].

    Clips without a skeleton have none, nor have those whose two signals are not aligned in time.
    """
    target = motion_target(skeleton, predicted.shape[-1])
    error = (predicted - target).square().mean((1, 2))
    return torch.where(moves, error, 0.0)


@register("motion")
class DenseMotion(nn.Module):
    """The student's features over time say where the joints are, through a `MotionHead` of its own.

    L = mean over joints and time steps of (predicted - position)^2, in squared torso lengths:
    `motion_loss`. Ours.

    Args:
        student_channels: D of the student's features.
        coordinates: J * C of the skeleton.

    Example:
        >>> import torch
        >>> loss = DenseMotion(student_channels=3, coordinates=4)
        >>> loss(torch.zeros(5, 3, 8), torch.zeros(5, 16, 2, 2)).shape
        torch.Size([5])
    """

    def __init__(self, student_channels: int, coordinates: int) -> None:
        super().__init__()
        self.head = MotionHead(student_channels, coordinates)

    def forward(self, student_features: Tensor, skeleton: Tensor) -> Tensor:
        predicted = self.head(student_features)
        every = torch.ones(len(predicted), dtype=torch.bool, device=predicted.device)
        return motion_loss(predicted, skeleton, every)
