"""A student as a list of a few kinds of steps on values laid out [rows][columns][channels]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]
Array = NDArray[np.floating[Any]]


class Value(NamedTuple):
    """What steps read and write; two values of one buffer are the same numbers in two shapes.

    Channels are innermost, so that loops over them run along memory. Windows in time have one row.
    """

    buffer: int
    rows: int
    columns: int
    channels: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.rows * self.columns * self.channels


@dataclass(frozen=True)
class Load:
    """The window [3][S] turned to time-major [1][S][3]."""

    output: Value

    inputs: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Polar:
    """Cosine and sine of each axis's angles, [1][N][6]: first all cosines of a time, then sines.

    The first half of a Gramian angular field; see `pskd.signal.gaf`.
    """

    output: Value
    bounds: tuple[int, ...]
    """Where the N stretches of samples begin that are averaged; then the number of samples."""

    inputs: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Gram:
    """Gramian angular fields [N][N][axes x methods] of `Polar`'s output."""

    input: Value
    output: Value
    methods: tuple[str, ...]

    @property
    def flags(self) -> tuple[int, int]:
        """Whether sums of angles are shown, and differences."""
        return int("summation" in self.methods), int("difference" in self.methods)

    @property
    def inputs(self) -> tuple[Value, ...]:
        """What the step reads."""
        return (self.input,)


@dataclass(frozen=True)
class Conv:
    """A convolution, and what is done to each of its sums: bias, shortcut, ReLU.

    Linear layers, additions and normalisations are written as convolutions too.

    Attributes:
        weights: [out, in, kernel rows, kernel columns], or [channels, 1, ...] if depthwise.
        bias: [out]
        shortcut: Added to the output.
    """

    name: str
    input: Value
    output: Value
    weights: Array
    bias: Array
    depthwise: bool = False
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    shortcut: Value | None = None
    relu: bool = False

    @property
    def kernel(self) -> Pair:
        """Rows and columns that the weights span."""
        return self.weights.shape[2], self.weights.shape[3]

    @property
    def inputs(self) -> tuple[Value, ...]:
        """What the step reads."""
        return (self.input,) if self.shortcut is None else (self.input, self.shortcut)


@dataclass(frozen=True)
class Pool:
    """Mean or maximum over rectangles; padding is left out of both."""

    kind: str
    input: Value
    output: Value
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    @property
    def inputs(self) -> tuple[Value, ...]:
        """What the step reads."""
        return (self.input,)


@dataclass(frozen=True)
class Concat:
    """Values of one row and column, one behind the other."""

    inputs: tuple[Value, ...]
    output: Value


Step = Load | Polar | Gram | Conv | Pool | Concat


@dataclass(frozen=True)
class Graph:
    """Steps in the order in which they run; the output of the last one is the logits."""

    samples: int
    steps: tuple[Step, ...]

    @property
    def logits(self) -> Value:
        """Value [1][1][classes]."""
        return self.steps[-1].output

    @property
    def convs(self) -> tuple[Conv, ...]:
        """All convolutions."""
        return tuple(step for step in self.steps if isinstance(step, Conv))

    @property
    def buffers(self) -> set[int]:
        """All buffers."""
        return {step.output.buffer for step in self.steps}
