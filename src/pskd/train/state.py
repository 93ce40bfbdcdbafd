"""What changes while a stage trains, and its way into a checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pskd.distill.chain import StageLoss
from pskd.errors import CheckpointError
from pskd.models import Model
from pskd.train.checkpoint import load_checkpoint, save_checkpoint
from pskd.train.quantised import Int8

_OLD = "class vectors"
"""Key in the identity of checkpoints that do not know `class names` yet."""


class Learner(nn.Module):
    """A model, its loss, and all that the loss trains beside it; with `int8`, in int8."""

    def __init__(self, model: Model, objective: nn.Module, int8: Int8 | None = None) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.int8 = int8

    def forward(self, signals: tuple[Tensor, ...], **view: Any) -> tuple[Tensor, StageLoss]:
        """Logits and the loss; `view` is what the objective is told of the batch."""
        if self.int8 is None:
            output = self.model(*signals)
        else:  # ranges settle in the first half, and then hold
            output = self.int8(self.model, *signals, observe=view["progress"] < 0.5)
        return output.logits, self.objective(*output, **view)


@dataclass
class State:
    """All that changes while a stage trains; what a checkpoint has to hold."""

    learner: Learner
    optimizer: torch.optim.AdamW
    average: Learner | None
    rows: list[dict[str, Any]]

    def save(self, path: Path, identity: Mapping[str, str], finished: bool) -> None:
        """Write a checkpoint; of a finished stage, the model and its metrics alone."""
        if finished:  # only the model is needed from here on
            tensors = {f"model.{k}": v for k, v in self.final_model().state_dict().items()}
        else:
            tensors = {f"learner.{k}": v for k, v in self.learner.state_dict().items()}
            for i, moments in self.optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{i}.{k}": v for k, v in moments.items()}
            if self.average:
                tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        meta = {"identity": dict(identity), "finished": finished, "rows": self.rows}
        save_checkpoint(path, tensors, meta)

    def restore(self, path: Path, identity: Mapping[str, str]) -> bool:
        """Take up a checkpoint; True if the stage is finished."""
        tensors, meta = load_verified(path, identity)
        self.rows[:] = meta["rows"]
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = tensor
        if meta["finished"]:
            self.final_model().load_state_dict(parts["model"])
            return True
        self.learner.load_state_dict(parts["learner"])
        if self.average:
            self.average.load_state_dict(parts["average"])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts["optimizer"].items():
            i, _, moment = name.partition(".")
            moments.setdefault(int(i), {})[moment] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        return False

    def final_model(self) -> Model:
        """The averaged weights where there are any, else the last ones."""
        return (self.average or self.learner).model

    def update_average(self, decay: float, step: int) -> None:
        """Move the average, where there is one, towards the weights after a step."""
        if self.average:
            move_average(self.average, self.learner, decay, step)


@torch.no_grad()
def move_average(average: nn.Module, now: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average, faster at first so that it forgets the initial weights."""
    keep = min(decay, (1 + step) / (10 + step))
    new = now.state_dict()
    for name, old in average.state_dict().items():
        if old.is_floating_point():
            old.lerp_(new[name], 1 - keep)
        else:
            old.copy_(new[name])


def load_verified(
    path: Path, identity: Mapping[str, str]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load a checkpoint of this very stage; CheckpointError if it is torn, foreign or another's."""
    tensors, meta = load_checkpoint(path)
    found = meta.get("identity", {})
    if _OLD in found:  # a hash of these to the last digit, which other CPUs have another of
        identity = {key: value for key, value in identity.items() if key != "class names"}
    other = [key for key in identity if found.get(key) != identity[key]]
    if other == ["clips"]:
        raise CheckpointError(
            f"was trained on clips of version {found.get('clips', 1)}, "
            f"this pskd makes version {identity['clips']}",
            where=path,
            remedy="Train again with another --out; finished runs can still be reported",
        )
    if other:
        raise CheckpointError(
            f"was not trained with the same {' and '.join(other)}",
            where=path,
            remedy="Delete it to have it trained again, take another --out, or use the data and "
            "the version of pskd that it was made with (environment.json of the run)",
        )
    return tensors, meta


def load_finished(
    path: Path, model: Model, identity: Mapping[str, str]
) -> tuple[Model, list[dict[str, Any]]]:
    """Load the weights of a finished stage into `model`; return it with the stage's metrics.

    Raises:
        CheckpointError: The stage is not finished, or its checkpoint is torn or foreign.
    """
    remedy = "Run the same `pskd train` command again"
    if not path.exists():
        raise CheckpointError("missing: the run is not finished", where=path, remedy=remedy)
    tensors, meta = load_verified(path, identity)
    if not meta["finished"]:
        raise CheckpointError("this stage is not finished", where=path, remedy=remedy)
    model.load_state_dict({name.removeprefix("model."): t for name, t in tensors.items()})
    return model, meta["rows"]
