"""The table of distillation losses, and how one says what it needs.

A loss is a torch module that knows tensors and nothing of datasets, models or recipes. It says
what it needs by the names of its parameters, and whoever calls it passes just that:

| parameter of `forward` | what it gets |
|---|---|
| `student_logits`, `teacher_logits` | [B, K] |
| `student_embedding`, `teacher_embedding` | [B, E], before the classifier |
| `student_features`, `teacher_features` | [B, D, T'], per-time features before pooling |
| `teachers_logits`, `teachers_embedding`, `teachers_features` | the same of all teachers, a list |
| `target` | [B, K], shares of the labels: mixed views have several, a clip without a label none |
| `index` | [B], int64, which training clips these are |
| `class_vectors` | [K, E], unit length |
| `skeleton` | [B, F, J, C], normalised |

| parameter of the constructor | what it gets |
|---|---|
| `student_channels`, `teacher_channels` | D of the features |
| `student_size`, `teacher_size` | E of the embeddings |
| `teachers_channels`, `teachers_size` | the same of all teachers, a list |
| `classes`, `clips`, `epochs` | K; number of training clips; epochs of the training |
| `coordinates` | J * C of the skeleton |

Every other parameter of the constructor is an option with a default. A loss of one teacher is
asked once for each teacher. `forward` gives a value a clip, [B], or one for the batch, []; all
clips it sees have their teacher. What it trains beside the student (regressors, memories) are its
own parameters and buffers. It draws from torch's global generator, which is seeded at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

LOSSES: dict[str, type[nn.Module]] = {}

L = TypeVar("L", bound=type[nn.Module])


def register(name: str) -> Callable[[L], L]:
    """Class decorator that enters a loss into `LOSSES` under `name`."""

    def enter(cls: L) -> L:
        LOSSES[name] = cls
        return cls

    return enter


def above_zero(name: str, value: float) -> float:
    """An option that has to be above 0, such as a temperature; else ValueError or TypeError."""
    if not value > 0:
        raise ValueError(f"{name} is {value}, not above 0")
    return value
