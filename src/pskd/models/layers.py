"""Layers that several models share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.models.base import Output, Signal

Pair = tuple[int, int]


def channels_last(x: Tensor) -> Tensor:
    """[B, C, H, W] in the order of memory that CPUs train faster in, unless it is exported."""
    return x if torch.compiler.is_compiling() else x.contiguous(memory_format=torch.channels_last)


class SeparableConv(nn.Module):
    """Depthwise convolution, then a pointwise one; residual where the shape stays.

    Takes and gives [B, C, H, W]. Convolutions over time alone are written with a height of 1:
    edge runtimes take them whole, and they run faster with channels last on CPUs.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: Pair, stride: Pair) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels_in,
            channels_in,
            kernel,
            stride,
            padding=(kernel[0] // 2, kernel[1] // 2),
            groups=channels_in,
            bias=False,
        )
        self.depthwise_norm = nn.BatchNorm2d(channels_in)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.residual = channels_in == channels_out and stride == (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.pointwise(self.depthwise_norm(self.depthwise(x))))
        return functional.relu(x + y if self.residual else y)


def time_stack(
    channels_in: int, widths: Sequence[int], strides: Sequence[int], kernel: int
) -> nn.Sequential:
    """Separable convolutions over time; ValueError if their options do not fit."""
    if kernel % 2 == 0:
        raise ValueError(f"kernel is {kernel}, not odd")
    inputs = [channels_in, *widths][: len(widths)]
    return nn.Sequential(
        *(
            SeparableConv(i, o, (1, kernel), (1, s))
            for i, o, s in zip(inputs, widths, strides, strict=True)
        )
    )


def scaled(channels: Sequence[int], width: float) -> tuple[int, ...]:
    """Numbers of channels times `width`, in multiples of 8; those given where `width` is 1.

    Kernels for CPUs work on 8 or 16 channels at a time and pad the rest: in ONNX Runtime 20
    channels take as long as 24, and 36 as long as 40.
    """
    if width <= 0:
        raise ValueError(f"width is {width}, not above 0")
    return tuple(c if width == 1 else 8 * max(1, round(c * width / 8)) for c in channels)


class Head(nn.Module):
    """Per-time features [B, D, T'] -> mean and maximum over time -> embedding -> logits."""

    def __init__(self, channels: int, signal: Signal, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Linear(2 * channels, signal.embedding)
        self.classifier = nn.Linear(signal.embedding, signal.classes)

    def forward(self, features: Tensor) -> Output:
        # Maps of height 1 and pooling layers are what edge runtimes take: the same numbers.
        maps = torch.unflatten(features, 2, (1, -1))
        mean = functional.adaptive_avg_pool2d(maps, 1)
        highest = functional.max_pool2d(maps, maps.shape[2:])
        pooled = torch.cat([mean.flatten(1), highest.flatten(1)], 1)
        embedding = self.embedding(self.dropout(pooled))
        return Output(self.classifier(embedding), embedding, features)
