"""Fused teacher: sees the skeleton and the accelerometer together."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from pskd.models.base import Model, Output, Signal, register
from pskd.models.layers import Head
from pskd.models.sensor import TemporalCNN
from pskd.models.skeleton import SkeletonGCN


@register("fused")
class Fused(Model):
    """Encoders of both modalities, their features side by side at every time step.

    Args:
        signal: The signals of the run.
        skeleton: Options of `skeleton_gcn`.
        sensor: Options of `temporal_cnn`.
        dropout: Before the embedding.
    """

    inputs = ("acceleration", "skeleton")

    def __init__(
        self,
        signal: Signal,
        skeleton: Mapping[str, object] | None = None,
        sensor: Mapping[str, object] | None = None,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.skeleton = SkeletonGCN(signal, **(skeleton or {})).encoder  # type: ignore[arg-type]
        self.sensor = TemporalCNN(signal, **(sensor or {})).encoder  # type: ignore[arg-type]
        self.feature_channels = self.skeleton.channels + self.sensor.channels
        self.head = Head(self.feature_channels, signal, dropout)

    def forward(self, acceleration: Tensor, skeleton: Tensor) -> Output:
        body = self.skeleton(skeleton)
        wrist = self.sensor(acceleration)
        if wrist.shape[-1] != body.shape[-1]:
            wrist = functional.adaptive_avg_pool1d(wrist, body.shape[-1])
        output: Output = self.head(torch.cat([body, wrist], 1))
        return output
