"""Accelerometer-only network: the default student and, wider, the accelerometer teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pskd.models.base import Model, Output, Signal, register
from pskd.models.layers import Head, channels_last, scaled, time_stack


class SensorEncoder(nn.Module):
    """Raw acceleration [B, 3, S] in g -> features [B, D, T']."""

    def __init__(
        self, channels: int, stem: int, widths: Sequence[int], strides: Sequence[int], kernel: int
    ) -> None:
        super().__init__()
        self.channels = widths[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, stem, (1, kernel), padding=(0, kernel // 2), bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
        )
        self.blocks = time_stack(stem, widths, strides, kernel)

    def forward(self, acceleration: Tensor) -> Tensor:
        x = channels_last(torch.unflatten(acceleration, 2, (1, -1)))
        features: Tensor = self.blocks(self.stem(x)).flatten(2)
        return features


@register("temporal_cnn")
class TemporalCNN(Model):
    """Depthwise-separable temporal CNN on raw windows.

    Static shapes, no recurrence, only operators that every edge runtime takes. With the default
    widths it has under 50,000 parameters for 27 classes.

    Args:
        signal: The signals of the run.
        widths: Channels of the separable blocks.
        strides: Time strides of the separable blocks.
        stem: Channels of the first convolution.
        kernel: Samples that a convolution spans, odd.
        dropout: Before the embedding.
        width: What `widths` and `stem` are multiplied with, in multiples of 8; 1 leaves them.
    """

    inputs = ("acceleration",)

    def __init__(
        self,
        signal: Signal,
        widths: Sequence[int] = (56, 56, 56, 64, 64, 64, 72, 72),
        strides: Sequence[int] = (2, 1, 1, 2, 1, 1, 1, 1),
        stem: int = 48,
        kernel: int = 9,
        dropout: float = 0.2,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        stem, *widths = scaled((stem, *widths), width)
        self.encoder = SensorEncoder(signal.channels, stem, widths, strides, kernel)
        self.head = Head(self.encoder.channels, signal, dropout)
        self.feature_channels = self.encoder.channels

    def forward(self, acceleration: Tensor) -> Output:
        output: Output = self.head(self.encoder(acceleration))
        return output
