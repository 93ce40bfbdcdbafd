"""TinyHAR: convolutions over each axis, attention across axes, an LSTM, attention over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.models.base import Model, Output, Signal, register

KERNEL, STRIDE = 5, 2
SPAN = 1 + (KERNEL - 1) * (1 + STRIDE + STRIDE**2 + STRIDE**3)  # samples that one time step sees


class AxisAttention(nn.Module):
    """Each axis adds what it finds in all axes at its time step; takes and gives [..., axes, F]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).transpose(-1, -2) / x.shape[-1] ** 0.5
        found: Tensor = x + self.gamma * (scores.softmax(-1) @ self.value(x))
        return found


class TimeAttention(nn.Module):
    """The last time step plus a weighted mean of all of them: [B, T', D] -> [B, D]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, steps: Tensor) -> Tensor:
        weights = self.score(torch.tanh(self.hidden(steps))).softmax(1)
        whole: Tensor = steps[:, -1] + self.gamma * (weights * steps).sum(1)
        return whole


@register("tinyhar")
class TinyHAR(Model):
    """Five small parts: a subnet an axis, axes that look at one another, fusion, LSTM, attention.

    Source: Zhou, Zhao, Huang, Hefenbrock, Riedel and Beigl, "TinyHAR: a lightweight deep learning
    model designed for human activity recognition", ISWC 2022, and the code of its authors
    (teco-kit/ISWC22-HAR). Where the two differ, the stride of every convolution is 2 as in the
    paper (1, 2, 1, 2 in the code), and attention across axes is the code's, without the
    feed-forward net of the paper's text, which is not in the 37,274 parameters reported for PAMAP2
    either. Attention starts switched off (gamma is 0), as in the code. Ours are the embedding, a
    linear layer between the last part and the classifier, windows that are not normalised, and 28
    filters where theirs has 20, so that it is no smaller than our student.

    Args:
        signal: The signals of the run.
        filters: F; features have 2F channels.
        dropout: Before axes are fused; 0.1 in their code.
    """

    inputs = ("acceleration",)

    def __init__(self, signal: Signal, filters: int = 28, dropout: float = 0.1) -> None:
        super().__init__()
        if signal.samples < SPAN:
            raise ValueError(f"windows of {signal.samples} samples leave no time step")
        self.feature_channels = width = 2 * filters
        self.convolutions = nn.Sequential()
        for channels in (1, filters, filters, filters):
            convolution = nn.Conv2d(channels, filters, (1, KERNEL), (1, STRIDE))
            self.convolutions.extend([convolution, nn.ReLU(), nn.BatchNorm2d(filters)])
        self.axes = AxisAttention(filters)
        self.dropout = nn.Dropout(dropout)
        self.fusion = nn.Linear(signal.channels * filters, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.time = TimeAttention(width)
        self.embedding = nn.Linear(width, signal.embedding)
        self.classifier = nn.Linear(signal.embedding, signal.classes)

    def forward(self, acceleration: Tensor) -> Output:
        maps = self.convolutions(acceleration.unsqueeze(1))  # [B, filters, axes, T']
        axes = self.dropout(self.axes(maps.permute(0, 3, 2, 1)))
        steps, _ = self.lstm(functional.relu(self.fusion(axes.flatten(2))))
        embedding = self.embedding(self.time(steps))
        return Output(self.classifier(embedding), embedding, steps.transpose(1, 2))
