"""Choosing how a student decides on a stream, on people that nothing is reported on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pskd.edge.settings import StreamSettings, write_settings
from pskd.edge.targets import Runner
from pskd.errors import DataError, UsageError
from pskd.evaluate.events import Interval
from pskd.models.student_config import StudentConfig
from pskd.models.student_folder import find_student
from pskd.stream.evaluate import LOWEST, recognise, remember
from pskd.stream.labelled import LongRecording
from pskd.stream.long_recordings import long_recordings_of
from pskd.stream.recognizer import Prediction
from pskd.stream.runtime import open_student

IDLE_SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares of the action windows that move less than what counts as idle."""
SMOOTHING: tuple[dict[str, Any], ...] = (
    {"smoothing": "none"},
    *({"smoothing": "exponential", "smoothing_seconds": s} for s in (0.5, 1.0, 2.0)),
    *({"smoothing": "hmm", "smoothing_seconds": s} for s in (2.0, 4.0)),
)
AGREE = (1, 2, 3)
"""Windows in a row."""
REFRACTORY = (0.0, 1.0, 2.0)
"""Seconds."""
LEAST_GAIN = 0.01
"""Of F1, for which a setting is worth having."""
POINTS = 101
"""Thresholds of a curve."""


class Curve(NamedTuple):
    """What a threshold keeps and lets through."""

    thresholds: list[float]
    """Rising, from one that keeps all."""
    kept: list[float]
    """Share of the action windows whose score is as high."""
    let_through: list[float]
    """The same share of the other windows: pauses, and changes from and to them."""


class Trial(NamedTuple):
    """Settings that were tried, and what came of them."""

    settings: StreamSettings
    f1: float
    """Of events, mean over the recordings: a thigh worn for minutes counts as a wrist for hours."""


class Calibration(NamedTuple):
    """What was measured, and chosen by it."""

    settings: StreamSettings
    """Chosen, with a note on what they were chosen on."""
    f1: float
    """With them, on what they were chosen on."""
    curves: dict[str, Curve]
    """Of `probability`, `energy` and `movement`."""
    trials: list[Trial]
    """In the order in which they were made; the first is of the defaults."""


def calibrate(
    run: Path,
    *,
    of: Path | None = None,
    data_root: Path | None,
    cache: Path,
    reject: float = 0.05,
    seed: int = 0,
) -> Calibration:
    """Choose the settings of a run's student and write them into its folder.

    Long recordings are made of the validation side, or of the training side where the protocol has
    none. See `choose` for how.

    Args:
        run: Folder of a finished run.
        of: Folder of the run whose recordings are used, where it is another.
        data_root: Folder of the dataset's files.
        cache: Folder of parsed datasets.
        reject: Share of the action windows that a threshold of rejection may cost.
        seed: Of the long recordings.

    Raises:
        UsageError: The folder holds no finished run, or `reject` is no share.
        DataError, ProtocolError: The data cannot be used, or there are none to calibrate with.
        CheckpointError: The student is torn, foreign or newer.
    """
    if not 0 <= reject < 1:
        raise UsageError(f"{reject:g} is no share", remedy="Give --reject from 0 to below 1")
    student = open_student(run, settings=StreamSettings())

    def side(name: str) -> list[LongRecording]:
        return long_recordings_of(of or run, name, data_root=data_root, cache=cache, seed=seed)

    held_out = side("validation")
    recordings = held_out or side("train")
    if not recordings:
        raise DataError(
            "has no recordings to calibrate with",
            where=run,
            remedy="Name a run whose split has a validation or a training side",
        )
    found = choose(student.runner, student.config, recordings, reject)
    hours = sum(recording.seconds for recording in recordings) / 3600
    note = f"Calibrated on {len(recordings)} streams, {hours:.2f} h, made of " + (
        "the validation side."
        if held_out
        else "the training side: a student is surer of people that it was trained on, so that on "
        "others more is rejected or missed."
    )
    settings = found.settings.model_copy(
        update={"note": note, "student_sha256": student.config.sha256}
    )
    write_settings(find_student(run), settings)
    return found._replace(settings=settings)


def choose(
    runner: Runner, config: StudentConfig, recordings: Sequence[LongRecording], reject: float
) -> Calibration:
    """Choose settings on long recordings, by the mean over them of the F1 of events.

    One after the other, what was chosen before kept: movement below which a window is idle, with
    smoothing and how many windows must agree; then the score of rejection, at the threshold that
    rejects the share `reject` of the action windows that are not idle; then the refractory time.
    What gains less than `LEAST_GAIN` is left as it was.

    Raises:
        DataError: A recording is too short for a window, or no window holds an action.
    """
    runner = remember(runner)
    curves, action_scores = _curves(runner, config, recordings)
    best = _trial(runner, config, StreamSettings(), recordings)
    trials = [best]

    def attempt(changes: Iterable[dict[str, Any]]) -> None:
        nonlocal best
        tried = [
            _trial(runner, config, best.settings.model_copy(update=change), recordings)
            for change in changes
        ]
        trials.extend(tried)
        top = max(tried, key=lambda trial: trial.f1)
        if top.f1 >= best.f1 + LEAST_GAIN:
            best = top

    moves = action_scores["movement"]
    attempt(
        {"idle_g": float(np.quantile(moves, share)) if share else 0.0, "agree": agree, **smoothing}
        for share in IDLE_SHARES
        for smoothing in SMOOTHING
        for agree in AGREE
    )
    left = moves >= best.settings.idle_g
    attempt(
        {"rejection": kind, "threshold": float(np.quantile(action_scores[kind][left], reject))}
        for kind in ("probability", "energy")
    )
    attempt({"refractory_seconds": seconds} for seconds in REFRACTORY)
    return Calibration(best.settings, best.f1, curves, trials)


def _trial(
    runner: Runner,
    config: StudentConfig,
    settings: StreamSettings,
    recordings: Sequence[LongRecording],
) -> Trial:
    done = recognise(runner, config, settings, recordings)
    return Trial(settings, fmean(one.figures.f1 for one in done))


def _curves(
    runner: Runner, config: StudentConfig, recordings: Sequence[LongRecording]
) -> tuple[dict[str, Curve], dict[str, NDArray[np.float64]]]:
    """Curves of all scores, and the scores of the action windows."""
    curves, action_scores = {}, {}
    for kind in ("probability", "energy", "movement"):
        rejection = "probability" if kind == "movement" else kind
        settings = StreamSettings.model_validate({"rejection": rejection, "threshold": LOWEST})
        scores, actions = [], []
        for one in recognise(runner, config, settings, recordings):
            for p in one.predictions:
                scores.append(p.movement_g if kind == "movement" else p.score)
                actions.append(holds_action(p, one.recording.truth))
        values, holds = np.array(scores), np.array(actions)
        if not holds.any():
            raise DataError(
                f"no window of {config.window_seconds:g} s is half filled by an action",
                where="calibration",
                remedy="Calibrate with longer actions, or a student of shorter windows",
            )
        thresholds = np.quantile(values, np.linspace(0, 1, POINTS))
        curves[kind] = Curve(
            thresholds.tolist(),
            [float((values[holds] >= t).mean()) for t in thresholds],
            [float((values[~holds] >= t).mean()) if not holds.all() else 0.0 for t in thresholds],
        )
        action_scores[kind] = values[holds]
    return curves, action_scores


def holds_action(window: Prediction, truth: Sequence[Interval]) -> bool:
    """Whether one action takes up half of a window or more."""
    half = (window.end_s - window.start_s) / 2
    return any(min(window.end_s, a.stop) - max(window.start_s, a.start) >= half for a in truth)
