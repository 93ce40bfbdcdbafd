"""What every model takes (`Signal`) and gives (`Output`), and the table of models by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, TypeVar

from torch import Tensor, nn

from pskd.data.skeleton import KINECT_V1, SkeletonLayout


@dataclass(frozen=True)
class Signal:
    """The signals of a run, as every model is told of them.

    Attributes:
        classes: Number of classes.
        samples: Accelerometer samples in a clip, S.
        channels: Accelerometer axes.
        frames: Skeleton frames in a clip, F.
        layout: Joints of the skeleton, J of them with C coordinates.
        embedding: Size of the embedding, E, shared by teachers and student.
    """

    classes: int
    samples: int = 128
    channels: int = 3
    frames: int = 64
    layout: SkeletonLayout = field(default=KINECT_V1)
    embedding: int = 64


class Output(NamedTuple):
    """What a model says of a batch of B clips."""

    logits: Tensor
    """[B, classes]"""
    embedding: Tensor
    """[B, E], before the classifier"""
    features: Tensor
    """[B, D, T'], per-time features before pooling"""


class Model(nn.Module):
    """Base of teachers and students.

    Attributes:
        inputs: Names of the modalities that `forward` takes, in order:
            `acceleration` [B, 3, S] in g, `skeleton` [B, F, J, C] normalised.
        feature_channels: D of `Output.features`.
    """

    inputs: ClassVar[tuple[str, ...]]
    feature_channels: int

    def __call__(self, *signals: Tensor) -> Output:
        """Run the model on its inputs, in the order of `inputs`."""
        output: Output = super().__call__(*signals)
        return output


MODELS: dict[str, type[Model]] = {}

M = TypeVar("M", bound=type[Model])


def register(name: str) -> Callable[[M], M]:
    """Class decorator that enters a model into `MODELS` under `name`."""

    def enter(cls: M) -> M:
        MODELS[name] = cls
        return cls

    return enter
