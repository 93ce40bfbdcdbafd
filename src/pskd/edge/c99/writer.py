"""How the steps of a graph are written as constants and calls of kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pskd.edge.c99.graph import Concat, Conv, Graph, Polar, Pool, Step, Value
from pskd.edge.c99.memory import Arena
from pskd.edge.c99.text import table


class Call(NamedTuple):
    """A call of a kernel."""

    kernel: str
    arguments: tuple[object, ...]

    def __str__(self) -> str:
        return f"{self.kernel}({', '.join(map(str, self.arguments))});"


class Array(NamedTuple):
    """A member of the workspace."""

    type: str
    name: str
    length: int


class Writer(ABC):
    """What differs between number formats.

    Attributes:
        format: Name of the number format, and folder of its kernels.
        number: Type of the values between steps.
        needs: Kernels that every student needs.
        graph: To be written.
        arrays: Of the workspace.
        limits: Numbers that kernels know by name.
        places: Where each buffer lies, as C.
    """

    format: ClassVar[str]
    number: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.arrays: list[Array] = []
        self.limits: dict[str, int] = {}
        self.places = {graph.logits.buffer: "logits"}

    @abstractmethod
    def constants(self, at: int, step: Step) -> Iterator[str]:
        """Definitions that a step needs; `at` is its number."""
        if isinstance(step, Polar):
            yield table("uint16_t", "bounds", np.array(step.bounds))

    @abstractmethod
    def calls(self, at: int, step: Step) -> Iterator[Call]:
        """A step; here those whose calls are the same in all formats."""
        out = self.place(step.output)
        match step:
            case Polar():
                yield Call("polar", ("acceleration", "bounds", step.output.columns, out))
            case Conv():
                kernel, own = ("depthwise", "border") if step.depthwise else ("convolve", "patches")
                around = (self.place(step.input), self.place(step.shortcut))
                yield Call(kernel, (f"&{step.name}", *around, f"w->{own}, w->sums", out))
            case Concat():
                yield from self._concatenate(step, out)
            case _:
                pass

    def arena(self, number: str, name: str, buffers: set[int]) -> None:
        """Lay buffers into one array of the workspace."""
        arena = Arena(self.graph.steps, buffers)
        self.places |= {b: f"w->{name} + {at}" for b, at in arena.offsets.items()}
        self.arrays.append(Array(number, name, arena.size))

    def place(self, value: Value | None) -> str:
        """Where a value lies, as C."""
        return self.places[value.buffer] if value else "NULL"

    def _concatenate(self, step: Concat, out: str) -> Iterator[Call]:
        behind = 0
        for part in step.inputs:
            yield Call("concatenate", (self.place(part), part.size, f"{out} + {behind}"))
            behind += part.size


def patch_size(graph: Graph) -> int:
    """Numbers under the largest kernel of all channels."""
    return max(int(np.prod(c.weights.shape[1:])) for c in graph.convs if not c.depthwise)


def most_channels(graph: Graph) -> int:
    """Channels of the widest value that is summed up."""
    return max(s.output.channels for s in graph.steps if isinstance(s, Conv | Pool))


def taps_in_threes(weights: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Depthwise weights [taps][channels], the taps filled up to a multiple of 3 with zeros."""
    taps = weights.reshape(len(weights), -1).T
    return np.pad(taps, ((0, -len(taps) % 3), (0, 0)))


def window(step: Conv | Pool) -> str:
    """Initialiser of a `struct window`."""
    a, b = step.input, step.output
    sizes = ((a.rows, b.rows), (a.columns, b.columns), (a.channels, b.channels))
    pairs = (*sizes, step.kernel, step.stride, step.padding)
    return "{" + ", ".join(f"{{{x}, {y}}}" for x, y in pairs) + "}"
