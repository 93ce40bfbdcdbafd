"""What a stage sees while it trains: the same keys, the same views of the same recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from pskd.data.clips import Clips
from pskd.recipe import Recipe, Stage, ViewOptions
from pskd.signal.augment import Batch, make_views


class View(NamedTuple):
    """One random view of some training clips."""

    clips: Tensor
    """[B], int64, which clips these are"""
    batch: Batch
    key: tuple[object, ...]
    """What its randomness was drawn from"""
    generator: Generator
    """As drawing the view has left it"""


@dataclass(frozen=True)
class Stream:
    """The views of a stage, epoch by epoch, from keys alone.

    Attributes:
        clips: Training clips.
        targets: Their labels, one-hot, zeros for a clip without one [N, K].
        pool: Which of the clips are seen [n].
        batch_size: Clips a step, over all processes.
        steps: Steps an epoch.
        seed: Of the recipe.
        name: Stages with the same name and seed see the same views.
        views: How a view is drawn.
        up: Upward axis of the skeleton.
        skeletons: Whether anyone looks at skeletons. Where nobody does, two frames stand for each,
            which saves their warping; whatever else is drawn is the same.
    """

    clips: Clips
    targets: Tensor
    pool: Tensor
    batch_size: int
    steps: int
    seed: int
    name: str
    views: ViewOptions
    up: int
    skeletons: bool = True

    def epoch(
        self, epoch: int, device: torch.device, rank: int = 0, world: int = 1
    ) -> Iterator[View]:
        """The views of an epoch, of process `rank` of `world`."""
        shuffle = torch.Generator().manual_seed(draw_seed(self.seed, self.name, epoch))
        order = epoch_order(self.pool, self.steps * self.batch_size, shuffle)
        for step, index in enumerate(torch.split(order, self.batch_size)):
            index = index[rank::world]
            plain = read_batch(self.clips, self.targets, index, None if self.skeletons else 2)
            key = (self.seed, self.name, epoch, step, rank)
            generator = torch.Generator(device).manual_seed(draw_seed(*key, "views"))
            batch = Batch(*(part.to(device) for part in plain))
            yield View(index, make_views(batch, self.views, generator, self.up), key, generator)


def make_stream(
    recipe: Recipe, stage: Stage, clips: Clips, classes: int, *, name: str, up: int
) -> Stream:
    """The views that a recipe gives a stage; without teachers it sees only clips with a label."""
    labelled = draw_labelled(recipe, clips)
    targets = nn.functional.one_hot(clips.labels, classes) * labelled.unsqueeze(1)
    batch_size = min(stage.fit.batch_size, len(clips))
    return Stream(
        clips=clips,
        targets=targets.float(),
        pool=torch.arange(len(clips)) if stage.teachers else labelled.nonzero().flatten(),
        batch_size=batch_size,
        steps=len(clips) // batch_size,
        seed=recipe.seed,
        name=name,
        views=recipe.views,
        up=up,
    )


def draw_labelled(recipe: Recipe, clips: Clips) -> Tensor:
    """Training clips that keep their label [N], bool; drawn from the recipe's seed."""
    draw = torch.Generator().manual_seed(draw_seed(recipe.seed, "labelled"))
    if not recipe.labelled_subjects:
        return draw_share(clips, recipe.labelled, draw)
    names = set(map(str, recipe.labelled_subjects))
    theirs = torch.tensor([subject in names for subject in clips.subjects]).nonzero().flatten()
    labelled = torch.zeros(len(clips), dtype=torch.bool)
    labelled[theirs[draw_share(clips.select(theirs.tolist()), recipe.labelled, draw)]] = True
    return labelled


def draw_seed(*keys: object) -> int:
    """A 63-bit seed from anything that can be printed: the same keys, the same seed."""
    digest = hashlib.sha256(repr(keys).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def seed_dropout(view: View) -> None:
    """Seed PyTorch's own generator, which dropout draws from, for one view.

    A CPU's is seeded by itself: `torch.manual_seed` writes down the stack for every other kind of
    device, which takes 3 % of the training of a small student.
    """
    seed = draw_seed(*view.key, "dropout")
    if view.batch.target.device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def read_batch(clips: Clips, targets: Tensor, index: Tensor, frames: int | None = None) -> Batch:
    """Clips as they are; row i of every tensor is the same recording.

    Args:
        clips: Training clips.
        targets: Their labels, see `Stream`.
        index: Which of them [B].
        frames: How many frames of each skeleton, from its beginning; all, if None.
    """
    return Batch(
        clips.read("acceleration", index),
        clips.read("skeleton", index, frames),
        clips.has_skeleton[index],
        clips.aligned[index],
        targets[index],
    )


def draw_share(clips: Clips, share: float, generator: Generator) -> Tensor:
    """Some recordings of each class [N], bool: this share of its moments, at least one."""
    keep = torch.zeros(len(clips), dtype=torch.bool)
    for label in torch.unique(clips.labels):
        moments: dict[str, list[int]] = {}
        for member in (clips.labels == label).nonzero().flatten().tolist():
            moments.setdefault(clips.moments[member], []).append(member)
        members = list(moments.values())
        drawn = torch.randperm(len(members), generator=generator)
        for moment in drawn[: max(round(share * len(members)), 1)].tolist():
            keep[members[moment]] = True
    return keep


def epoch_order(pool: Tensor, size: int, generator: Generator) -> Tensor:
    """`size` members of the pool in random order, each as often as any other, give or take one."""
    rounds = -(-size // len(pool))
    orders = [pool[torch.randperm(len(pool), generator=generator)] for _ in range(rounds)]
    return torch.cat(orders)[:size]
