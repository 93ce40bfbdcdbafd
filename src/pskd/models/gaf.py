"""Accelerometer-only students that see windows as Gramian angular field images.

The encoding is part of the model: it takes raw windows in g, and so does what is exported of it.
Columns of an image are time, so the per-time features are a feature map's mean over its rows.
"""

from __future__ import annotations

from torch import Tensor, cat, nn
from torch.nn import functional

from pskd.errors import UsageError, nearest
from pskd.models.base import Model, Output, Signal, register
from pskd.models.layers import Head, SeparableConv, channels_last, scaled
from pskd.signal.gaf import METHODS, gramian_angular_field

CHOICES = (*METHODS, "both")


class GafImages(nn.Module):
    """Raw acceleration [B, 3, S] -> images [B, channels, N, N], an axis (and method) a channel.

    Raises:
        UsageError: An unknown method, or images larger than the window has samples.
    """

    def __init__(self, signal: Signal, image_size: int, method: str) -> None:
        super().__init__()
        if method not in CHOICES:
            raise UsageError(f"unknown GAF method {method!r}", remedy=nearest(method, CHOICES))
        if not 1 <= image_size <= signal.samples:
            raise UsageError(
                f"GAF images of size {image_size} cannot be made from {signal.samples} samples",
                remedy=f"Set image_size to at most {signal.samples}, or take longer clips",
            )
        self.size = image_size
        self.methods = METHODS if method == "both" else (method,)
        self.channels = signal.channels * len(self.methods)

    def forward(self, acceleration: Tensor) -> Tensor:
        images = [gramian_angular_field(acceleration, self.size, m) for m in self.methods]
        return channels_last(cat(images, 1))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al., 2016, figure 5 left)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            self.shortcut.append(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


@register("gaf_resnet18")
class GafResNet18(Model):
    """The student of the method's lineage: GAF images, ResNet-18, embedding, classes.

    VSKD (Ni et al., arXiv 2112.01849) stacks the GASF of the three axes as one image of
    224 x 224 and has an embedding of 300. The network is ResNet-18 (He et al., "Deep residual
    learning for image recognition", CVPR 2016) with its last layer replaced. `embedding` is given
    before its ReLU: the class-name vectors that it is drawn to have negative values.

    Args:
        signal: The signals of the run.
        image_size: Pixels a side, at most the samples of a window.
        method: "summation" (GASF), "difference" (GADF) or "both", twice the channels.
        dropout: Before the embedding.
    """

    inputs = ("acceleration",)
    feature_channels = 512

    def __init__(
        self,
        signal: Signal,
        image_size: int = 96,
        method: str = "summation",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.images = GafImages(signal, image_size, method)
        self.stem = nn.Sequential(
            nn.Conv2d(self.images.channels, 64, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.blocks = nn.Sequential(
            *(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1)),
            *(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1)),
            *(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1)),
            *(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1)),
        )
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Linear(512, signal.embedding)
        self.classifier = nn.Linear(signal.embedding, signal.classes)

    def forward(self, acceleration: Tensor) -> Output:
        features = self.blocks(self.stem(self.images(acceleration))).mean(2)
        embedding = self.embedding(self.dropout(features.mean(-1)))
        return Output(self.classifier(functional.relu(embedding)), embedding, features)


@register("gaf_cnn")
class GafCNN(Model):
    """Small depthwise-separable CNN on GAF images, for a watch.

    Under 50,000 parameters for 27 classes and an embedding of 64; static shapes, no recurrence.

    Args:
        signal: The signals of the run.
        image_size: Pixels a side, at most the samples of a window.
        method: "summation" (GASF), "difference" (GADF) or "both", twice the channels.
        dropout: Before the embedding.
        width: What all numbers of channels are multiplied with, in multiples of 8; 1 leaves them.
    """

    inputs = ("acceleration",)

    def __init__(
        self,
        signal: Signal,
        image_size: int = 96,
        method: str = "summation",
        dropout: float = 0.2,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        self.images = GafImages(signal, image_size, method)
        a, b, c, d = scaled((24, 32, 64, 96), width)
        self.stem = nn.Sequential(
            nn.Conv2d(self.images.channels, a, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(a),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(
            SeparableConv(a, b, (3, 3), (2, 2)),
            SeparableConv(b, b, (3, 3), (1, 1)),
            SeparableConv(b, c, (3, 3), (2, 2)),
            SeparableConv(c, c, (3, 3), (1, 1)),
            SeparableConv(c, c, (3, 3), (1, 1)),
            SeparableConv(c, d, (3, 3), (1, 1)),
            SeparableConv(d, d, (3, 3), (1, 1)),
        )
        self.feature_channels = d
        self.head = Head(d, signal, dropout)

    def forward(self, acceleration: Tensor) -> Output:
        output: Output = self.head(self.blocks(self.stem(self.images(acceleration))).mean(2))
        return output
