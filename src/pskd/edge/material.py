"""What an export is made from and judged by: the student, and windows of either side of its run."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pskd.data.clips import Clips
from pskd.edge.settings import StreamSettings, read_settings
from pskd.errors import UsageError
from pskd.models.base import Model
from pskd.models.layers import Head
from pskd.models.student_config import read_config
from pskd.models.student_folder import CONFIG, StudentConfig, load_student
from pskd.recipe import load_recipe
from pskd.train.prepare import prepare
from pskd.train.stream import draw_seed

CALIBRATION = 256
"""Windows of the training side that ranges are measured on."""

Windows = NDArray[np.float32]
"""Acceleration [N, 3, S] in g."""


class Scores(NamedTuple):
    """What an exported student returns."""

    logits: Tensor
    probabilities: Tensor


def score(student: nn.Module, acceleration: Tensor) -> Scores:
    """Logits and probabilities [B, K] of raw windows [B, 3, S]."""
    logits = student(acceleration).logits
    return Scores(logits, logits.softmax(1))


class Deployed(nn.Module):
    """A student as it leaves: raw window [1, 3, S] in g -> logits and probabilities [1, K].

    The embedding is needed in training only: it and the classifier, with nothing between them but
    dropout, become one layer where that has fewer weights.
    """

    def __init__(self, student: Model) -> None:
        super().__init__()
        self.student = copy.deepcopy(student).eval()
        for head in self.student.modules():
            if isinstance(head, Head):
                _merge(head)

    def forward(self, acceleration: Tensor) -> Scores:
        """Run the student; all that it does to the raw samples is part of it."""
        return score(self.student, acceleration)


@torch.no_grad()
def _merge(head: Head) -> None:
    first, then = head.embedding, head.classifier
    merged = nn.Linear(first.in_features, then.out_features)
    if merged.weight.numel() >= first.weight.numel() + then.weight.numel():
        return
    weights = then.weight.double()
    merged.weight.copy_(weights @ first.weight.double())
    merged.bias.copy_(weights @ first.bias.double() + then.bias)
    head.embedding, head.classifier = nn.Identity(), merged  # type: ignore[assignment]


@dataclass(frozen=True)
class Material:
    """A trained student with the windows that its export needs.

    Attributes:
        student: In evaluation mode, on the CPU.
        config: What it expects and predicts.
        calibration: Windows of training subjects only; none, where the data are not at hand.
        test: All windows of the test side, in the order of the run's predictions.
        labels: [N] of `test`.
        settings: How it decides on a stream.
    """

    student: Model
    config: StudentConfig
    calibration: Windows
    test: Windows
    labels: NDArray[np.int64]
    settings: StreamSettings = field(default_factory=StreamSettings)


def load_material(
    run: Path, *, student: Path | None = None, data_root: Path | None, cache: Path
) -> Material:
    """Read the student of a finished run and the data that its recipe names.

    Args:
        run: Folder of the run.
        student: Folder of a student that came of the run's, as `pskd adapt` writes it; by default
            the run's own.
        data_root: Folder of the dataset's files.
        cache: Folder of parsed datasets.

    Raises:
        UsageError: There is no finished run; a student folder alone comes without windows. Or the
            student takes other windows or names other actions than the run's.
        CheckpointError: The student folder is torn, foreign or newer.
        DataError, ProtocolError: The data cannot be used as the recipe says.
    """
    if (run / CONFIG).is_file():
        raise UsageError(
            "this is a student without its run, whose windows exports are checked with",
            where=run,
            remedy="Name the folder of the run; `pskd export` takes this one by --student too",
        )
    if not (run / "recipe.yaml").is_file() or not (run / "student").is_dir():
        raise UsageError(
            "no finished run here",
            where=run,
            remedy="Name the folder of a run: `pskd train` again finishes one that was stopped",
        )
    folder = student or run / "student"
    model, config = load_student(folder)
    if student:
        own = read_config(run / "student" / CONFIG)
        for name in ("classes", "samples", "rate", "model", "options", "dataset", "seed"):
            if getattr(own, name) != getattr(config, name):
                raise UsageError(
                    f"its {name} are not those of the student of {run}",
                    where=student,
                    remedy="Name the run that it came of",
                )
    recipe = load_recipe(run / "recipe.yaml")
    data = prepare(recipe, data_root, cache)
    draw = torch.Generator().manual_seed(draw_seed(recipe.seed, "calibration"))
    some = torch.randperm(len(data.train), generator=draw)[:CALIBRATION].sort().values
    return Material(
        model,
        config,
        _windows(data.train.select(some.tolist())),
        _windows(data.test),
        data.test.labels.numpy(),
        read_settings(folder),
    )


def _windows(clips: Clips) -> Windows:
    read: Windows = clips.read("acceleration", torch.arange(len(clips))).numpy()
    return read
