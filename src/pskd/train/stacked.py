"""Several students of one shape trained as one: the same arithmetic in fewer, larger operations.

The models' channels lie side by side, so that a convolution over all of them is one with more
groups, and a batch norm over all of them is one with more channels: its statistics are of single
channels, and no model sees another. `torch.func.vmap` would be shorter, but takes no
channels-last memory, and was slower on CPUs than training one model after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from pskd.models.base import Model, Output
from pskd.models.sensor import TemporalCNN


class Stacked(Model):
    """S models of one shape as one module; the models that are given stay as they are.

    The gradient of the sum of the models' losses is each model's own gradient, and AdamW treats
    every weight alone: a step of this module is a step of each model, up to rounding.

    Raises:
        ValueError: The models are not of one shape.
    """

    inputs = TemporalCNN.inputs

    def __init__(self, models: Sequence[TemporalCNN]) -> None:
        super().__init__()
        states = [model.state_dict() for model in models]
        shapes = [{name: value.shape for name, value in state.items()} for state in states]
        if any(shape != shapes[0] for shape in shapes):
            raise ValueError("models that are stacked must be of one shape")
        self.size = len(models)
        self.model = deepcopy(models[0])
        self.feature_channels = models[0].feature_channels
        for path, module in self.model.named_modules():
            if isinstance(module, nn.Conv2d):
                module.groups *= self.size
            for name, _ in list(module.named_parameters(recurse=False)):
                joined = torch.cat([state[f"{path}.{name}"] for state in states])
                setattr(module, name, nn.Parameter(joined))
            for name, buffer in list(module.named_buffers(recurse=False)):
                if buffer.dim():  # all but the number of batches
                    setattr(module, name, torch.cat([state[f"{path}.{name}"] for state in states]))

    def forward(self, acceleration: Tensor, masks: Tensor | None = None) -> Output:
        """Acceleration of each model's own batch [S, B, 3, T] -> its output, S in front.

        `masks` [S, B, 2D] take the place of a dropout that is drawn for all models at once.
        """
        head = self.model.head
        features = self.model.encoder(acceleration.transpose(0, 1).flatten(1, 2))
        features = features.unflatten(1, (self.size, -1)).transpose(0, 1)
        pooled = torch.cat([features.mean(-1), features.amax(-1)], -1)
        dropped = head.dropout(pooled) if masks is None else pooled * masks
        embedding = self._linear(head.embedding, dropped)
        return Output(self._linear(head.classifier, embedding), embedding, features)

    def draw_mask(self, batch: int) -> Tensor:
        """What dropout multiplies with in one model [B, 2D]: drawn just as that model draws it."""
        head = self.model.head
        weight = head.embedding.weight
        mask: Tensor = head.dropout(weight.new_ones(batch, weight.shape[1]))
        return mask

    def _linear(self, layer: nn.Linear, x: Tensor) -> Tensor:
        weight = layer.weight.view(self.size, -1, layer.in_features)
        return torch.baddbmm(layer.bias.view(self.size, 1, -1), x, weight.mT)

    def unstack(self) -> list[dict[str, Tensor]]:
        """Return a copy of each model's state, as its `load_state_dict` takes it."""
        state = self.model.state_dict()
        parts = {
            name: value.chunk(self.size) if value.dim() else [value] * self.size
            for name, value in state.items()
        }
        return [{name: part[i].clone() for name, part in parts.items()} for i in range(self.size)]
