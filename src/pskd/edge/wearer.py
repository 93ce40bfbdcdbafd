"""A student folder fitted to a wearer by their own recordings, without labels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from pskd.data.accelerometer_file import AccelerometerFile
from pskd.edge.predict import cut_windows
from pskd.edge.settings import STREAM, read_settings, write_settings
from pskd.errors import UsageError
from pskd.models.adapt import adapt
from pskd.models.student_config import read_config
from pskd.models.student_folder import CONFIG, load_student, save_student

FEW = 27
"""With fewer, people held out of training gained less than a point (results/research-log.md)."""

_BEFORE = "Calibrated before the student adapted to its wearer."


def adapt_student(folder: Path, files: Iterable[AccelerometerFile], out: Path) -> int:
    """Write a student that has adapted to some recordings of a wearer; see `pskd.models.adapt`.

    How it decides on a stream, where that was calibrated, stays as it was. Recordings are
    cut into windows that do not overlap. What was done to a signal is added to the `notes` of its
    file.

    Args:
        folder: Student folder; it is left as it is.
        files: What the wearer did, of all that is to be recognised if possible.
        out: Folder to write the adapted student to.

    Returns:
        How many windows it has adapted to.

    Raises:
        UsageError: `out` is not empty, or the student has no batch norm.
        DataError: A recording is too short.
        CheckpointError: The student is torn or foreign, or `out` cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("is there already", where=out, remedy="Choose another --out")
    student, config = load_student(folder)
    windows = []
    for file in files:
        cut, notes = cut_windows(file, config, hop_seconds=config.window_seconds)
        file.notes.extend(notes)
        windows += [window.samples.T for window in cut]
    samples = torch.from_numpy(np.stack(windows)) if windows else torch.empty(0)
    adapted = adapt(student, samples)
    told = f"{config.protocol_note}; then adapted to {len(windows)} windows without labels"
    unmeasured = {"protocol_note": told, "accuracy": None, "macro_f1": None}
    settings = read_settings(folder)
    save_student(out, adapted, config.model_copy(update=unmeasured))
    if (folder / STREAM).exists():
        if settings.student_sha256:
            note = f"{settings.note.removesuffix(_BEFORE)[:1900]} {_BEFORE}".strip()
            same = {"student_sha256": read_config(out / CONFIG).sha256, "note": note}
            settings = settings.model_copy(update=same)
        write_settings(out, settings)
    return len(windows)
