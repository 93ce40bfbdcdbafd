"""Scores of predictions: accuracy, class F1, and both broken down by class and subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torchmetrics.functional.classification import multiclass_confusion_matrix

from pskd.errors import DataError

Fraction = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class. A ratio without any case is 0; `support` counts the true clips."""

    precision: Fraction
    recall: Fraction
    f1: Fraction
    support: int


@dataclass(frozen=True)
class Scores:
    """The `test` block of a stage in summary.json; `dataclasses.asdict` gives its JSON.

    Attributes:
        n: Clips.
        accuracy: Share of the clips that are right.
        macro_f1: Mean F1 of the classes that occur among the labels or the predictions.
            A class that occurs in neither says nothing and is left out of the mean.
        per_class: Scores by class name, every class of the dataset.
        per_subject: Accuracy by subject.
    """

    n: int
    accuracy: Fraction
    macro_f1: Fraction
    per_class: dict[str, ClassScores]
    per_subject: dict[str, Fraction]


def score(
    true: ArrayLike, predicted: ArrayLike, subjects: Sequence[str], classes: Sequence[str]
) -> Scores:
    """Score predicted against true class indices.

    Args:
        true: Class indices [N].
        predicted: Class indices [N].
        subjects: Who moved in each of the N clips.
        classes: Class names.

    Raises:
        DataError: There are no clips, lengths differ, an index is outside the classes, or two
            classes share a name.
    """
    if len(set(classes)) < len(classes):
        raise DataError("two classes share a name", remedy="Give each class its own name")
    matrix = confusion_matrix(true, predicted, len(classes))
    right = np.asarray(true) == np.asarray(predicted)
    who = np.asarray(subjects, dtype=str)
    if who.shape != right.shape:
        raise DataError(f"{len(who)} subjects for {len(right)} clips")
    hits, support, claimed = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    precision, recall = _ratio(hits, claimed), _ratio(hits, support)
    f1 = _ratio(2 * hits, support + claimed)
    return Scores(
        n=len(right),
        accuracy=float(right.mean()),
        macro_f1=float(f1[support + claimed > 0].mean()),
        per_class={
            name: ClassScores(float(precision[k]), float(recall[k]), float(f1[k]), int(support[k]))
            for k, name in enumerate(classes)
        },
        per_subject={str(s): float(right[who == s].mean()) for s in sorted(set(who.tolist()))},
    )


def confusion_matrix(true: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count clips [classes, classes]: rows are the true class, columns the predicted one."""
    labels, guesses = np.asarray(true), np.asarray(predicted)
    if labels.ndim != 1 or labels.shape != guesses.shape:
        raise DataError(f"labels {labels.shape} and predictions {guesses.shape} do not pair up")
    if not len(labels):
        raise DataError("there are no clips to score")
    for kind, values in (("label", labels), ("prediction", guesses)):
        wrong = values[(values < 0) | (values >= classes)]
        if len(wrong):
            raise DataError(f"{kind} {wrong[0]} is outside the {classes} classes")
    counts = multiclass_confusion_matrix(
        torch.as_tensor(guesses, dtype=torch.long),
        torch.as_tensor(labels, dtype=torch.long),
        num_classes=classes,
    )
    return np.asarray(counts.numpy(), dtype=np.int64)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return part / np.maximum(whole, 1)
