"""Changes of a batch that were tried beside those of `pskd.signal.augment`.

x is acceleration [B, 3, S] in g, g a generator.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

from pskd.models.skeleton import FRAME_DIFFERENCES
from pskd.signal.augment import resample, rotation_matrices


def wander(x: Tensor, size: float, g: Generator) -> Tensor:
    """Turn the sensor by a rotation that changes along the clip: postures of other people."""
    turn = _smooth(x, 3, g) * size
    matrices = rotation_matrices(turn.transpose(1, 2).reshape(-1, 3)).view(len(x), -1, 3, 3)
    turned: Tensor = (matrices @ x.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
    return turned


def dynamics(x: Tensor, size: float, g: Generator) -> Tensor:
    """Move with another force under the same gravity: what is above 1 Hz or so gets a gain."""
    slow = _lowpass(x)
    gain = torch.randn(len(x), 1, 1, generator=g) * size + _smooth(x, 1, g) * size / 2
    return slow + (x - slow) * torch.exp(gain)


def in_time(x: Tensor, seconds: Tensor) -> Tensor:
    """Stretched clips of so many seconds [B], played in real time; the ends are held."""
    longest = float(seconds.max())
    at = torch.linspace(-0.5, 0.5, round(longest * x.shape[-1] / float(seconds.median())))
    return resample(x, (0.5 + at * longest / seconds[:, None]).clamp(0, 1))


class Styles:
    """Clips of one class by different people, their moments matched by their skeletons (DTW).

    A clip is blended with one of another subject; shares outside 0 to 1 make styles beyond both.
    """

    def __init__(self, x: Tensor, skeleton: Tensor, labels: Tensor, subjects: Tensor) -> None:
        described = places_and_moves(skeleton)
        self.x, self.partners = x, dict[int, tuple[Tensor, Tensor]]()
        for label in labels.unique():
            own = (labels == label).nonzero().flatten()
            first, second = own.repeat_interleave(len(own)), own.repeat(len(own))
            apart = subjects[first] != subjects[second]
            first, second = first[apart], second[apart]
            maps, _ = dtw(described[first], described[second], x.shape[-1])
            for i in own.tolist():
                self.partners[i] = second[first == i], maps[first == i]

    def blend(
        self, index: Tensor, share: float, low: float, high: float, aligned: bool, g: Generator
    ) -> Tensor:
        """The clips at `index`, a `share` of them blended by low to high of the other one."""
        drawn = torch.rand(len(index), 3, generator=g)
        blended = self.x[index].clone()
        for n, i in enumerate(index.tolist()):
            if drawn[n, 0] < share:
                others, maps = self.partners[i]
                k = int(drawn[n, 1] * len(others))
                other = self.x[others[k]]
                if aligned:
                    other = resample(other[None], maps[k][None])[0]
                much = low + (high - low) * float(drawn[n, 2])
                blended[n] = (1 - much) * self.x[i] + much * other
        return blended


def _smooth(x: Tensor, channels: int, g: Generator) -> Tensor:
    knots = torch.randn(len(x), channels, 6, generator=g)
    return functional.interpolate(knots, x.shape[-1], mode="linear", align_corners=True)


def _lowpass(x: Tensor, width: int = 31) -> Tensor:
    window = torch.hann_window(width, periodic=False)
    kernel = (window / window.sum()).expand(3, 1, width)
    padded = functional.pad(x, (width // 2, width // 2), mode="replicate")
    return functional.conv1d(padded, kernel, groups=3)


def places_and_moves(skeleton: Tensor) -> Tensor:
    """What skeletons [n, T, J, C] are matched by: where each joint is, how it moves [n, T, D]."""
    places = skeleton.flatten(2)
    moves = torch.diff(places, dim=1, prepend=places[:, :1]) * FRAME_DIFFERENCES
    return torch.cat([places, moves], -1)


def dtw(a: Tensor, b: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Where in b [n, T, D] the moments of a [n, T, D] are, and how far apart both are in all.

    Returns:
        [n, samples] in [0, 1], and [n].
    """
    cost = torch.cdist(a, b)
    n, length, _ = cost.shape
    total = torch.full((n, length + 1, length + 1), float("inf"))
    total[:, 0, 0] = 0
    step = cost.mean((1, 2)) * 0.1  # so that it does not wait without need
    came = torch.zeros(n, length, length, dtype=torch.long)
    for i in range(length):
        for j in range(length):
            ways = [total[:, i, j], total[:, i, j + 1] + step, total[:, i + 1, j] + step]
            least, came[:, i, j] = torch.stack(ways, 1).min(1)
            total[:, i + 1, j + 1] = cost[:, i, j] + least
    i = torch.full((n,), length - 1)
    j, every = i.clone(), torch.arange(n)
    sums, counts = torch.zeros(n, length), torch.zeros(n, length)
    for _ in range(2 * length):
        live = (i >= 0) & (j >= 0)
        at, other = i.clamp(min=0), j.clamp(min=0)
        sums[every, at] += live * other.float()
        counts[every, at] += live.float()
        way = came[every, at, other]
        i, j = i - (way != 2).long() * live, j - (way != 1).long() * live
    path = sums / counts.clamp(min=1) / (length - 1)
    there = functional.interpolate(path[:, None], samples, mode="linear", align_corners=True)[:, 0]
    return there, total[:, -1, -1]
