"""From what a student says of windows to what is going on, and to actions that are reported."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pskd.edge.settings import StreamSettings
from pskd.edge.targets import Answer

IDLE, UNKNOWN = "idle", "unknown"

Probabilities = NDArray[np.float64]


class Decision(NamedTuple):
    """What is going on in a window, in the light of those before."""

    class_name: str
    """An action, `idle` or `unknown`."""
    probabilities: Probabilities
    """[K], smoothed."""
    score: float
    movement_g: float
    action: str | None
    """The action that is reported with this window: it has just been recognised."""
    reported: bool
    """Whether the class is an action that was reported, with this window or before."""


def movement(window: NDArray[np.float32]) -> float:
    """Root mean square distance of the samples [S, 3] from their mean, in their unit."""
    x = window.astype(np.float64)
    mean = np.add.reduce(x) / len(x)
    return math.sqrt(max(0.0, float(np.vdot(x, x)) / len(x) - float(mean @ mean)))


def score(rejection: str, answer: Answer) -> float:
    """How sure a student is of a window: its largest probability, or minus the free energy."""
    if rejection == "probability":
        return float(answer.probabilities.max())
    if rejection == "energy":
        logits = answer.logits.astype(np.float64)
        most = float(logits.max())
        return most + math.log(float(np.exp(logits - most).sum()))
    return 0.0


class Decider:
    """Decides window by window, within a part of a stream that has no gap.

    A window without movement is idle, one with a low score unknown; either says nothing of the
    classes, so that its probabilities count as equal.

    Args:
        settings: How to.
        classes: Names of the classes.
        hop: Time from one window to the next, s.
    """

    def __init__(self, settings: StreamSettings, classes: list[str], hop: float) -> None:
        self._settings, self._classes = settings, classes
        self._kept = math.exp(-hop / settings.smoothing_seconds)
        self.reset()

    def reset(self) -> None:
        """Forget the windows before: a new part begins."""
        self._probabilities: Probabilities | None = None
        self._named, self._windows, self._reported = "", 0, False
        self._reported_s = -math.inf

    def decide(self, window: NDArray[np.float32], answer: Answer, end_s: float) -> Decision:
        """Decide on the next window [S, 3], in g, that ends at some time."""
        settings = self._settings
        moved = movement(window)
        sure = score(settings.rejection, answer)
        idle = moved < settings.idle_g
        unknown = settings.rejection != "none" and sure < settings.threshold
        if idle or unknown:
            new = np.full(len(self._classes), 1 / len(self._classes))
        else:
            new = answer.probabilities.astype(np.float64)
        self._probabilities = smoothed = self._smooth(new)
        name = IDLE if idle else UNKNOWN if unknown else self._classes[int(smoothed.argmax())]
        action = self._report(name, end_s)
        return Decision(name, smoothed, sure, moved, action, self._reported)

    def _smooth(self, new: Probabilities) -> Probabilities:
        old = self._probabilities
        if old is None or self._settings.smoothing == "none":
            return new
        if self._settings.smoothing == "exponential":
            return (1 - self._kept) * new + self._kept * old
        # One step of the forward algorithm (Rabiner 1989): an action goes on or any other begins.
        left = (1 - self._kept) / (len(old) - 1)
        joint = (left + (self._kept - left) * old) * new
        total = joint.sum()
        return joint / total if total > 0 else new

    def _report(self, name: str, end_s: float) -> str | None:
        if name != self._named:
            self._named, self._windows, self._reported = name, 0, False
        self._windows += 1
        early = end_s - self._reported_s < self._settings.refractory_seconds
        if name in (IDLE, UNKNOWN) or self._reported or early:
            return None
        if self._windows < self._settings.agree:
            return None
        self._reported, self._reported_s = True, end_s
        return name
