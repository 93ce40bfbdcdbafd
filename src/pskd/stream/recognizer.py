"""Recognition on a stream: samples in, in any pieces; a prediction for every window out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pskd.data.recording import STANDARD_GRAVITY
from pskd.edge.settings import StreamSettings
from pskd.edge.targets import Runner
from pskd.errors import UsageError, nearest
from pskd.models.student_config import StudentConfig
from pskd.signal.windows import Window, Windows
from pskd.stream.decisions import IDLE, UNKNOWN, Decider
from pskd.stream.intake import MAX_GAP_SECONDS, Counts, Intake, Piece

__all__ = ["IDLE", "UNKNOWN", "Counts", "Prediction", "Recognizer"]

UNITS = {"g": 1.0, "m/s2": STANDARD_GRAVITY}
SLOWEST, FASTEST = 0.25, 100.0
"""Rates that are taken, as multiples of the student's."""
GAPS = 20
"""So many before the first window are worth a notice."""


@dataclass(frozen=True)
class Prediction:
    """What goes on in a window.

    Attributes:
        start_s: Start of the window, in the time of the stream.
        end_s: End of the window.
        class_name: An action, `idle` or `unknown`.
        probability: Of the most probable class, smoothed.
        probabilities: Of all classes, smoothed, in the order of the student's classes.
        score: What rejection looks at; 0 where it is off.
        movement_g: How much the window moves; see `decisions.movement`.
        action: The action that is reported with this window: it has just been recognised.
        reported: Whether `class_name` is an action that was reported, with this window or before.
    """

    start_s: float
    end_s: float
    class_name: str
    probability: float
    probabilities: tuple[float, ...]
    score: float
    movement_g: float
    action: str | None
    reported: bool = False


