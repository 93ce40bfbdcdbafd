"""Views: random changes of a batch, the same in time and in mixing for both modalities.

Everything is drawn from the generator that is passed in, so a view is known from its seed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from pskd.recipe import ViewOptions


class Batch(NamedTuple):
    """Paired clips: row i of every tensor is the same recording (or the same mix of two)."""

    acceleration: Tensor
    """[B, 3, S], g"""
    skeleton: Tensor
    """[B, F, J, C], normalised; zeros where missing"""
    has_skeleton: Tensor
    """[B], bool"""
    aligned: Tensor
    """[B], bool: whether both signals go together moment by moment"""
    target: Tensor
    """[B, classes], shares of the labels; zeros for a clip without one"""


def make_views(batch: Batch, options: ViewOptions, generator: Generator, up: int = 1) -> Batch:
    """Draw one random view of each clip; `up` is the skeleton's upward axis."""
    acceleration, skeleton = batch.acceleration, batch.skeleton
    if options.time_warp or options.crop:
        acceleration, skeleton = _warp(acceleration, skeleton, options, generator)
    acceleration = _move_sensor(acceleration, options, generator)
    skeleton = _move_body(skeleton, options, generator, up)
    views = batch._replace(acceleration=acceleration, skeleton=skeleton)
    if options.mixup:
        views = mix(views, options, generator)
    return join(views, options, generator) if options.cut else views


def mix(batch: Batch, options: ViewOptions, generator: Generator) -> Batch:
    """Mixup (Zhang et al. 2018) with one partner and one share a clip, in all its signals.

    Clips with a label are mixed among themselves, and so are clips without one.
    """
    size, device = len(batch.target), batch.target.device
    partner = _partners(batch.target, generator)
    seed = int(torch.randint(2**62, (), generator=generator, device=device))
    share = np.random.default_rng(seed).beta(options.mixup, options.mixup, size)
    keep = torch.as_tensor(share, dtype=torch.float32, device=device)
    mixed = _uniform((size,), batch.target, generator) < options.mix_share
    keep = torch.where(mixed, keep, 1.0)

    def blend(x: Tensor) -> Tensor:
        weight = keep.view(-1, *[1] * (x.ndim - 1))
        return weight * x + (1 - weight) * x[partner]

    return Batch(
        blend(batch.acceleration),
        blend(batch.skeleton),
        batch.has_skeleton & (batch.has_skeleton[partner] | (keep == 1)),
        batch.aligned & (batch.aligned[partner] | (keep == 1)),
        blend(batch.target),
    )


def join(batch: Batch, options: ViewOptions, generator: Generator) -> Batch:
    """Put a piece of another clip, up to half, in the place of one's own, in all its signals.

    Labels count by length, and clips with a label are joined among themselves. Source: Yun et al.,
    "CutMix" (ICCV 2019); along time is ours.
    """
    partner, size = _partners(batch.target, generator), (len(batch.target),)
    length = _uniform(size, batch.target, generator) * 0.5
    length = length * (_uniform(size, batch.target, generator) < options.cut)
    start = _uniform(size, batch.target, generator) * (1 - length)

    def cut_in(x: Tensor, time: int) -> Tensor:
        at = (torch.arange(x.shape[time], device=x.device) + 0.5) / x.shape[time]
        inside = (at >= start[:, None]) & (at < (start + length)[:, None])
        shape = [1] * x.ndim
        shape[0], shape[time] = inside.shape
        return torch.where(inside.view(shape), x[partner], x)

    whole = length == 0
    share = length[:, None]
    return Batch(
        cut_in(batch.acceleration, 2),
        cut_in(batch.skeleton, 1),
        batch.has_skeleton & (batch.has_skeleton[partner] | whole),
        batch.aligned & (batch.aligned[partner] | whole),
        batch.target * (1 - share) + batch.target[partner] * share,
    )


def resample(x: Tensor, positions: Tensor) -> Tensor:
    """Values of x [B, C, T] at positions [B, N] in [0, 1], linear between samples."""
    place = positions * (x.shape[-1] - 1)
    left = place.floor().long().clamp(0, x.shape[-1] - 2)
    share = (place - left).unsqueeze(1)
    left = left.unsqueeze(1).expand(-1, x.shape[1], -1)
    return x.gather(2, left) * (1 - share) + x.gather(2, left + 1) * share


def rotation_matrices(vectors: Tensor) -> Tensor:
    """Rotation vectors [B, 3] in radians -> matrices [B, 3, 3] (Rodrigues)."""
    x, y, z = vectors.unbind(1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).view(-1, 3, 3)
    matrices: Tensor = torch.linalg.matrix_exp(skew)
    return matrices


def _partners(target: Tensor, generator: Generator) -> Tensor:
    """Another clip for each [B]: for one with a label one with a label."""
    labelled = target.sum(1) > 0
    order = torch.randperm(len(target), generator=generator, device=target.device)
    partner = order.clone()
    for group in (labelled, ~labelled):
        partner[group] = order[group[order]]
    return partner


def _warp(
    acceleration: Tensor, skeleton: Tensor, options: ViewOptions, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Play the clip at a local speed that wanders, and cut off a little at both ends."""
    size, knots = len(acceleration), 5
    speed = _uniform((size, knots), acceleration, generator) * 2 - 1
    speed = torch.exp(options.time_warp * speed)
    start = _uniform((size, 1), acceleration, generator) * options.crop
    stop = 1 - _uniform((size, 1), acceleration, generator) * options.crop

    def positions(n: int) -> Tensor:
        at = torch.linspace(0, 1, n, device=speed.device).expand(size, -1)
        sums = torch.ones(n, n, device=speed.device).triu()  # cumsum is not deterministic on CUDA
        path = resample(speed.unsqueeze(1), at).squeeze(1) @ sums
        path = (path - path[:, :1]) / (path[:, -1:] - path[:, :1])
        return start + (stop - start) * path

    acceleration = resample(acceleration, positions(acceleration.shape[-1]))
    frames = skeleton.shape[1]
    flat = skeleton.flatten(2).transpose(1, 2)
    warped = resample(flat, positions(frames)).transpose(1, 2).reshape(skeleton.shape)
    return acceleration, warped


def _move_sensor(x: Tensor, options: ViewOptions, generator: Generator) -> Tensor:
    turn = rotation_matrices(_normal((len(x), 3), x, generator) * options.rotation)
    gain = 1 + _normal((len(x), 1, 1), x, generator) * options.scale
    return (turn @ x) * gain + _normal(x.shape, x, generator) * options.noise


def _move_body(x: Tensor, options: ViewOptions, generator: Generator, up: int) -> Tensor:
    size, _, joints, dims = x.shape
    if dims == 3:
        axis = torch.nn.functional.one_hot(torch.tensor(up), 3).to(x)
        heading = rotation_matrices(_normal((size, 1), x, generator) * options.yaw * axis)
        x = (x.flatten(1, 2) @ heading.transpose(1, 2)).view(x.shape)
    return x + _normal((size, 1, joints, dims), x, generator) * options.limbs


def _normal(shape: tuple[int, ...], like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=like.device)


def _uniform(shape: tuple[int, ...], like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=like.device)
