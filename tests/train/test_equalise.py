"""Equalised channels: the same model, and int8 loses less of it."""

from pathlib import Path

import torch
from torch import Tensor

from pskd.models import Model, Signal, build
from pskd.models.layers import SeparableConv
from pskd.recipe import Recipe
from pskd.train.equalise import equalise
from pskd.train.prepare import prepare
from pskd.train.quantised import Int8


def spread_out(model: Model) -> None:
    """Make a model of the same function whose channels differ in size by far; one is silent."""
    draw = torch.Generator().manual_seed(0)
    for block in model.modules():
        if isinstance(block, SeparableConv):
            size = torch.exp(1.5 * torch.randn(len(block.depthwise.weight), generator=draw))
            block.depthwise_norm.weight *= size
            block.depthwise_norm.bias += 0.1 * size
            block.pointwise.weight /= size.view(1, -1, 1, 1)
            block.depthwise_norm.weight[0] = block.depthwise_norm.bias[0] = 0


@torch.no_grad()
def test_the_model_computes_the_same_and_int8_loses_less(tiny: Recipe, cache: Path) -> None:
    data = prepare(tiny, None, cache)
    torch.manual_seed(0)
    signal = Signal(classes=data.signal.classes, samples=data.signal.samples)
    model = build("temporal_cnn", signal, widths=(12, 12), strides=(2, 1), stem=8)
    windows = data.train.read("acceleration", torch.arange(len(data.train)))
    model.train()(windows)
    spread_out(model.eval())

    def lost_in_int8() -> Tensor:
        int8 = Int8(model)
        int8(model, windows, observe=True)
        return (int8(model, windows, observe=False).logits - before).square().mean().sqrt()

    before = model(windows).logits
    lost = lost_in_int8()
    equalise(model, data.train)
    torch.testing.assert_close(model(windows).logits, before, rtol=1e-4, atol=1e-5)
    assert lost_in_int8() < lost / 2
    reach: list[Tensor] = []
    for block in model.modules():
        if isinstance(block, SeparableConv):
            block.depthwise_norm.register_forward_hook(
                lambda module, _, output: reach.append(output.abs().amax((0, 2, 3)))
            )
    model(windows)
    for far in reach:
        torch.testing.assert_close(far[1:], far[1].expand(len(far) - 1))
        assert far[0] == 0
