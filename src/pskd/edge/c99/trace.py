"""From a PyTorch student to a `Graph`: export, walk, fuse."""

from __future__ import annotations

import copy
import operator
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node

from pskd.edge.c99.builder import Builder
from pskd.edge.c99.fuse import fuse
from pskd.edge.c99.graph import Graph, Load, Value
from pskd.edge.c99.operators import OPERATORS, VIEWS, Probabilities
from pskd.edge.material import Deployed
from pskd.errors import UsageError
from pskd.models.base import Model
from pskd.models.gaf import GafImages
from pskd.models.student_folder import StudentConfig
from pskd.signal.gaf import gramian_angular_field


def trace(student: Model, config: StudentConfig) -> Graph:
    """Read a student's steps off its exported graph.

    Raises:
        UsageError: An operator that has no C, or weights that are not finite.
    """
    example = torch.zeros(1, 3, config.samples)
    marked = copy.deepcopy(student)
    _mark_images(marked)
    with warnings.catch_warnings():
        # PyTorch copies a class of its own that it has declared outdated, and an LSTM's weights.
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings(
            "ignore", message="The tensor attributes? .* assigned during export"
        )
        program = torch.export.export(Deployed(marked), (example,)).run_decompositions()
    return Walk(program, config).graph()


@torch.library.custom_op("pskd::gaf_images", mutates_args=())
def _images(acceleration: Tensor, size: int, methods: str) -> Tensor:
    """One operator for what would be traced as fifty."""
    return torch.cat([gramian_angular_field(acceleration, size, m) for m in methods.split()], 1)


@_images.register_fake
def _(acceleration: Tensor, size: int, methods: str) -> Tensor:
    return acceleration.new_empty(1, 3 * len(methods.split()), size, size)


class _MarkedImages(nn.Module):
    def __init__(self, images: GafImages) -> None:
        super().__init__()
        self.size, self.methods = images.size, " ".join(images.methods)

    def forward(self, acceleration: Tensor) -> Tensor:
        marked: Tensor = _images(acceleration, self.size, self.methods)
        return marked


def _mark_images(student: nn.Module) -> None:
    for name, child in student.named_children():
        if isinstance(child, GafImages):
            setattr(student, name, _MarkedImages(child))
        else:
            _mark_images(child)


class _Window:
    """The raw window, before a step has given it a layout of ours."""


class Walk(Builder):
    """One pass over the nodes of an exported program."""

    def __init__(self, program: ExportedProgram, config: StudentConfig) -> None:
        super().__init__(config)
        self._program = program
        self._known: dict[Node, Any] = {}
        self._loaded: Value | None = None

    def graph(self) -> Graph:
        """Walk to the end."""
        for node in self._program.graph.nodes:
            if node.op == "placeholder":
                self._known[node] = self._placeholder(node)
            elif node.op == "call_function":
                self._known[node] = self._call(node)
        outputs = self._look(self._program.graph.output_node().args[0])
        if outputs[0] != self.steps[-1].output or not isinstance(outputs[1], Probabilities):
            raise self.unsupported("output that is not the last layer's")
        return Graph(self.config.samples, fuse(self.steps))

    def _placeholder(self, node: Node) -> Tensor | _Window:
        signature, name = self._program.graph_signature, str(node.target)
        names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        if name in names:
            self.names[node] = names[name].removeprefix("student.").removesuffix(".weight")
            tensor: Tensor = self._program.state_dict[names[name]].detach()
            if not tensor.isfinite().all():
                raise UsageError(f"weights {names[name]!r} are not finite", remedy="Train again")
            return tensor
        lifted = signature.inputs_to_lifted_tensor_constants
        if name in lifted:
            constant: Tensor = self._program.constants[lifted[name]]
            return constant
        return _Window()

    def _call(self, node: Node) -> Any:
        arguments = [self._look(argument) for argument in node.args]
        if node.target is operator.getitem:
            return arguments[0][arguments[1]]
        constant = all(isinstance(self._known[n], Tensor) for n in node.all_input_nodes)
        if constant and callable(node.target):
            for source in node.all_input_nodes:  # a turned matrix keeps its layer's name
                self.names[node] = self.names.get(source, node.name)
            return node.target(*arguments, **node.kwargs)
        name = str(node.target).removeprefix("aten.")
        if name not in OPERATORS:
            raise self.unsupported(f"operator {node.target}")
        if name in VIEWS and isinstance(arguments[0], _Window):
            if node.meta["val"].shape[1] != 3:
                raise self.unsupported(f"operator {node.target} on the axes of the window")
            return arguments[0]
        if name != "pskd.gaf_images.default":
            arguments = [self._load() if isinstance(a, _Window) else a for a in arguments]
        return OPERATORS[name](self, node, *arguments)

    def _load(self) -> Value:
        if self._loaded is None:
            self._loaded = self.add(Load(self.new(1, self.config.samples, 3)))
        return self._loaded

    def _look(self, argument: Any) -> Any:
        if isinstance(argument, Node):
            return self._known[argument]
        many = isinstance(argument, list | tuple)
        return [self._look(part) for part in argument] if many else argument
