"""Students with int8 numbers between a window and its logits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pskd.edge.c99.graph import Conv, Gram, Load, Polar, Pool, Step
from pskd.edge.c99.quantise import LEAST, Code, Quantised, Rescale
from pskd.edge.c99.text import number, structure, table
from pskd.edge.c99.writer import (
    Array,
    Call,
    Writer,
    most_channels,
    patch_size,
    taps_in_threes,
    window,
)


class Int8(Writer):
    """Writes a quantised graph with the kernels in `kernels/int8`."""

    format = "int8"
    number = "int8_t"
    needs = ("contract", "sample", "window", "encode", "rescale", "convolution", "softmax")

    def __init__(self, student: Quantised) -> None:
        graph = student.graph
        super().__init__(graph)
        self.student = student
        widest, patch = -(-most_channels(graph) // 2) * 2, -(-patch_size(graph) // 8) * 8
        self.limits = {"WIDEST": widest, "PATCH": patch}
        self.arrays.append(Array("int32_t", "sums", 3 * widest))
        angles = {step.output.buffer for step in graph.steps if isinstance(step, Polar)}
        if angles:
            self.arena("float", "angles", angles)
        self.arrays.append(Array("int16_t", "patches", 3 * patch))
        self.arrays.append(Array("int8_t", "border", widest))
        self.arena("int8_t", "values", set(student.codes))

    def constants(self, at: int, step: Step) -> Iterator[str]:
        """Definitions that a step needs; `at` is its number."""
        match step:
            case Conv():
                yield from self._conv(step)
            case Pool():
                rescale = self.student.pools[step.output.buffer]
                yield structure(
                    "pool",
                    f"pool_{at}",
                    window=window(step),
                    maximum=int(step.kind == "max"),
                    multiplier=rescale.multipliers[0],
                    zero=self.student.code(step.input).zero,
                    rescale=_rescale(rescale, self.student.code(step.output).zero),
                )
            case _:
                yield from super().constants(at, step)

    def calls(self, at: int, step: Step) -> Iterator[Call]:
        """A step."""
        out = self.place(step.output)
        match step:
            case Load():
                yield Call("load", ("acceleration", *_coding(self.student.code(step.output)), out))
            case Gram():
                coding = _coding(self.student.code(step.output))
                images = (self.place(step.input), step.output.rows, *step.flags)
                yield Call("gram", (*images, *coding, out))
            case Conv() if step.output == self.graph.logits:
                zero = self.student.code(step.input).zero
                tables = (f"{step.name}_{what}" for what in ("weights", "bias", "scales"))
                yield Call(
                    "classify", (self.place(step.input), step.input.size, zero, *tables, out)
                )
            case Pool():
                yield Call("pool", (f"&pool_{at}", self.place(step.input), "w->sums", out))
            case _:
                yield from super().calls(at, step)

    def _conv(self, step: Conv) -> Iterator[str]:
        name, rounded = step.name, self.student.convs[step.output.buffer]
        logits = rounded.rescale is None
        field, bias = "weights", rounded.bias
        if step.depthwise:
            field, taps = "taps", taps_in_threes(rounded.weights)
            bias = bias - self.student.code(step.input).zero * taps.sum(0).astype(np.int64)
            yield table("int8_t", f"{name}_taps", taps.astype(np.int8))
        else:
            rows = rounded.weights.transpose(0, 2, 3, 1).reshape(len(rounded.weights), -1)
            if logits:
                yield table("int8_t", f"{name}_weights", rows.astype(np.int8))
            else:
                yield table("uint16_t", f"{name}_weights", _pairs(rows.astype(np.int64)))
                bias = np.pad(bias, (0, len(bias) % 2))
        yield table("int32_t", f"{name}_bias", bias)
        if rounded.rescale is None:
            yield table("float", f"{name}_scales", rounded.scales.astype(np.float32))
            return
        out = self.student.code(step.output).zero
        least = out if step.relu else LEAST
        *multipliers, beside = rounded.rescale.multipliers.tolist()
        yield table("int32_t", f"{name}_multipliers", np.array(multipliers))
        yield structure(
            "convolution",
            name,
            window=window(step),
            **{field: f"{name}_{field}"},
            bias=f"{name}_bias",
            multipliers=f"{name}_multipliers",
            shortcut_multiplier=beside,
            zero=self.student.code(step.input).zero,
            zero_shortcut=self.student.code(step.shortcut).zero if step.shortcut else 0,
            rescale=_rescale(rounded.rescale, out, least),
        )


def _rescale(rescale: Rescale, zero: int, least: int = LEAST) -> str:
    """Initialiser of a `struct rescale`."""
    return f"{{{rescale.shift}, {zero}, {least}}}"


def _pairs(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of two output channels in one, as `kernels/int8/convolve.c` reads them."""
    channels, size = weights.shape
    even = np.pad(weights, ((0, channels % 2), (0, -size % 8)))
    return (even[::2] & 255) + 256 * (even[1::2] + 128)


def _coding(code: Code) -> tuple[str, int]:
    return number(1 / code.scale), code.zero
