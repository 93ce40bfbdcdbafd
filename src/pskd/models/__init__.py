"""Students and teachers, by name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pskd.errors import PLUGIN, UsageError, nearest
from pskd.models.base import MODELS, Model, Output, Signal, register

__all__ = [
    "MODELS",
    "Model",
    "Output",
    "Signal",
    "build",
    "count_macs",
    "count_parameters",
    "register",
]


def build(name: str, signal: Signal, /, **options: object) -> Model:
    """Make a model by its registered name.

    Raises:
        UsageError: An unknown name or option, or a value that the model refuses.
    """
    if name not in MODELS:
        remedy = f"{nearest(name, MODELS)}; {PLUGIN}"
        raise UsageError(f"unknown model {name!r}", remedy=remedy)
    known = [p for p in inspect.signature(MODELS[name]).parameters if p != "signal"]
    for option in options:
        if option not in known:
            raise UsageError(
                f"model {name!r} has no option {option!r}", remedy=nearest(option, known)
            )
    try:
        return MODELS[name](signal, **options)
    except (
        TypeError,
        ValueError,
        RuntimeError,
        LookupError,
        ArithmeticError,
        AttributeError,
    ) as error:
        raise UsageError(f"model {name!r} cannot be built with {options}: {error}") from error


def example_inputs(model: Model, signal: Signal, batch: int = 1) -> tuple[Tensor, ...]:
    """Zeros in the shapes that a model takes."""
    shapes = {
        "acceleration": (batch, signal.channels, signal.samples),
        "skeleton": (batch, signal.frames, len(signal.layout.joints), signal.layout.dims),
    }
    return tuple(torch.zeros(shapes[name]) for name in model.inputs)


def count_parameters(model: Model) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in model.parameters())


def count_macs(model: Model, signal: Signal) -> int:
    """Multiply-accumulates of one clip, counted over matrix products and convolutions."""
    was_training = model.training
    model.eval()
    lstm = {torch.ops.aten.mkldnn_rnn_layer: _lstm_flops}
    counter = FlopCounterMode(display=False, custom_mapping=lstm)
    with torch.no_grad(), counter:
        model(*example_inputs(model, signal))
    model.train(was_training)
    return int(counter.get_total_flops()) // 2


def _lstm_flops(*shapes: Any, **_: Any) -> int:
    """Of one LSTM layer on CPUs, whose operator the counter does not know; two a weight a step."""
    steps, from_input, from_itself = shapes[:3]
    return 2 * int(steps[0] * steps[1] * (from_input.numel() + from_itself.numel()))


for _module in pkgutil.iter_modules(__path__):  # each enters its models; one of them needs `build`
    importlib.import_module(f"{__name__}.{_module.name}")
