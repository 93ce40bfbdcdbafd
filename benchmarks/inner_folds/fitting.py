"""How everything here is trained: AdamW, one cycle and shuffled batches, as recipes have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from pskd.recipe import FitOptions
from pskd.train.fit import make_optimizer, set_learning_rate

FIT = FitOptions()
BATCH = FIT.batch_size


def descend(
    model: nn.Module,
    steps: int,
    loss_of: Callable[[int], Tensor],
    after: Callable[[int], None] = lambda _: None,
) -> None:
    """Train with AdamW and one cycle, as recipes do by default."""
    optimizer = make_optimizer(model, FIT)
    model.train()
    for step in range(steps):
        set_learning_rate(optimizer, step, steps, FIT)
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after(step)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """With shares of labels."""
    return -(target * logits.log_softmax(-1)).sum(-1).mean()


def orders(train: Tensor, g: torch.Generator) -> Iterator[Tensor]:
    """Indices of batch after batch, epoch after epoch."""
    while True:
        shuffled = train[torch.randperm(len(train), generator=g)]
        yield from shuffled[: len(train) // BATCH * BATCH].split(BATCH)


def orders_by_person(train: Tensor, subjects: Tensor, g: torch.Generator) -> Iterator[Tensor]:
    """The same, each batch of one person."""
    while True:
        batches: list[Tensor] = []
        for subject in subjects[train].unique():
            own = train[subjects[train] == subject]
            own = own[torch.randperm(len(own), generator=g)]
            batches += own[: len(own) // BATCH * BATCH].split(BATCH)
        yield from (batches[i] for i in torch.randperm(len(batches), generator=g).tolist())
