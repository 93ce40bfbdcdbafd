"""Gramian angular fields: series as images, batched and differentiable.

A series scaled to [-1, 1] is read as the cosine of an angle at each time; pixel (i, j) is the
cosine of the sum of the angles at i and j (GASF) or the sine of their difference (GADF).
Source: Wang and Oates, "Encoding time series as images for visual inspection and classification
using tiled convolutional neural networks", AAAI workshop 2015. The numbers are those of pyts.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from pskd.errors import UsageError, nearest

METHODS = ("summation", "difference")


def gramian_angular_field(
    x: Tensor,
    image_size: int | None = None,
    method: str = "summation",
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Encode each series as an image.

    A constant series has no range to scale: it counts as -1 throughout, as in pyts, so that its
    GASF is 1 and its GADF 0 everywhere, with zero gradient.

    Args:
        x: Series [..., S], any unit.
        image_size: N, at most S; the series is first shortened to N means (see
            `piecewise_aggregate`). None keeps S.
        method: "summation" (GASF) or "difference" (GADF).
        out: Tensor to write the images to, where no gradient is needed: a big batch takes most
            of its time to get fresh memory.

    Returns:
        Images [..., N, N] in [-1, 1]; float32 also under autocast, float64 for float64 series.

    Raises:
        UsageError: An unknown method, or an image size not in 1..S.

    Example:
        >>> gramian_angular_field(torch.tensor([0.0, 1.0, 2.0])).round()
        tensor([[ 1., -0., -1.],
                [-0., -1., -0.],
                [-1., -0.,  1.]])
    """
    if method not in METHODS:
        raise UsageError(f"unknown GAF method {method!r}", remedy=nearest(method, METHODS))
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    cos, sin = _polar(x if image_size is None else piecewise_aggregate(x, image_size))
    first, second = (cos, sin) if method == "summation" else (sin, cos)
    # Rank-two products write each image in one pass: cos cos - sin sin, or sin cos - cos sin.
    rows, columns = torch.stack([first, second], -1), torch.stack([cos, -sin], -2)
    with _without_autocast(x.device.type):
        return torch.matmul(rows, columns, out=out)


def piecewise_aggregate(x: Tensor, size: int) -> Tensor:
    """Shorten series [..., S] to [..., size], the means of windows that do not overlap.

    Piecewise aggregate approximation (PAA) with the windows of pyts: window i runs from
    floor(i S / size) to floor((i + 1) S / size), so that lengths differ by one at most.

    Raises:
        UsageError: A size not in 1..S.
    """
    samples = x.shape[-1]
    if not 1 <= size <= samples:
        raise UsageError(
            f"image size {size} does not fit series of {samples} samples",
            remedy=f"Take an image size from 1 to {samples}, or longer series",
        )
    if size == samples:
        return x
    bounds = [int(i * (samples / size)) for i in range(size)] + [samples]
    edges = torch.tensor(bounds, device=x.device).unsqueeze(1)
    longest = math.ceil(samples / size)
    index = edges[:-1] + torch.arange(longest, device=x.device)
    inside = (index < edges[1:]).to(x.dtype)
    weights = inside / inside.sum(1, keepdim=True)
    return (x[..., index.clamp(max=samples - 1)] * weights).sum(-1)


def _polar(x: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angles of a series scaled to [-1, 1].

    With u and v the distances to minimum and maximum as shares of the range, the cosine is u - v
    and the sine, sqrt(1 - cos^2), is 2 sqrt(u v), which stays accurate near -1 and 1.
    """
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    flat = (low == high).to(x.dtype)
    span = high - low + flat
    u, v = (x - low) / span, (high - x + flat) / span
    # At the extremes the sine is 0 whatever the series: the clamp makes its gradient 0, not NaN.
    return u - v, 2 * (u * v).clamp(min=torch.finfo(x.dtype).tiny).sqrt()


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """Autocast off where it is on; else nothing, so that exported graphs are free of it."""
    on = torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if on else nullcontext()