class Recognizer:
    """Recognises what is done in a stream of accelerometer samples.

    However the samples are cut into pieces, the predictions are the same, and the same as for the
    whole recording at once. Memory does not grow: a window and what waits for its turn are kept.

    Args:
        runner: The student, as a target of `pskd.edge.targets` opens it.
        config: What the student expects and predicts.
        settings: How windows become decisions.
        unit: Of the samples.
        rate: Samples a second, where they come without times.
        lateness: Seconds that a sample may come after a later one; all wait for that long.

    Raises:
        UsageError: An unknown unit, a rate that the student cannot work with, a hop that is no time
            of at least one sample.
    """

    def __init__(
        self,
        runner: Runner,
        config: StudentConfig,
        settings: StreamSettings | None = None,
        *,
        unit: Literal["g", "m/s2"] = "g",
        rate: float | None = None,
        lateness: float = 0.0,
    ) -> None:
        self._runner, self._config = runner, config
        self.settings = settings or StreamSettings()
        if unit not in UNITS:
            raise UsageError(f"unknown unit {unit!r}", remedy=nearest(unit, UNITS))
        if rate is not None and not SLOWEST <= rate / config.rate <= FASTEST:
            raise UsageError(
                f"{rate:g} samples a second are far from the student's {config.rate:.4g}",
                remedy=f"Send {SLOWEST * config.rate:.3g} to {FASTEST * config.rate:.4g} a second",
            )
        self.hop_seconds = self.settings.hop_seconds or config.hop_seconds
        if self.hop_seconds * config.rate < 1:
            raise UsageError(
                f"a hop of {self.hop_seconds:g} s is not a time of at least one sample",
                remedy=f"Give one of {1 / config.rate:.3f} s or more",
            )
        self._one_g, self._rate, self._lateness = UNITS[unit], rate, lateness
        self.counts = Counts()
        self.notices: list[str] = []
        """What the user should know of the stream, each once."""
        self._begin()

    def push(self, acceleration: ArrayLike, times: ArrayLike | None = None) -> list[Prediction]:
        """Take the next samples.

        Args:
            acceleration: [n, 3] in the unit of the stream, n from 0.
            times: [n], s; none where the stream has a rate.

        Returns:
            Predictions of the windows that are complete with them, in order.

        Raises:
            UsageError: Samples of another shape, or without times or rate; none is taken.
        """
        values = np.asarray(acceleration, np.float64)
        if values.ndim != 2 or values.shape[1] != 3:
            raise UsageError(
                f"samples have shape {list(values.shape)}",
                remedy="Give [n, 3]: x, y and z of each sample",
            )
        at = self._times(len(values), times)
        self._given += len(values)
        self._pending.append((values, at))
        self._pending_samples += len(values)
        # One sample at a time would cost more than the student: what cannot complete a window
        # waits, for no longer than a window.
        early = not len(at) or at[-1] < self._due
        return [] if early and self._pending_samples < self._config.samples else self._work()

    def finish(self) -> list[Prediction]:
        """End the stream, or a part of it: give what is left. What comes then begins anew."""
        predictions = self._work()
        for piece in self._intake.finish():
            predictions += self._take(piece)
        predictions += self._predict(self._windows.finish())
        if self._given and not self.counts.windows:
            self._note(
                f"No window was ever full: the student needs {self._config.window_seconds:g} s "
                f"without a gap; {self._given} samples came, with {self.counts.gaps} gaps."
            )
        self._begin()
        return predictions

    def interrupt(self) -> list[Prediction]:
        """End a part where samples are missing, which a stream with a rate does not show."""
        lost = self._given > 0
        predictions = self.finish()
        self.counts.gaps += lost
        return predictions

    def _times(self, samples: int, times: ArrayLike | None) -> NDArray[np.float64]:
        if times is None and self._rate:
            return np.arange(self._given, self._given + samples) / self._rate
        if times is None or self._rate:
            had = (
                "without times and no rate was given" if times is None else "with times and a rate"
            )
            raise UsageError(f"samples come {had}", remedy="Give either times or a rate")
        at = np.asarray(times, np.float64)
        if at.shape != (samples,):
            raise UsageError(
                f"{samples} samples come with times of shape {list(at.shape)}",
                remedy="Give one time for each sample",
            )
        return at

    def _begin(self) -> None:
        self._intake = Intake(self.counts, self._lateness)
        self._decider = Decider(self.settings, self._config.classes, self.hop_seconds)
        self._given = self._pending_samples = 0
        self._due = -math.inf
        """Time of a sample before which no window is complete."""
        self._pending: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        self._begin_part()

    def _begin_part(self) -> None:
        self._windows = Windows(self._config.samples, self._config.window_seconds, self.hop_seconds)
        self._decider.reset()
        self._checked = False

    def _work(self) -> list[Prediction]:
        if not self._pending:
            return []
        values, times = map(np.concatenate, zip(*self._pending, strict=True))
        self._pending, self._pending_samples = [], 0
        with np.errstate(over="ignore"):  # what is too large is counted as not finite
            acceleration = (values / self._one_g).astype(np.float32)
        jumps = self.counts.clock_jumps
        predictions = [
            p for piece in self._intake.push(acceleration, times) for p in self._take(piece)
        ]
        self._due = self._windows.due + self._lateness
        if self.counts.clock_jumps > jumps:
            self._note("The clock of the device was set back: a new part of the stream began.")
        if self.counts.gaps >= GAPS and not self.counts.windows:
            self._note(
                f"No window was full yet, for {GAPS} gaps: samples come more than "
                f"{MAX_GAP_SECONDS:g} s apart. Are their times in seconds?"
            )
        return predictions

    def _take(self, piece: Piece) -> list[Prediction]:
        predictions = []
        if piece.begins:
            predictions += self._predict(self._windows.finish())
            self._begin_part()
        predictions += self._predict(self._windows.push(piece.acceleration, piece.times))
        return predictions

    def _predict(self, windows: Iterable[Window]) -> list[Prediction]:
        predictions = []
        for window in windows:
            self.counts.windows += 1
            if not self._checked:
                self._check(window)
            answer = self._runner(np.ascontiguousarray(window.samples.T[None]))
            decision = self._decider.decide(window.samples, answer, window.end_s)
            probabilities = tuple(decision.probabilities.tolist())
            predictions.append(
                Prediction(
                    window.start_s,
                    window.end_s,
                    decision.class_name,
                    max(probabilities),
                    probabilities,
                    decision.score,
                    decision.movement_g,
                    decision.action,
                    decision.reported,
                )
            )
        return predictions

    def _check(self, window: Window) -> None:
        """Notice, once a part, what makes predictions worthless."""
        self._checked = True
        rate, wanted = self._windows.input_rate, self._config.rate
        if rate < SLOWEST * wanted:
            self._note(
                f"Samples come {rate:.2g} times a second, far from the student's {wanted:.3g}: "
                "what it says is worth nothing."
            )
        elif rate < 0.8 * wanted:
            self._note(
                f"Samples come {rate:.2g} times a second, and the student was trained on "
                f"{wanted:.3g}: it misses movements above {rate / 2:.2g} Hz."
            )
        norm = float(np.median(np.linalg.norm(window.samples, axis=1)))
        if not 0.5 < norm < 2:
            self._note(
                f"The median norm of the acceleration is {norm:.3g} g where 1 is usual: is the "
                "unit right, and is gravity in it?"
            )

    def _note(self, notice: str) -> None:
        if notice not in self.notices:
            self.notices.append(notice)
