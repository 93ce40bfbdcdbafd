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

MOST = 512
"""Windows that go through a model at once; half an hour of a watch's."""


def adapt(model: Model, windows: Tensor, prior: float = PRIOR) -> Model:
    """A copy of a student whose batch-norm statistics lean towards those of some windows.

    Layer by layer, mean and variance become those of a mixture: a share n / (n + prior) of the n
    windows, the rest of what training had left (Schneider et al. 2020; with `prior` 0 it is AdaBN,
    Li et al. 2016). No weight is trained and no label is asked for; size and speed stay. Of more
    than `MOST` windows, as many are used, evenly spread.

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
    layers = batch_norms(adapted)
    share = len(windows) / (len(windows) + prior)
    if len(windows) > MOST:
        windows = windows[torch.linspace(0, len(windows) - 1, MOST).round().long()]
    with ExitStack() as hooks, torch.inference_mode():
        for layer in layers:
            hooks.enter_context(_leaning(layer, share))
        adapted(windows.to(next(adapted.parameters()).device))
    return adapted


def batch_norms(model: Model) -> list[_BatchNorm]:
    """The layers whose statistics can follow a wearer.

    Raises:
        UsageError: There is none.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    if not layers:
        raise UsageError(
            "this model has no batch norm, whose statistics could follow a wearer",
            remedy="Use another one, temporal_cnn for one",
        )
    return layers


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
