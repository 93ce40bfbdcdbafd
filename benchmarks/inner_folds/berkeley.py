"""Wrists of Berkeley-MHAD's twelve people: other wearers of the same sensor place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from fitting import BATCH
from torch import Tensor
from torch.nn import functional

from pskd.datasets.berkeley_mhad import BerkeleyMhad
from pskd.recipe import ViewOptions
from pskd.signal.augment import Batch, make_views

Piece = tuple[Tensor, int, float]  # acceleration [3, T] in g, label, Hz

SHARED = {3: 12, 4: 2, 5: 2, 6: 3, 7: 4}
"""Actions that UTD-MHAD has too, by its labels: boxing, wave (two hands, one), clap, throw."""


def wrists(root: Path, sides: Sequence[str] = ("right", "left")) -> list[Piece]:
    """All recordings, the left wrist mirrored; axes turned to point as those of UTD-MHAD do."""
    pieces = []
    for side in sides:
        axes = torch.tensor([[-1.0], [1.0 if side == "left" else -1.0], [1.0]])
        for one in BerkeleyMhad(root, {"sensor": f"{side}_wrist", "skeleton": "none"}).read():
            if hasattr(one, "acceleration"):
                x = torch.from_numpy(one.acceleration.T.copy()) * axes
                pieces.append((x, one.label, one.rate))
    return pieces


def shared(root: Path) -> list[Piece]:
    """Right wrists of the actions that UTD-MHAD has too, with its labels."""
    return [
        (x, SHARED[label], rate) for x, label, rate in wrists(root, ["right"]) if label in SHARED
    ]


def draw(pieces: list[Piece], g: torch.Generator, size: int = BATCH) -> tuple[Tensor, Tensor]:
    """2 to 4 s of some recordings, stretched to 128 samples, and their labels."""
    drawn = torch.randint(len(pieces), (size,), generator=g).tolist()
    cut = []
    for i in drawn:
        x, _label, rate = pieces[i]
        span = min(x.shape[1], int((2 + 2 * float(torch.rand((), generator=g))) * rate))
        first = int(torch.randint(x.shape[1] - span + 1, (), generator=g))
        piece = x[None, :, first : first + span]
        cut.append(functional.interpolate(piece, 128, mode="linear", align_corners=True)[0])
    return torch.stack(cut), torch.tensor([pieces[i][1] for i in drawn])


def random_view(x: Tensor, target: Tensor, options: ViewOptions, g: torch.Generator) -> Batch:
    """A random view of clips that have no skeleton."""
    there = torch.ones(len(x), dtype=torch.bool)
    return make_views(Batch(x, torch.zeros(len(x), 2, 1, 3), there, there, target), options, g)
