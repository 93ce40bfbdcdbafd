"""Channels of one size between two layers, so that one range an int8 tensor holds them all well.

What lies between a normalisation and the convolution after it can be scaled channel by channel, if
the convolution's weights are scaled back: the model computes what it did.

Source: Nagel et al., "Data-free quantization through weight equalization and bias correction",
ICCV 2019 (arXiv 1906.04721), section 4.1. There the ranges of both layers' weights are made equal;
here those of the activations are, since weights have a scale an output channel and activations
have only one.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pskd.data.clips import Clips
from pskd.models import Model
from pskd.train.fit import predict
from pskd.train.quantised import Int8


@torch.no_grad()
def equalise(model: Model, clips: Clips) -> None:
    """Rescale weights in place so that channels between two layers reach equally far.

    Args:
        model: A trained model.
        clips: Training clips, to see how far they reach now.

    Raises:
        UsageError: The model cannot be quantised.
    """
    pairs = _pairs(model)
    reach: dict[nn.Module, Tensor] = {}
    hooks = [norm.register_forward_hook(partial(_watch, reach)) for norm, _ in pairs]
    predict(model, clips)
    for hook in hooks:
        hook.remove()
    for norm, convolution in pairs:
        size = reach[norm] / reach[norm].mean()
        size[size < 1e-6] = 1  # silent channels stay as they are
        norm.weight.div_(size)
        norm.bias.div_(size)
        convolution.weight.mul_(size.view(-1, 1, 1))


def _pairs(model: Model) -> list[tuple[nn.BatchNorm2d, nn.Conv2d]]:
    """Normalisations whose output goes to one convolution over all channels, and nowhere else."""
    modules: dict[Any, nn.Module] = dict(model.named_modules())
    pairs = []
    for node in Int8(model).graph.nodes:
        norm, users = modules.get(node.target), list(node.users)
        after = modules.get(users[0].target) if len(users) == 1 else None
        if isinstance(norm, nn.BatchNorm2d) and isinstance(after, nn.Conv2d) and after.groups == 1:
            pairs.append((norm, after))
    return pairs


def _watch(reach: dict[nn.Module, Tensor], norm: nn.Module, _: Any, output: Tensor) -> None:
    far = output.abs().amax((0, 2, 3))
    reach[norm] = torch.maximum(reach[norm], far) if norm in reach else far
