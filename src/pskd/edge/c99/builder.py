"""A graph while it is put together from the nodes of an exported program."""

from __future__ import annotations

import re

from torch.fx import Node

from pskd.edge.c99.graph import Step, Value
from pskd.errors import UsageError
from pskd.models.student_folder import StudentConfig


class Builder:
    """What the operators add their steps to.

    Attributes:
        config: Of the student.
        steps: Found so far.
        names: Layers that the nodes of weights belong to.
    """

    def __init__(self, config: StudentConfig) -> None:
        self.config = config
        self.steps: list[Step] = []
        self.names: dict[Node, str] = {}
        self._buffers = 0
        self._named = 0

    def add(self, step: Step) -> Value:
        """Append a step; gives what it writes."""
        self.steps.append(step)
        return step.output

    def new(self, rows: int, columns: int, channels: int) -> Value:
        """A value in a buffer of its own."""
        self._buffers += 1
        return Value(self._buffers, rows, columns, channels)

    def shape(self, node: Node, buffer: int | None = None) -> Value:
        """Of a node: [1, C, H, W], [1, C, W] or [1, C]; in a new buffer if none is given."""
        found = node.meta["val"]
        shape = (found[0] if isinstance(found, tuple) else found).shape
        if not 2 <= len(shape) <= 4 or shape[0] != 1:
            raise self.unsupported(f"operator {node.target} that gives {list(shape)}")
        rows, columns = (1, 1, *shape[2:])[-2:]
        value = self.new(rows, columns, shape[1])
        return value if buffer is None else value._replace(buffer=buffer)

    def name(self, node: Node, weights: int) -> str:
        """A name in C for the layer whose weights are that argument of a node, once each.

        It cannot be a word of C or of the kernels, whatever the layer is called in Python.
        """
        argument = node.args[weights]
        layer = self.names[argument] if isinstance(argument, Node) else node.name
        self._named += 1  # a layer may be called twice, a.b is a_b too, and a_bias a's bias
        return f"layer_{self._named}_{re.sub('[^0-9A-Za-z]', '_', layer)}"

    def unsupported(self, what: str) -> UsageError:
        """An error that names the model."""
        return UsageError(
            f"portable C has no {what}, which model {self.config.model!r} uses",
            remedy="Export this student to another runtime, or train temporal_cnn or gaf_cnn",
        )
