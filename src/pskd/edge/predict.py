"""Predictions of a trained student on windows of a user's accelerometer recording."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pskd.data.accelerometer_file import AccelerometerFile, read_csv
from pskd.errors import DataError, UsageError
from pskd.models.base import Model
from pskd.models.student_folder import StudentConfig
from pskd.signal.resample import cutoff, needs_filter, resample
from pskd.signal.windows import Window, Windows

__all__ = [
    "AccelerometerFile",
    "Window",
    "WindowPrediction",
    "cut_windows",
    "predict_windows",
    "read_csv",
]

BATCH = 32
"""Windows at a time; each may take tensors of `student_folder.MAX_TENSOR_BYTES`."""


@dataclass(frozen=True)
class WindowPrediction:
    """What a student says of a window.

    Attributes:
        start_s: Start of the window, in the time of the file.
        end_s: End of the window.
        class_name: The most probable class.
        probability: Its probability.
        probabilities: Those of all classes, in the order of the student's classes.
    """

    start_s: float
    end_s: float
    class_name: str
    probability: float
    probabilities: tuple[float, ...]


def predict_windows(
    student: Model,
    config: StudentConfig,
    file: AccelerometerFile,
    hop_seconds: float | None = None,
) -> list[WindowPrediction]:
    """Predict every window of a recording, in order; see `cut_windows` for how it is cut.

    What was done to the signal is added to `file.notes`.

    Args:
        student: A student in evaluation mode, as `load_student` gives it.
        config: Its configuration.
        file: The recording.
        hop_seconds: Time from one window to the next, by default that of `config`.

    Raises:
        UsageError: `hop_seconds` is not a time of at least one sample.
        DataError: The recording is too short.
    """
    windows, notes = cut_windows(file, config, hop_seconds)
    file.notes.extend(note for note in notes if note not in file.notes)
    device = next(student.parameters()).device
    predictions = []
    for first in range(0, len(windows), BATCH):
        batch = windows[first : first + BATCH]
        acceleration = torch.from_numpy(np.stack([window.samples.T for window in batch]))
        with torch.inference_mode():
            probabilities = student(acceleration.to(device)).logits.softmax(dim=1).tolist()
        for window, p in zip(batch, probabilities, strict=True):
            best = max(p)
            name = config.classes[p.index(best)]
            predictions.append(WindowPrediction(window.start_s, window.end_s, name, best, tuple(p)))
    return predictions


def cut_windows(
    file: AccelerometerFile, config: StudentConfig, hop_seconds: float | None = None
) -> tuple[list[Window], list[str]]:
    """Cut a recording into windows at the student's rate, none of them across a gap.

    Whole windows are taken from the start of each part between gaps; what is left at its end is
    not predicted. A recording without gaps that is shorter than a window, but at least half of it,
    becomes one window by stretching, as clips were in training.

    Returns:
        The windows, and notes on what was done.

    Raises:
        UsageError: `hop_seconds` is not a time of at least one sample.
        DataError: The recording is too short.
    """
    hop = config.hop_seconds if hop_seconds is None else hop_seconds
    if not (math.isfinite(hop) and hop * config.rate >= 1):
        raise UsageError(
            f"a hop of {hop:g} s is not a time of at least one sample",
            remedy=f"Give one of {1 / config.rate:.3f} s or more",
        )
    notes = _rate_notes(file.rate, config)
    windows = [window for part in file.segments for window in _slide(file, part, config, hop)]
    if windows:
        return windows, notes
    seconds = max(_seconds(file, part) for part in file.segments)
    if len(file.segments) > 1 or 2 * seconds < config.window_seconds:
        raise DataError(
            f"longest part without a gap is {seconds:.2f} s, too short for a window of "
            f"{config.window_seconds:g} s",
            where=file.path,
            remedy="Give a longer recording",
        )
    start, end = float(file.times[0]), float(file.times[-1])
    at = np.linspace(start, end, config.samples)
    samples = resample(file.acceleration, file.times, at)
    notes.append(
        f"The recording of {seconds:.2f} s was stretched to one window of "
        f"{config.window_seconds:g} s, as clips were in training."
    )
    return [Window(start, start + seconds, samples)], notes


def _seconds(file: AccelerometerFile, part: slice) -> float:
    """Duration of a part: T samples last T intervals."""
    times = file.times[part]
    return float(times[-1] - times[0]) + 1 / file.rate


def _slide(
    file: AccelerometerFile, part: slice, config: StudentConfig, hop: float
) -> Iterator[Window]:
    windows = Windows(config.samples, config.window_seconds, hop)
    yield from windows.push(file.acceleration[part], file.times[part])
    yield from windows.finish()


def _rate_notes(rate: float, config: StudentConfig) -> list[str]:
    if abs(rate / config.rate - 1) < 0.01:
        return []
    note = f"Resampled from {rate:.4g} Hz to the student's {config.rate:.4g} Hz"
    if needs_filter(rate, config.rate):
        note += f", after a low-pass filter at {cutoff(config.rate):.3g} Hz"
    elif config.rate > 1.5 * rate:
        note += f": it was trained on movements above {rate / 2:.3g} Hz, which the file cannot hold"
    return [note + "."]
