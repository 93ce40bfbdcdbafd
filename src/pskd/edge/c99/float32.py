"""Students with float32 numbers throughout."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pskd.edge.c99.graph import Conv, Gram, Graph, Load, Pool, Step
from pskd.edge.c99.text import structure, table
from pskd.edge.c99.writer import (
    Array,
    Call,
    Writer,
    most_channels,
    patch_size,
    taps_in_threes,
    window,
)


class Float32(Writer):
    """Writes a graph with the kernels in `kernels/float32`."""

    format = "float32"
    number = "float"
    needs = ("sample", "window", "convolution", "softmax")

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.arena("float", "values", graph.buffers - {graph.logits.buffer})
        widest, patch = most_channels(graph), -(-patch_size(graph) // 4) * 4
        self.limits = {"WIDEST": widest, "PATCH": patch}
        self.arrays.append(Array("float", "patches", 4 * patch))
        self.arrays.append(Array("float", "sums", 4 * widest))
        self.arrays.append(Array("float", "border", widest))

    def constants(self, at: int, step: Step) -> Iterator[str]:
        """Definitions that a step needs; `at` is its number."""
        match step:
            case Conv(name=name):
                weights = step.weights.transpose(2, 3, 1, 0)
                if step.depthwise:
                    weights = taps_in_threes(step.weights)
                yield table("float", f"{name}_weights", weights.astype(np.float32))
                yield table("float", f"{name}_bias", step.bias.astype(np.float32))
                yield structure(
                    "convolution",
                    name,
                    window=window(step),
                    weights=f"{name}_weights",
                    bias=f"{name}_bias",
                    relu=int(step.relu),
                )
            case Pool():
                yield f"static const struct window pool_{at} = {window(step)};\n"
            case _:
                yield from super().constants(at, step)

    def calls(self, at: int, step: Step) -> Iterator[Call]:
        """A step."""
        out = self.place(step.output)
        match step:
            case Load():
                yield Call("load", ("acceleration", out))
            case Gram():
                yield Call("gram", (self.place(step.input), step.output.rows, *step.flags, out))
            case Pool():
                maximum = int(step.kind == "max")
                yield Call("pool", (f"&pool_{at}", maximum, self.place(step.input), "w->sums", out))
            case _:
                yield from super().calls(at, step)
