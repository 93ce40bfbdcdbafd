"""The data of a run, as its recipe says: opened, split, stretched into clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pskd.data.audit import Audit, audit
from pskd.data.clips import Clips, make_clips
from pskd.data.protocols import Split, make_split
from pskd.data.store import Store, open_store
from pskd.datasets import dataset
from pskd.datasets.base import Dataset
from pskd.distill.objective import wants_class_vectors
from pskd.distill.semantics import class_vectors, semantic_targets
from pskd.errors import ProtocolError, UsageError, nearest
from pskd.models import Signal
from pskd.recipe import Recipe
from pskd.train.disturb import disturb
from pskd.train.stream import draw_seed, draw_share


@dataclass(frozen=True)
class Prepared:
    """The data of a run: clips of each side, and what they came from."""

    source: Dataset
    store: Store
    split: Split
    audit: Audit
    signal: Signal
    train: Clips
    validation: Clips | None
    test: Clips
    class_vectors: Tensor


Reading = Callable[[], AbstractContextManager[Callable[[int, int], None] | None]]
"""Gives a function that is told how many trials have been read, and of how many."""


def prepare(
    recipe: Recipe, data_root: Path | None, cache: Path, reading: Reading = nullcontext
) -> Prepared:
    """Open the data of a recipe, split it, audit the split and stretch it into clips.

    Raises:
        DataError: The data cannot be used.
        ProtocolError: The split breaks its own rules, the audit found a leak, or a class has no
            labelled recording.
        UsageError: `labelled_subjects` names somebody who does not train.
    """
    source = dataset(recipe.dataset.name, data_root, recipe.dataset.options)
    with reading() as progress:
        store = open_store(source, cache, progress=progress)
    protocol = recipe.protocol
    options = protocol.options or source.protocols.get(protocol.name, {})
    split = make_split(protocol.name, store.info, source.classes, options)
    found = audit(store, split, source.classes)
    for leak in found.leaks:
        raise ProtocolError(
            leak.sentence.removesuffix("."),
            where=f"{source.name} {split.name}",
            remedy="`pskd data audit` shows all; mend the data or the split, or take a protocol "
            "that declares what it shares",
        )
    signal = Signal(
        classes=len(source.classes),
        samples=recipe.clips.samples,
        frames=recipe.clips.frames,
        layout=source.layout,
        embedding=recipe.embedding,
    )

    def side(indices: tuple[int, ...]) -> Clips:
        return make_clips(store, indices, signal.samples, signal.frames)

    vectors = torch.zeros(signal.classes, signal.embedding)
    if any(wants_class_vectors(stage) for stage in recipe.chain):
        names = class_vectors(source.classes, recipe.class_vectors)
        vectors = semantic_targets(names, signal.embedding)
    validation = side(split.validation) if split.validation else None
    train = side(split.train)
    if recipe.train_share < 1:
        draw = torch.Generator().manual_seed(draw_seed(recipe.seed, "train share"))
        used = draw_share(train, recipe.train_share, draw).nonzero().flatten()
        train = train.select(used.tolist())
    _check_labelled(recipe, train, source.classes)
    return Prepared(
        source,
        store,
        split,
        found,
        signal,
        train,
        validation,
        disturb(side(split.test), recipe.test, recipe.seed),
        vectors,
    )


def _check_labelled(recipe: Recipe, train: Clips, classes: Sequence[str]) -> None:
    """Whether those whose recordings may be labelled train, and show every class."""
    names = [str(name) for name in recipe.labelled_subjects]
    for name in names:
        if name not in train.subjects:
            raise UsageError(
                f"subject {name!r} does not train",
                where="labelled_subjects",
                remedy=nearest(name, set(train.subjects)),
            )
    if names:
        pairs = zip(train.subjects, train.labels.tolist(), strict=True)
        shown = {label for subject, label in pairs if subject in names}
        for label in sorted(set(train.labels.tolist()) - shown):
            raise ProtocolError(
                f"no labelled recording of class {classes[label]!r}",
                where="labelled_subjects",
                remedy="Name another subject too, one who has recordings of it",
            )
