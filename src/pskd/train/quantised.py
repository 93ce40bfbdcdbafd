"""Simulated int8: a model computes as its exports will, so that training learns to bear rounding.

The scheme is that of the exports. Weights are int8 and symmetric, a scale an output channel, after
the normalisation that follows a convolution is folded into it; activations have 256 levels and one
range a tensor. Biases, which exports keep in 32 bits, are not rounded. Rounding passes gradients
straight through. Normalisations keep their running statistics, as an export does.

Source: Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", CVPR 2018 (arXiv 1712.05877); Krishnamoorthi, "Quantizing deep
convolutional networks for efficient inference: a whitepaper", arXiv 1806.08342.

torchao does this on exported graphs, each for one runtime; here the model stays the plain one and
its weights are those of the checkpoint.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from pskd.errors import UsageError
from pskd.models import Model, Output

MEMORY = 100
"""Batches that a range is the moving average of."""

_FUNCTIONS = {operator.add, torch.add, torch.cat, torch.mean, Output}
"""Functions that exports compute in int8, so that their inputs are rounded; `Output` leaves."""


def round_weight(weight: Tensor) -> Tensor:
    """Weights [out, ...] as int8 holds them: -127 to 127 times a scale an output channel."""
    scale = weight.detach().flatten(1).abs().amax(1).clamp(min=1e-12) / 127
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)


def round_activation(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Activations as 256 levels from `low` to `high` hold them; 0 is always one of the levels.

    What is beyond the range is cut off and has no gradient.
    """
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = (high - low).clamp(min=1e-12) / 255
    zero = (-low / scale).round().int()
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)


def fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a convolution and the normalisation behind it, as one convolution."""
    weight, bias = convolution.weight, convolution.bias
    if norm is None:
        return weight, bias
    gain, shift = as_line(norm)
    return weight * gain.view(-1, 1, 1, 1), shift if bias is None else shift + bias * gain


def as_line(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Gain and shift of each channel that a normalisation amounts to once it is trained."""
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None and var is not None  # there since every model is trained with them
    gain = norm.weight / (var + norm.eps).sqrt()
    return gain, norm.bias - mean * gain


class Int8(nn.Module):
    """How a model computes in int8; it holds ranges of activations and no weights.

    Args:
        model: The model, or one like it.

    Raises:
        UsageError: It has no convolution, or decides by its numbers what to compute.
    """

    ranges: Tensor
    seen: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
            raise UsageError(
                "the model has no convolution to quantise", remedy="Take another, or leave it float"
            )
        try:
            self.graph = _Tracer().trace(model)
        except (fx.proxy.TraceError, TypeError) as error:
            raise UsageError(f"the model cannot be quantised: {error}") from error
        modules = dict(model.named_modules())
        self.norms: dict[str, str] = {}
        """Convolution -> the normalisation that is folded into it, by their names in the model."""
        rounded: list[str] = []
        for node in self.graph.nodes:
            module = modules.get(str(node.target)) if node.op == "call_module" else None
            after = list(node.users)
            alone = isinstance(module, nn.Conv2d) and len(after) == 1
            if alone and isinstance(modules.get(str(after[0].target)), nn.BatchNorm2d):
                self.norms[str(node.target)] = str(after[0].target)
            if (
                isinstance(module, nn.Conv2d | nn.Linear)
                or node.target in _FUNCTIONS
                or (node.op, node.target) == ("call_method", "mean")
            ):
                rounded += [_before_dropout(n, modules).name for n in node.all_input_nodes]
        self.places = {name: i for i, name in enumerate(dict.fromkeys(rounded))}
        """Where in `ranges` a value of the graph has its own."""
        self.register_buffer("ranges", torch.zeros(len(self.places), 2))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, model: Model, *signals: Tensor, observe: bool) -> Output:
        """Run the model in int8; with `observe`, ranges take up the extremes of this batch."""
        with torch.autocast(signals[0].device.type, enabled=False):
            output: Output = _Interpreter(model, self, observe).run(*signals)
        self.seen += observe
        return output

    def round(self, name: str, x: Tensor, observe: bool) -> Tensor:
        """Round a value of the graph, if it is one that is rounded."""
        place = self.places.get(name)
        if place is None:
            return x
        if observe:
            new = torch.stack(x.detach().aminmax())
            share = 1 / (self.seen + 1).clamp(max=MEMORY)
            self.ranges[place] += share * (new - self.ranges[place])
        return round_activation(x, *self.ranges[place])


class _Tracer(fx.Tracer):
    """Sees into modules down to convolutions and linear layers; others stay whole, and float."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        inner = any(isinstance(part, nn.Conv2d | nn.Linear) for part in m.modules())
        return not inner or super().is_leaf_module(m, module_qualified_name)


class _Interpreter(fx.Interpreter):
    def __init__(self, model: Model, int8: Int8, observe: bool) -> None:
        super().__init__(model, garbage_collect_values=False, graph=int8.graph)
        self.int8, self.observe = int8, observe

    def run_node(self, n: fx.Node) -> Any:
        return self.int8.round(n.name, super().run_node(n), self.observe)

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        layer, norms = self.fetch_attr(target), self.int8.norms
        if isinstance(layer, nn.Conv2d):
            norm = self.fetch_attr(norms[target]) if target in norms else None
            weight, bias = fold(layer, norm)
            return functional.conv2d(
                args[0],
                round_weight(weight),
                bias,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
                groups=layer.groups,
            )
        if isinstance(layer, nn.Linear):
            return functional.linear(args[0], round_weight(layer.weight), layer.bias)
        if target in norms.values():
            return args[0]
        if isinstance(layer, nn.BatchNorm2d):
            gain, shift = as_line(layer)
            return args[0] * gain.view(-1, 1, 1) + shift.view(-1, 1, 1)
        return super().call_module(target, args, kwargs)


def _before_dropout(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node:
    """The value that dropout takes, which is the one that an export rounds."""
    while isinstance(modules.get(str(node.target)), nn.Dropout):
        node = node.all_input_nodes[0]
    return node
