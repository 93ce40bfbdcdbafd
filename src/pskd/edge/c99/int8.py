"""Students with int8 numbers between a window and its logits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pskd.edge.c99.graph import Concat, Conv, Gram, Load, Polar, Pool, Step
from pskd.edge.c99.quantise import LEAST, Code, Quantised
from pskd.edge.c99.text import number, structure, table
from pskd.edge.c99.writer import Array, Call, Writer, most_channels, patch_size, window


class Int8(Writer):
    """Writes a quantised graph with the kernels in `kernels/int8`."""

    format = "int8"
    number = "int8_t"
    needs = ("contract", "sample", "window", "encode", "rescale", "convolution", "softmax")

    def __init__(self, student: Quantised) -> None:
        graph = student.graph
        super().__init__(graph)
        self.student = student
        self.arrays.append(Array("int32_t", "sums", 4 * most_channels(graph)))
        angles = {step.output.buffer for step in graph.steps if isinstance(step, Polar)}
        if angles:
            self.arena("float", "angles", angles)
        self.arrays.append(Array("int16_t", "patches", 4 * -(-patch_size(graph) // 8) * 8))
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
                    shift=rescale.shift,
                    zero=self.student.code(step.input).zero,
                    zero_out=self.student.code(step.output).zero,
                )
            case Polar():
                yield table("uint16_t", "bounds", np.array(step.bounds))
            case _:
                pass

    def calls(self, at: int, step: Step) -> Iterator[Call]:
        """A step."""
        out = self.place(step.output)
        match step:
            case Load():
                yield Call("load", ("acceleration", *_coding(self.student.code(step.output)), out))
            case Polar():
                yield Call("polar", ("acceleration", "bounds", step.output.columns, out))
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
            case Conv():
                around = (self.place(step.input), self.place(step.shortcut))
                if step.depthwise:
                    yield Call("depthwise", (f"&{step.name}", *around, "w->sums", out))
                else:
                    yield Call("convolve", (f"&{step.name}", *around, "w->patches, w->sums", out))
            case Pool():
                yield Call("pool", (f"&pool_{at}", self.place(step.input), "w->sums", out))
            case Concat():
                yield from self.concatenate(step)

    def _conv(self, step: Conv) -> Iterator[str]:
        name, rounded = step.name, self.student.convs[step.output.buffer]
        logits = rounded.rescale is None
        if step.depthwise:
            weights = rounded.weights.transpose(2, 3, 1, 0)
        else:
            weights = rounded.weights.transpose(0, 2, 3, 1).reshape(len(rounded.weights), -1)
            spare = 0 if logits else -weights.shape[1] % 8
            weights = np.pad(weights, ((0, 0), (0, spare)))
        yield table("int8_t", f"{name}_weights", weights.astype(np.int8))
        yield table("int32_t", f"{name}_bias", rounded.bias)
        if rounded.rescale is None:
            yield table("float", f"{name}_scales", rounded.scales.astype(np.float32))
            return
        out = self.student.code(step.output).zero
        *multipliers, beside = rounded.rescale.multipliers.tolist()
        yield table("int32_t", f"{name}_multipliers", np.array(multipliers))
        yield structure(
            "convolution",
            name,
            window=window(step),
            weights=f"{name}_weights",
            bias=f"{name}_bias",
            multipliers=f"{name}_multipliers",
            shortcut_multiplier=beside,
            shift=rounded.rescale.shift,
            zero=self.student.code(step.input).zero,
            zero_shortcut=self.student.code(step.shortcut).zero if step.shortcut else 0,
            zero_out=out,
            least=out if step.relu else LEAST,
        )


def _coding(code: Code) -> tuple[str, int]:
    return number(1 / code.scale), code.zero
