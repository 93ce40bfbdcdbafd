"""What teachers say of the views that a stage trains on: asked on the spot, or kept in a book.

Teachers are frozen and views come from keys, so all stages that share a stream of views hear the
same lessons. A book keeps them in a folder, [steps, B, ...] float32 in .npy files, and many
students learn from it without running the teacher again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from pskd.data.cache import locked, part_of, put_in_place, writing
from pskd.data.npy import NpyWriter, map_npy
from pskd.distill.objective import Lesson
from pskd.models import Model
from pskd.signal.augment import Batch
from pskd.train.stream import Stream


class Source(Protocol):
    """Where the lessons of one teacher come from."""

    def lesson(self, step: int, batch: Batch) -> Lesson:
        """What the teacher says of the view of a step, counted from the start of training."""


class Teacher:
    """A trained model that is asked at every step.

    Args:
        model: The teacher.
        fabric: Device and precision.
        features: Whether its features are wanted.
    """

    def __init__(self, model: Model, fabric: Fabric, features: bool) -> None:
        self.model, self.fabric, self.features = model.eval().to(fabric.device), fabric, features

    @torch.no_grad()
    def lesson(self, step: int, batch: Batch) -> Lesson:
        """Run the teacher."""
        with self.fabric.autocast():
            output = self.model(*signals(self.model, batch))
        features = output.features.float() if self.features else None
        return Lesson(
            output.logits.float(),
            output.embedding.float(),
            features,
            available(self.model, batch),
        )


class Book:
    """Lessons of one teacher on one stream, read from a folder.

    Args:
        folder: What `write_book` made.
        steps: Steps of the whole training.

    Raises:
        OSError, ValueError: It is not there, torn, or of another length.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self.pages = {path.stem: map_npy(path, None) for path in folder.glob("*.npy")}
        lengths = {len(values) for values in self.pages.values()}
        if not {"logits", "embedding", "available"} <= self.pages.keys() or lengths != {steps}:
            raise ValueError(f"{folder} is no book of {steps} lessons")

    @property
    def has_features(self) -> bool:
        """Whether features were kept too."""
        return "features" in self.pages

    def lesson(self, step: int, batch: Batch) -> Lesson:
        """Read the page of a step."""
        device = batch.target.device
        page = {
            name: torch.from_numpy(np.array(values[step])).to(device)
            for name, values in self.pages.items()
        }
        return Lesson(
            page["logits"], page["embedding"], page.get("features"), page["available"].bool()
        )


def find_book(folder: Path, steps: int, features: bool) -> Book | None:
    """The book in a folder, if it is whole and has features where they are wanted."""
    try:
        book = Book(folder, steps)
    except (OSError, ValueError):
        return None
    return book if book.has_features or not features else None


def write_book(folder: Path, teacher: Teacher, stream: Stream, epochs: int) -> None:
    """Ask a teacher about every view of a training and keep what it says.

    A book that is there is kept, if it has what is wanted.

    Raises:
        DataError: The folder cannot be written.
    """
    steps = epochs * stream.steps
    stream = replace(stream, skeletons="skeleton" in teacher.model.inputs)
    with locked(folder):
        if find_book(folder, steps, teacher.features):
            return
        part = part_of(folder)
        shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
        try:
            with writing(folder), ExitStack() as files:
                part.mkdir()
                pages: dict[str, NpyWriter] = {}
                for name, values in _lessons(teacher, stream, epochs):
                    if name not in pages:
                        page = NpyWriter(part / f"{name}.npy", tuple(values.shape))
                        pages[name] = files.enter_context(closing(page))
                    pages[name].append(values.unsqueeze(0).float().cpu().numpy())
                for page in pages.values():
                    page.finish()
            put_in_place(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def signals(model: Model, batch: Batch) -> tuple[Tensor, ...]:
    """The modalities that a model takes, in its order."""
    return tuple(getattr(batch, name) for name in model.inputs)


def available(model: Model, batch: Batch) -> Tensor:
    """Clips that have every modality that a model takes [B], bool."""
    return batch.has_skeleton | ("skeleton" not in model.inputs)


def _lessons(teacher: Teacher, stream: Stream, epochs: int) -> Iterator[tuple[str, Tensor]]:
    step = 0
    for epoch in range(epochs):
        for view in stream.epoch(epoch, teacher.fabric.device):
            lesson = teacher.lesson(step, view.batch)
            for name, values in lesson._asdict().items():
                if values is not None:
                    yield name, values
            step += 1
