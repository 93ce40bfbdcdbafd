"""Terms and layers that were tried beside those of `pskd.distill.losses`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.models import Model, Output, Signal, build
from pskd.models.layers import Head


class Contrast(nn.Module):
    """Tell the teacher's moment from those of other clips and of other times (InfoNCE)."""

    def __init__(self, mine: int, theirs: int, size: int = 64, temperature: float = 0.1) -> None:
        super().__init__()
        self.mine, self.theirs = nn.Conv1d(mine, size, 1), nn.Conv1d(theirs, size, 1)
        self.temperature = temperature

    def forward(self, mine: Tensor, theirs: Tensor) -> Tensor:
        """One value for the batch."""
        theirs = functional.adaptive_avg_pool1d(theirs, mine.shape[-1])
        pairs = ((self.mine, mine), (self.theirs, theirs))
        # Every fourth moment: neighbours are alike, and no negatives.
        a, b = (functional.normalize(f(x[..., ::4]), dim=1).mT.flatten(0, 1) for f, x in pairs)
        scores = a @ b.T / self.temperature
        own = torch.arange(len(a))
        return (functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)) / 2


class Adversary(nn.Module):
    """Whose clip is it? The features are pushed where that is hard to tell (Ganin et al. 2016)."""

    def __init__(self, channels: int, people: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(channels, 64), nn.ReLU(), nn.Linear(64, people))

    def forward(self, features: Tensor, shares: Tensor, much: float) -> Tensor:
        """One value for the batch; `much` is the weight of the turned gradient."""
        mean = features.mean(-1)
        turned = (1 + much) * mean.detach() - much * mean  # the gradient's sign and size
        return -(shares * self.net(turned).log_softmax(-1)).sum(-1).mean()


def across(embedding: Tensor, target: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrast (Khosla et al. 2020); mixed clips are alike by the labels they share."""
    unit = functional.normalize(embedding, dim=1)
    own = torch.eye(len(unit), dtype=torch.bool)
    scores = (unit @ unit.T / temperature).masked_fill(own, -1e4)
    alike = (target @ target.T).masked_fill(own, 0.0)
    alike = alike / alike.sum(1, keepdim=True).clamp(min=1.0)
    return -(alike * scores.log_softmax(1)).sum(1).mean()


def mix_styles(model: Model, share: float, g: torch.Generator) -> None:
    """While it trains, the stem and two blocks swap clips' means and deviations (Zhou 2021)."""

    def swap(module: nn.Module, _: object, x: Tensor) -> Tensor | None:
        if not module.training or float(torch.rand((), generator=g)) > share:
            return None
        mean, spread = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True) + 1e-5
        seed = int(torch.randint(2**62, (), generator=g))
        beta = np.random.default_rng(seed).beta(0.1, 0.1, (len(x), 1, 1, 1))
        keep = torch.as_tensor(beta, dtype=torch.float32)
        other = torch.randperm(len(x), generator=g)

        def blend(y: Tensor) -> Tensor:
            return (keep * y + (1 - keep) * y[other]).detach()

        return (x - mean.detach()) / spread.detach() * blend(spread) + blend(mean)

    encoder = model.encoder
    for layer in (encoder.stem, encoder.blocks[0], encoder.blocks[1]):
        layer.register_forward_hook(swap)


class Informed(Model):
    """The student, shown the norm of acceleration and its change from sample to sample too."""

    inputs = ("acceleration",)

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self.net = build("temporal_cnn", replace(signal, channels=2 * signal.channels + 1))
        self.feature_channels = self.net.feature_channels

    def forward(self, acceleration: Tensor) -> Output:
        """As the student."""
        norm = acceleration.norm(dim=1, keepdim=True)
        change = functional.pad(acceleration.diff(dim=2), (1, 0))
        return self.net(torch.cat([acceleration, norm, 4 * change], 1))


class Through(Model):
    """Tells where the joints are, and the class by that alone: 73,000 parameters."""

    inputs = ("acceleration",)

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self.encoder = build("temporal_cnn", signal).encoder
        self.feature_channels = len(signal.layout.joints) * signal.layout.dims
        self.path = nn.Conv1d(self.encoder.channels, self.feature_channels, 1)
        layers: list[nn.Module] = []
        for channels in (self.feature_channels, 48, 48):
            layers += [nn.Conv1d(channels, 48, 3, padding=1), nn.BatchNorm1d(48), nn.ReLU()]
        self.reader = nn.Sequential(*layers)
        self.head = Head(48, signal, 0.2)

    def forward(self, acceleration: Tensor) -> Output:
        """Features are the path of the joints [B, J * C, T']."""
        return self.read(self.path(self.encoder(acceleration)))

    def read(self, path: Tensor) -> Output:
        """The class by a path of joints [B, J * C, T']."""
        said: Output = self.head(self.reader(path))
        return said._replace(features=path)
