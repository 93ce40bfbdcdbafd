"""Dense motion targets: while it trains, a student predicts where the joints are.

The accelerometer is a second derivative of the wrist's path, so its features over time can be
asked for the body's motion. The head that does so is dropped after training. This part is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


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
