"""Accelerometer-only network: the default student and, wider, the accelerometer teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.models.base import Model, Output, Signal, register


class SeparableConv(nn.Module):
    """Depthwise convolution over time, then a pointwise one; residual where the shape stays.

    Takes and gives [B, C, 1, T]: time convolutions are written as two-dimensional ones of height
    1, which edge runtimes take whole and which run faster with channels last on CPUs.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels_in,
            channels_in,
            (1, kernel),
            stride=(1, stride),
            padding=(0, kernel // 2),
            groups=channels_in,
            bias=False,
        )
        self.depthwise_norm = nn.BatchNorm2d(channels_in)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.residual = channels_in == channels_out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.pointwise(self.depthwise_norm(self.depthwise(x))))
        return functional.relu(x + y if self.residual else y)


def separable_stack(
    channels_in: int, widths: Sequence[int], strides: Sequence[int], kernel: int
) -> nn.Sequential:
    """Separable convolutions in a row; raises ValueError if widths and strides differ in length."""
    pairs = zip([channels_in, *widths], [*widths, 0], strides, strict=False)
    if len(widths) != len(strides):
        raise ValueError(f"{len(widths)} widths but {len(strides)} strides")
    return nn.Sequential(*(SeparableConv(i, o, kernel, s) for i, o, s in pairs))


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
        self.blocks = separable_stack(stem, widths, strides, kernel)

    def forward(self, acceleration: Tensor) -> Tensor:
        x = acceleration.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.blocks(self.stem(x)).squeeze(2)
        return features


class Head(nn.Module):
    """Per-time features [B, D, T'] -> mean and maximum over time -> embedding -> logits."""

    def __init__(self, channels: int, signal: Signal, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Linear(2 * channels, signal.embedding)
        self.classifier = nn.Linear(signal.embedding, signal.classes)

    def forward(self, features: Tensor) -> Output:
        pooled = torch.cat([features.mean(-1), features.amax(-1)], 1)
        embedding = self.embedding(self.dropout(pooled))
        return Output(self.classifier(embedding), embedding, features)


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
    ) -> None:
        super().__init__()
        self.encoder = SensorEncoder(signal.channels, stem, widths, strides, kernel)
        self.head = Head(self.encoder.channels, signal, dropout)
        self.feature_channels = self.encoder.channels

    def forward(self, acceleration: Tensor) -> Output:
        output: Output = self.head(self.encoder(acceleration))
        return output
