"""What each PyTorch operator becomes: a step, another view of the same numbers, or an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.fx import Node

from pskd.edge.c99.builder import Builder
from pskd.edge.c99.graph import Array, Concat, Conv, Gram, Pair, Polar, Pool, Value

_LONGEST = 2**16 - 1  # the index of a sample in C is of 16 bits


def view(walk: Builder, node: Node, x: Value, *_: Any) -> Value:
    """The same numbers in another shape, where channels stay innermost."""
    seen = walk.shape(node, x.buffer)
    if (seen.channels, seen.size) != (x.channels, x.size):
        raise walk.unsupported(f"operator {node.target} that mixes channels with time")
    return seen


def convolution(
    walk: Builder,
    node: Node,
    x: Value,
    weights: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    _output_padding: Sequence[int],
    groups: int,
) -> Value:
    """Convolution over rows and columns, of all channels or channel by channel."""
    depthwise = groups == x.channels == len(weights)
    if transposed or set(dilation) != {1} or weights.dim() != 4 or not (groups == 1 or depthwise):
        raise walk.unsupported(f"operator {node.target} (transposed, dilated, 1-D or in groups)")
    return walk.add(
        Conv(
            walk.name(node, 1),
            x,
            walk.shape(node),
            numbers(weights),
            numbers(bias) if bias is not None else np.zeros(len(weights)),
            depthwise=depthwise,
            stride=_pair(stride),
            padding=_pair(padding),
        )
    )


def linear(walk: Builder, node: Node, bias: Tensor, x: Value, weights: Tensor) -> Value:
    """Bias + x @ weights, for one vector: a convolution with a 1 x 1 kernel."""
    kernel = numbers(weights).T[:, :, None, None]
    return walk.add(Conv(walk.name(node, 2), x, walk.shape(node), kernel, numbers(bias)))


def batch_norm(
    walk: Builder,
    node: Node,
    x: Value,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    _momentum: float,
    epsilon: float,
) -> tuple[Value]:
    """Scale and shift of each channel by running statistics."""
    scale = numbers(weight) / np.sqrt(numbers(variance) + epsilon)
    return (_channelwise(walk, node, x, scale, numbers(bias) - numbers(mean) * scale),)


def relu(walk: Builder, node: Node, x: Value) -> Value:
    """No number below 0."""
    return _channelwise(walk, node, x, relu=True)


def add(walk: Builder, node: Node, x: Value, y: Value) -> Value:
    """Sum of two values of one shape; the one that is known later takes up the other."""
    if not isinstance(x, Value) or not isinstance(y, Value) or x[1:] != y[1:]:
        raise walk.unsupported(f"operator {node.target} of two shapes")
    earlier, later = sorted((x, y), key=lambda value: value.buffer)
    return _channelwise(walk, node, later, shortcut=earlier)


def _channelwise(
    walk: Builder,
    node: Node,
    x: Value,
    scale: Array | None = None,
    bias: Array | None = None,
    **more: Any,
) -> Value:
    ones, zeros = np.ones(x.channels), np.zeros(x.channels)
    weights = (ones if scale is None else scale)[:, None, None, None]
    bias = zeros if bias is None else bias
    return walk.add(Conv(node.name, x, walk.shape(node), weights, bias, depthwise=True, **more))


def mean(walk: Builder, node: Node, x: Value, axes: Sequence[int], _keep: bool = False) -> Value:
    """Mean over rows, columns or both."""
    return _reduce(walk, node, x, axes, "mean")


def amax(walk: Builder, node: Node, x: Value, axes: Sequence[int], _keep: bool = False) -> Value:
    """Maximum over rows, columns or both."""
    return _reduce(walk, node, x, axes, "max")


def _reduce(walk: Builder, node: Node, x: Value, axes: Sequence[int], kind: str) -> Value:
    rank = node.args[0].meta["val"].dim()  # type: ignore[union-attr]
    over = {axis % rank for axis in axes}
    if not over <= {rank - 1, rank - 2} - {0, 1}:
        raise walk.unsupported(f"operator {node.target} over channels")
    kernel = (x.rows if rank - 2 in over else 1, x.columns if rank - 1 in over else 1)
    return walk.add(Pool(kind, x, walk.shape(node), kernel, kernel))


def max_pool(
    walk: Builder,
    node: Node,
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> tuple[Value]:
    """Maximum over rectangles."""
    if set(dilation) != {1} or ceil_mode:
        raise walk.unsupported(f"operator {node.target} (dilated or rounded up)")
    pool = Pool("max", x, walk.shape(node), *map(_pair, (kernel, stride or kernel, padding)))
    return (walk.add(pool),)


def concat(walk: Builder, node: Node, parts: Sequence[Value], axis: int = 0) -> Value:
    """Vectors, one behind the other."""
    if axis % node.meta["val"].dim() != 1 or any((p.rows, p.columns) != (1, 1) for p in parts):
        raise walk.unsupported(f"operator {node.target} of more than vectors")
    return walk.add(Concat(tuple(parts), walk.shape(node)))


def images(walk: Builder, node: Node, _window: Any, size: int, methods: str) -> Value:
    """Gramian angular fields; the stretches are those of `pskd.signal.gaf`."""
    samples = walk.config.samples
    if samples > _LONGEST:
        raise walk.unsupported(f"Gramian angular fields of more than {_LONGEST} samples")
    bounds = (*(int(i * (samples / size)) for i in range(size)), samples)
    polar = walk.add(Polar(walk.new(1, size, 6), bounds))
    return walk.add(Gram(polar, walk.shape(node), tuple(methods.split())))


def softmax(walk: Builder, node: Node, x: Value, *_: Any) -> Probabilities:
    """Probabilities of the logits: the end of every student, and nowhere else."""
    if x != walk.steps[-1].output:
        raise walk.unsupported(f"operator {node.target} before the end")
    return Probabilities()


class Probabilities:
    """What the softmax of the logits is known as."""


def numbers(tensor: Tensor) -> Array:
    """Of a constant, as they are folded."""
    return tensor.double().numpy()


def _pair(sizes: Sequence[int]) -> Pair:
    return (sizes[0], sizes[-1])


VIEWS = (
    *("clone.default", "contiguous.default", "alias.default", "_to_copy.default"),
    *("view.default", "reshape.default", "squeeze.dim", "squeeze.dims", "unsqueeze.default"),
)

OPERATORS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(VIEWS, view),
    "_native_batch_norm_legit_no_training.default": batch_norm,
    "_softmax.default": softmax,
    "add.Tensor": add,
    "addmm.default": linear,
    "amax.default": amax,
    "cat.default": concat,
    "convolution.default": convolution,
    "max_pool2d_with_indices.default": max_pool,
    "mean.dim": mean,
    "pskd.gaf_images.default": images,
    "relu.default": relu,
}
