"""Skeleton teacher: graph convolutions over joints, then convolutions over time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.data.skeleton import SkeletonLayout
from pskd.models.base import Model, Output, Signal, register
from pskd.models.layers import Head, time_stack

FRAME_DIFFERENCES = 8.0
"""Gain of the motion streams: brings differences of frames to the size of positions."""


def streams(skeleton: Tensor, parents: Tensor) -> Tensor:
    """Joints, bones and their motions: [B, F, J, C] -> [B, F, J, 4 * C].

    The four streams of multi-stream graph networks (2s-AGCN, Shi et al. 2019, and successors),
    here as input channels of one network instead of one network each.
    """
    bones = skeleton - skeleton[:, :, parents]
    still = torch.cat([skeleton, bones], -1)
    motion = functional.pad(still.diff(dim=1), (0, 0, 0, 0, 1, 0)) * FRAME_DIFFERENCES
    return torch.cat([still, motion], -1)


def adjacency(layout: SkeletonLayout) -> Tensor:
    """Three ways to mix joints, where learning starts: itself, its neighbours, all: [3, J, J]."""
    joints = len(layout.joints)
    near = torch.eye(joints)
    for child, parent in layout.edges:
        near[child, parent] = near[parent, child] = 1.0
    near /= near.sum(1, keepdim=True)
    return torch.stack([torch.eye(joints), near, torch.full((joints, joints), 1 / joints)])


class GraphConv(nn.Module):
    """Learned mixing of joints, then a separable convolution over time; residual.

    Takes and gives [B, C, F, J] with channels last, so that mixing joints is one matrix product.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, mixes: Tensor) -> None:
        super().__init__()
        ways, joints, _ = mixes.shape
        self.mixes = nn.Parameter(mixes.transpose(0, 1).reshape(joints * ways, joints).clone())
        self.graph = nn.Conv2d(ways * channels_in, channels_out, 1, bias=False)
        self.graph_norm = nn.BatchNorm2d(channels_out)
        self.depthwise = nn.Conv2d(
            channels_out,
            channels_out,
            (5, 1),
            stride=(stride, 1),
            padding=(2, 0),
            groups=channels_out,
            bias=False,
        )
        self.pointwise = nn.Conv2d(channels_out, channels_out, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != channels_out or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, (stride, 1), bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        size, channels, frames, joints = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(size * frames, joints, channels)
        mixed = (self.mixes @ rows).view(size, frames, joints, -1).permute(0, 3, 1, 2)
        y = functional.relu(self.graph_norm(self.graph(mixed)))
        y = self.norm(self.pointwise(self.depthwise(y)))
        return functional.relu(y + self.shortcut(x))


class SkeletonEncoder(nn.Module):
    """Normalised skeleton [B, F, J, C] -> features [B, D, T']."""

    parents: Tensor
    shown: Tensor

    def __init__(
        self,
        layout: SkeletonLayout,
        graph: Sequence[Sequence[int]],
        squeeze: int,
        widths: Sequence[int],
        strides: Sequence[int],
        kernel: int,
        joints: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("parents", torch.tensor(layout.parents), persistent=False)
        shown = torch.ones(len(layout.joints), 1)
        if joints is not None:
            if not joints:
                raise ValueError("joints is empty")
            shown.zero_()[[layout.index(joint) for joint in joints]] = 1.0
        self.register_buffer("shown", shown, persistent=False)
        channels = 4 * layout.dims
        self.norm = nn.BatchNorm2d(channels)
        blocks, mixes = [], adjacency(layout)
        for width, stride in graph:
            blocks.append(GraphConv(channels, width, stride, mixes))
            channels = width
        self.graph = nn.Sequential(*blocks)
        self.squeeze = nn.Conv2d(channels, squeeze, 1)
        self.gather = nn.Sequential(
            nn.Conv2d(squeeze * len(layout.joints), widths[0], 1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.time = time_stack(widths[0], widths, strides, kernel)
        self.channels = widths[-1]

    def forward(self, skeleton: Tensor) -> Tensor:
        x = streams(skeleton * self.shown, self.parents).permute(0, 3, 1, 2)
        x = functional.relu(self.squeeze(self.graph(self.norm(x))))
        body = x.transpose(2, 3).flatten(1, 2).unsqueeze(2)  # joints become channels
        features: Tensor = self.time(
            self.gather(body.contiguous(memory_format=torch.channels_last))
        )
        return features.squeeze(2)


@register("skeleton_gcn")
class SkeletonGCN(Model):
    """Skeleton graph network.

    Args:
        signal: The signals of the run.
        graph: (channels, time stride) of each graph convolution.
        squeeze: Channels a joint keeps when joints become channels.
        widths: Channels of the separable time convolutions.
        strides: Their time strides.
        kernel: Frames that they span, odd.
        dropout: Before the embedding.
        joints: Names of those that it sees, the others being at the root; all if None. A teacher
            that sees less of the body than there is stands nearer to the student.

    Raises:
        UsageError: The layout has no such joint.
    """

    inputs = ("skeleton",)

    def __init__(
        self,
        signal: Signal,
        graph: Sequence[Sequence[int]] = ((48, 2), (64, 1)),
        squeeze: int = 32,
        widths: Sequence[int] = (128, 128, 128),
        strides: Sequence[int] = (2, 1, 1),
        kernel: int = 7,
        dropout: float = 0.3,
        joints: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = SkeletonEncoder(
            signal.layout, graph, squeeze, widths, strides, kernel, joints
        )
        self.head = Head(self.encoder.channels, signal, dropout)
        self.feature_channels = self.encoder.channels

    def forward(self, skeleton: Tensor) -> Output:
        output: Output = self.head(self.encoder(skeleton))
        return output
