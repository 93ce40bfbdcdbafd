"""A graph run by NumPy and PyTorch: measures ranges, and says what the C must give."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pskd.edge.c99.graph import Array, Concat, Conv, Gram, Graph, Load, Polar, Pool

SAMPLE_LIMIT = 1e6
"""In g: samples further from 0 count as this far."""


def run(graph: Graph, windows: NDArray[np.float32]) -> dict[int, Array]:
    """All values of a graph.

    Args:
        graph: To be run.
        windows: [N, 3, S]

    Returns:
        [N, rows, columns, channels] by buffer.
    """
    values: dict[int, Array] = {}
    result: Array
    windows = sampled(windows)
    for step in graph.steps:
        inputs = [values[v.buffer].reshape(-1, *v[1:]) for v in step.inputs]
        match step:
            case Load():
                result = windows.transpose(0, 2, 1)[:, None].astype(np.float64)
            case Polar():
                result = polar(windows, step.bounds).astype(np.float64)
            case Gram():
                result = gram(inputs[0], step.methods)
            case Conv():
                result = convolve(inputs[0], step, step.weights) + step.bias
                result = result + inputs[1] if step.shortcut else result
                result = np.maximum(result, 0) if step.relu else result
            case Pool():
                result = pool(inputs[0], step)
                result = result / np.prod(step.kernel) if step.kind == "mean" else result
            case Concat():
                result = np.concatenate(inputs, -1)
        values[step.output.buffer] = result
    return values


def sampled(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples as they are used: see `kernels/both/sample.c`."""
    return np.nan_to_num(windows, nan=0.0).clip(-SAMPLE_LIMIT, SAMPLE_LIMIT)


def convolve(x: Array, step: Conv, weights: Array) -> Array:
    """Sums of a convolution without its bias; whole numbers stay exact."""
    rows, columns = step.padding
    borders = ((0, 0), (rows, rows), (columns, columns), (0, 0))
    padded = torch.from_numpy(np.pad(x, borders)).permute(0, 3, 1, 2)
    groups = x.shape[-1] if step.depthwise else 1
    sums = functional.conv2d(padded, torch.from_numpy(weights), stride=step.stride, groups=groups)
    result: Array = sums.permute(0, 2, 3, 1).numpy()
    return result


def pool(x: Array, step: Pool) -> Array:
    """Sum or maximum under a kernel."""
    fill = -np.inf if step.kind == "max" else 0.0
    borders = ((0, 0), *((p, p) for p in step.padding), (0, 0))
    padded = np.pad(x, borders, constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(padded, step.kernel, (1, 2))
    seen = seen[:, :: step.stride[0], :: step.stride[1]]
    result: Array = seen.max((-2, -1)) if step.kind == "max" else seen.sum((-2, -1))
    return result


def polar(windows: NDArray[np.float32], bounds: tuple[int, ...]) -> NDArray[np.float32]:
    """Cosines and sines in float32, in the order of operations of `kernels/both/polar.c`."""
    n = len(bounds) - 1
    x = np.zeros((len(windows), 3, n), np.float32)
    for i, (begin, end) in enumerate(pairwise(bounds)):
        for t in range(begin, end):
            x[..., i] += windows[..., t] * np.float32(1 / (end - begin))
    low, high = x.min(-1, keepdims=True), x.max(-1, keepdims=True)
    flat = (low == high).astype(np.float32)
    span = high - low + flat
    u, v = (x - low) / span, (high - x + flat) / span
    angles = np.concatenate([u - v, 2 * np.sqrt(u * v)], 1)
    return angles.transpose(0, 2, 1)[:, None]


def gram(angles: Array, methods: tuple[str, ...]) -> Array:
    """Images [N, n, n, axes x methods] from cosines and sines [N, 1, n, 6]."""
    cos, sin = angles[:, 0, :, :3], angles[:, 0, :, 3:]
    c, s, across, down = cos[:, :, None], sin[:, :, None], cos[:, None], sin[:, None]
    images = {"summation": c * across - s * down, "difference": s * across - c * down}
    return np.concatenate([images[method] for method in methods], -1)
