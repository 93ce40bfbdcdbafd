"""Post-training quantisation to int8: codes of activations, weights, and how sums become codes.

Weights are symmetric with a scale an output channel, activations asymmetric with one scale each,
biases int32. A sum of products becomes the code of an output by a whole-number multiplier and a
shift to the right. Source: Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", CVPR 2018. Ours: the channels of a layer have
multipliers of their own and one shift, which a shortcut shares, so that it is added before the
only rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pskd.edge.c99 import reference
from pskd.edge.c99.graph import Array, Concat, Conv, Gram, Graph, Load, Polar, Pool, Value
from pskd.errors import UsageError

BATCH = 32
LEAST, MOST = -128, 127


@dataclass(frozen=True)
class Code:
    """What the int8 numbers of a buffer stand for: scale x (code - zero)."""

    scale: float
    zero: int

    def encode(self, x: Array) -> Array:
        """Nearest codes, in float32 as `kernels/int8/encode.c` finds them."""
        per_unit = np.float32(1 / self.scale)
        steps = (x.astype(np.float32) * per_unit).clip(LEAST - self.zero, MOST - self.zero)
        codes: Array = np.trunc(steps + np.copysign(np.float32(0.5), steps)).astype(np.float64)
        return codes + self.zero


@dataclass(frozen=True)
class Rescale:
    """Factors as multiplier / 2^shift."""

    multipliers: NDArray[np.int64]
    shift: int

    @classmethod
    def by(cls, factors: Array) -> Rescale:
        """The finest that fits 31 bits."""
        exponent = int(np.frexp(factors.max())[1])
        shift = min(30 - exponent, 46)
        return cls(np.round(np.ldexp(factors, shift)).astype(np.int64), shift)

    def down(self, totals: NDArray[np.int64]) -> NDArray[np.int64]:
        """Totals / 2^shift, halves upward."""
        return (totals + (1 << (self.shift - 1))) >> self.shift


@dataclass(frozen=True)
class Rounded:
    """A convolution in whole numbers.

    Attributes:
        weights: As in `Conv`, -127..127.
        scales: What one unit of the sums is worth, [out].
        rescale: Of each output channel, then of the shortcut; none for the logits.
    """

    weights: Array
    bias: NDArray[np.int64]
    scales: Array
    rescale: Rescale | None


class Quantised:
    """A graph in int8.

    Attributes:
        graph: What was quantised.
        codes: By buffer; the logits and the angles of images stay float32.
        convs: By output buffer.
        pools: By output buffer.

    Args:
        graph: To be quantised.
        windows: To measure ranges on, [N, 3, S].

    Raises:
        UsageError: No windows.
    """

    def __init__(self, graph: Graph, windows: NDArray[np.float32]) -> None:
        if not len(windows):
            raise UsageError(
                "no windows to measure the ranges of an int8 student on",
                remedy="Point --data-root at the recordings that it was trained on",
            )
        self.graph = graph
        _check_end(graph)
        ranges = _ranges(graph, windows)
        self.codes: dict[int, Code] = {}
        self.convs: dict[int, Rounded] = {}
        self.pools: dict[int, Rescale] = {}
        for step in graph.steps:
            out = step.output.buffer
            if isinstance(step, Concat):
                self.codes[out] = self.codes[step.inputs[0].buffer]
            elif not isinstance(step, Polar) and out != graph.logits.buffer:
                self.codes[out] = _code(*ranges[out], self._reach(step))
            if isinstance(step, Conv):
                self.convs[out] = self._round(step)
            elif isinstance(step, Pool):
                area = np.prod(step.kernel) if step.kind == "mean" else 1
                factor = self.code(step.input).scale / (self.code(step.output).scale * area)
                self.pools[out] = Rescale.by(np.array([factor]))

    def code(self, value: Value) -> Code:
        """Of a value."""
        return self.codes[value.buffer]

    def _reach(self, step: Load | Gram | Conv | Pool) -> float:
        """No output of a step is larger, whatever the window."""
        reach = [self.code(v).scale * 255 for v in step.inputs if v.buffer in self.codes]
        if isinstance(step, Conv):
            sums = np.abs(step.weights).sum((1, 2, 3)) * reach[0] + np.abs(step.bias)
            return float(sums.max() + sum(reach[1:]))
        return reach[0] if reach else 0.0

    def _round(self, step: Conv) -> Rounded:
        into = self.code(step.input)
        peaks = np.abs(step.weights).max((1, 2, 3))
        # A channel of zeros needs a scale all the same, and no bias may leave 31 bits.
        scales = np.maximum(peaks / 127, np.abs(step.bias) / (into.scale * 2**30))
        scales = np.where(scales > 0, scales, scales.max() or 1.0)
        weights = np.round(step.weights / scales[:, None, None, None])
        bias = np.round(step.bias / (scales * into.scale)).astype(np.int64)
        rescale = None
        if step.output.buffer in self.codes:
            out = self.code(step.output).scale
            shortcut = self.code(step.shortcut).scale if step.shortcut else 0.0
            rescale = Rescale.by(np.append(scales * into.scale, shortcut) / out)
        return Rounded(weights, bias, scales * into.scale, rescale)


def _check_end(graph: Graph) -> None:
    """Refuse a student whose logits are not those of one plain linear layer."""
    last = graph.steps[-1]
    plain = isinstance(last, Conv) and not (last.depthwise or last.relu or last.shortcut)
    if not plain or last.output.rows * last.output.columns > 1:
        raise UsageError(
            "portable C in int8 needs a student that ends in one linear layer",
            remedy="Export this student to another runtime, or train temporal_cnn or gaf_cnn",
        )


def _ranges(graph: Graph, windows: NDArray[np.float32]) -> dict[int, tuple[float, float]]:
    """Smallest and largest number in each buffer; the parts of one vector share theirs."""
    ranges: dict[int, tuple[float, float]] = {}
    for begin in range(0, len(windows), BATCH):
        for buffer, x in reference.run(graph, windows[begin : begin + BATCH]).items():
            low, high = ranges.get(buffer, (0.0, 0.0))
            ranges[buffer] = (min(low, float(x.min())), max(high, float(x.max())))
    for step in graph.steps:
        if isinstance(step, Concat):
            ranges.update({v.buffer: ranges[step.output.buffer] for v in step.inputs})
    return ranges


def _code(low: float, high: float, reach: float) -> Code:
    """Code of a range with 0; coarse enough that what is in reach has a number in 30 bits."""
    scale = max((high - low) / 255, reach / 2**29) or 1.0
    return Code(scale, int(np.clip(round(LEAST - low / scale), LEAST, MOST)))


def run(student: Quantised, windows: NDArray[np.float32]) -> dict[int, Array]:
    """All values as the int8 C finds them, bit for bit: codes, and the logits in float32."""
    graph = student.graph
    values: dict[int, Array] = {}
    result: Array
    windows = reference.sampled(windows)
    for step in graph.steps:
        out = step.output.buffer
        inputs = [values[v.buffer].reshape(-1, *v[1:]) for v in step.inputs]
        match step:
            case Load():
                result = student.codes[out].encode(windows.transpose(0, 2, 1)[:, None])
            case Polar():
                result = reference.polar(windows, step.bounds)
            case Gram():
                result = student.codes[out].encode(reference.gram(inputs[0], step.methods))
            case Conv():
                result = _conv(student, step, *inputs)
            case Pool():
                zero = student.code(step.input).zero
                sums = reference.pool(inputs[0] - zero, step).astype(np.int64)
                rescale = student.pools[out]
                code = rescale.down(sums * rescale.multipliers[0]) + student.codes[out].zero
                result = code.clip(LEAST, MOST).astype(np.float64)
            case Concat():
                result = np.concatenate(inputs, -1)
        values[out] = result
    return values


def _conv(student: Quantised, step: Conv, x: Array, shortcut: Array | None = None) -> Array:
    rounded, zero = student.convs[step.output.buffer], student.code(step.input).zero
    sums = reference.convolve(x - zero, step, rounded.weights).astype(np.int64)
    sums += rounded.bias
    if rounded.rescale is None:
        return sums.astype(np.float32) * rounded.scales.astype(np.float32)
    total = sums * rounded.rescale.multipliers[:-1]
    if step.shortcut and shortcut is not None:
        beside = (shortcut - student.code(step.shortcut).zero).astype(np.int64)
        total += beside * rounded.rescale.multipliers[-1]
    out = student.code(step.output).zero
    codes = rounded.rescale.down(total) + out
    return codes.clip(out if step.relu else LEAST, MOST).astype(np.float64)
