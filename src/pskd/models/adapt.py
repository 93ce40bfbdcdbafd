"""Fitting a student to a wearer from recordings without labels: its normalisation alone changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pskd.errors import UsageError
from pskd.models.base import Model

PRIOR = 32.0
"""Windows that the training data count for, chosen on training subjects (research-log.md)."""


def adapt(model: Model, windows: Tensor, prior: float = PRIOR) -> Model:
    """A copy of a student whose batch-norm statistics lean towards those of some windows.

    Layer by layer, mean and variance become those of a mixture: a share n / (n + prior) of the n
    windows, the rest of what training had left (Schneider et al. 2020; with `prior` 0 it is AdaBN,
    Li et al. 2016). No weight is trained and no label is asked for, so size, speed and exports
    stay as they were.

    Args:
        model: A student; it is left as it is.
        windows: What the wearer did [n, 3, S], g.
        prior: Windows that the training data count for.

    Raises:
        UsageError: No window, a negative `prior`, or a model without batch norm.
    """
    if not len(windows):
        raise UsageError("there is no window to adapt to")
    if not prior >= 0:
        raise UsageError(f"a prior of {prior:g} windows", remedy="Give 0 or more")
    adapted = deepcopy(model).eval()
    layers = [layer for layer in adapted.modules() if isinstance(layer, _BatchNorm)]
    if not layers:
        raise UsageError(
            "this student has no batch norm, whose statistics could follow a wearer",
            remedy="Use a student of another model, temporal_cnn for one",
        )
    share = len(windows) / (len(windows) + prior)
    with ExitStack() as hooks, torch.inference_mode():
        for layer in layers:
            hooks.enter_context(_leaning(layer, share))
        adapted(windows.to(next(adapted.parameters()).device))
    return adapted


@contextmanager
def _leaning(layer: _BatchNorm, share: float) -> Iterator[None]:
    """Before a layer computes, let its statistics lean towards those of what it is given."""

    def lean(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (x,) = inputs
        over = [0, *range(2, x.ndim)]
        own, of_training = x.mean(over), layer.get_buffer("running_mean")
        mean = share * own + (1 - share) * of_training
        apart = share * (own - mean) ** 2 + (1 - share) * (of_training - mean) ** 2
        variance = layer.get_buffer("running_var")
        variance.mul_(1 - share).add_(share * x.var(over, unbiased=False) + apart)
        of_training.copy_(mean)

    hook = layer.register_forward_pre_hook(lean)
    try:
        yield
    finally:
        hook.remove()
