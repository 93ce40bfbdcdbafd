"""A small transformer over patches of the window, like the student network of XTinyHAR."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pskd.models.base import Model, Output, Signal, register


class Attention(nn.Module):
    """Multi-head self-attention over tokens [B, N, D], in plain products (Vaswani et al. 2017).

    PyTorch's fused kernels have no deterministic backward pass on every device.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        parts = self.project(tokens).reshape(*tokens.shape[:2], 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # [B, heads, N, D / heads] each
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        heads = self.dropout(scores.softmax(-1)) @ value
        mixed: Tensor = self.mix(heads.transpose(1, 2).flatten(2))
        return mixed


class EncoderLayer(nn.Module):
    """Attention, then two linear layers, both normalised first and beside a shortcut."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.dropout(self.attention(self.attention_norm(tokens)))
        out: Tensor = tokens + self.feed_forward(tokens)
        return out


@register("xtinyhar")
class InertialTransformer(Model):
    """Patches of the window as tokens, learned positions, a class token, two encoder layers.

    Source: "A tiny inertial transformer for human activity recognition via multimodal knowledge
    distillation and explainable AI", Scientific Reports 2025, and the student in its authors' code
    (Ism-ail11/XTinyHAR): width 128, 2 layers, 4 heads, patches of 20 samples. Left out is their
    patch length that follows a window's variance, which their network takes no part in; 20 is the
    best of the fixed lengths in their table 8. Ours are the embedding, a linear layer between the
    class token and the classifier, the accelerometer without the gyroscope, and windows that are
    not normalised.

    Args:
        signal: The signals of the run.
        patch: Samples a token; what is left at the end of the window is dropped, as in their code.
        dropout: In attention, in the feed-forward net and behind both; 0.1 in their code.
    """

    inputs = ("acceleration",)
    feature_channels = 128

    def __init__(self, signal: Signal, patch: int = 20, dropout: float = 0.1) -> None:
        super().__init__()
        if not 1 <= patch <= signal.samples:
            raise ValueError(f"no patch of {patch} samples fits {signal.samples} samples")
        width = self.feature_channels
        self.patch, self.tokens = patch, signal.samples // patch
        self.project = nn.Linear(patch * signal.channels, width)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, self.tokens + 1, width))
        self.layers = nn.Sequential(*(EncoderLayer(width, 4, dropout) for _ in range(2)))
        self.norm = nn.LayerNorm(width)
        self.embedding = nn.Linear(width, signal.embedding)
        self.classifier = nn.Linear(signal.embedding, signal.classes)
        for parameter in (self.class_token, self.positions):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, acceleration: Tensor) -> Output:
        whole = acceleration[..., : self.tokens * self.patch]
        patches = whole.reshape(*whole.shape[:2], self.tokens, self.patch)
        tokens = self.project(patches.transpose(1, 2).flatten(2))
        first = self.class_token.expand(len(tokens), -1, -1)
        tokens = self.norm(self.layers(torch.cat([first, tokens], 1) + self.positions))
        embedding = self.embedding(tokens[:, 0])
        return Output(self.classifier(embedding), embedding, tokens[:, 1:].transpose(1, 2))
