"""How much a classifier knows that sees no movement at all: duration and mean gravity.

Clips that were cut where an action ends tell the action by their length, and a wrist that hangs in
one class and points up in another tells it by its mean. What a model gains over these is what it
has learnt of movement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pskd.data.audit.findings import Finding
from pskd.data.audit.signals import Signals
from pskd.data.protocols import Split
from pskd.data.store import RecordingInfo

Doubles = NDArray[np.float64]
_PRIOR = 10.0  # recordings' worth of the common covariance in that of each class
_FAR, _ERRORS = 0.1, 3.0  # above the majority class: accuracy, and standard errors of it


def giveaways(infos: Sequence[RecordingInfo], split: Split, signals: Signals) -> Iterator[Finding]:
    """Tell how well duration, and duration with mean gravity, name the class on the test side."""
    train, test = (np.array(split.sides[side], np.int64) for side in ("train", "test"))
    labels = np.array([info.label for info in infos])
    seen = np.column_stack([signals.seconds, signals.per_recording(signals.samples)])
    varied = np.ptp(seen[np.concatenate([train, test]), 0]) > 1 / signals.rates.max()
    truth = labels[test]
    majority = float((truth == np.bincount(labels[train]).argmax()).mean())
    duration = _accuracy(seen[:, :1], labels, train, test) if varied else majority
    both = _accuracy(seen if varied else seen[:, 1:], labels, train, test)
    error = np.sqrt(majority * (1 - majority) / len(test))
    far = max(duration, both) - majority > max(_FAR, _ERRORS * error)
    told = (
        f"duration and mean gravity name {both:.1%} of the test recordings rightly, duration alone "
        f"{duration:.1%}"
        if varied
        else f"mean gravity names {both:.1%} of the test recordings rightly (all last equally "
        "long, so that duration tells nothing)"
    )
    yield Finding(
        "warning" if far else "fact",
        "giveaway",
        f"Without any movement, {told}; always naming the most frequent class, {majority:.1%}."
        + (" So much of a result may be posture and length." if far else ""),
        figures={"majority": majority, "duration": duration, "duration_and_gravity": both},
    )


def _accuracy(
    seen: Doubles, labels: NDArray[np.int64], train: NDArray[np.int64], test: NDArray[np.int64]
) -> float:
    guessed = discriminate(seen[train], labels[train], seen[test])
    return float((guessed == labels[test]).mean())


def discriminate(known: Doubles, labels: NDArray[np.int64], asked: Doubles) -> NDArray[np.int64]:
    """Name classes by a Gaussian each, its covariance shrunk towards the common one.

    Regularised discriminant analysis (Friedman 1989).

    Args:
        known: Features of the training recordings [N, D].
        labels: Their classes [N].
        asked: Features of the others [M, D].

    Returns:
        Their classes [M].
    """
    deviation = known.std(axis=0)
    deviation[deviation == 0] = 1
    known, asked = ((x - known.mean(axis=0)) / deviation for x in (known, asked))
    classes, which, count = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.stack([known[which == c].mean(axis=0) for c in range(len(classes))])
    around = known - means[which]
    common = around.T @ around / len(known)
    score = np.empty((len(asked), len(classes)))
    for c, mean in enumerate(means):
        own = around[which == c].T @ around[which == c]
        spread = (own + _PRIOR * common) / (count[c] + _PRIOR) + 1e-6 * np.eye(known.shape[1])
        far = asked - mean
        distance = (far @ np.linalg.inv(spread) * far).sum(axis=1)
        score[:, c] = np.log(count[c]) - (distance + np.linalg.slogdet(spread)[1]) / 2
    guessed: NDArray[np.int64] = classes[score.argmax(axis=1)]
    return guessed
