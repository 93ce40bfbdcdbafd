"""Students and teachers, by name."""

from __future__ import annotations

import importlib
import inspect

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pskd.errors import UsageError, nearest
from pskd.models.base import MODELS, Model, Output, Signal

for _name in ("fusion", "gaf", "sensor", "skeleton"):  # each enters its models into the table
    importlib.import_module(f"pskd.models.{_name}")

__all__ = ["MODELS", "Model", "Output", "Signal", "build", "count_macs", "count_parameters"]


def build(name: str, signal: Signal, **options: object) -> Model:
    """Make a model by its registered name.

    Raises:
        UsageError: An unknown name or option, or a value that the model refuses.
    """
    if name not in MODELS:
        raise UsageError(f"unknown model {name!r}", remedy=nearest(name, MODELS))
    known = [p for p in inspect.signature(MODELS[name]).parameters if p != "signal"]
    for option in options:
        if option not in known:
            raise UsageError(
                f"model {name!r} has no option {option!r}", remedy=nearest(option, known)
            )
    try:
        return MODELS[name](signal, **options)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
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
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*example_inputs(model, signal))
    model.train(was_training)
    return int(counter.get_total_flops()) // 2
