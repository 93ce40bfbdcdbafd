"""Windows of long recordings as a dataset folder, with `idle` among its classes.

A student that was trained on whole actions alone has never seen a pause, nor half an action. One
that is trained on these windows has seen both.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml

from pskd.datasets import dataset
from pskd.datasets.folder.row import MANIFEST
from pskd.datasets.folder.settings import SETTINGS
from pskd.errors import DataError, UsageError
from pskd.models.student_config import CONFIG, read_config
from pskd.models.student_folder import find_student
from pskd.recipe import load_recipe
from pskd.stream.decisions import IDLE
from pskd.stream.labelled import LongRecording
from pskd.stream.long_recordings import long_recordings_of
from pskd.train.stream import draw_seed

COLUMNS = ("recording", "label", "subject", "split", "accelerometer", "start", "stop")
MOST, LEAST = 0.6, 0.3
"""A window is of an action from `MOST` of what it could hold of it on, idle below `LEAST`; others
are left out: nobody could say."""
HOPS = 4
"""Windows that begin in the time of one."""


def write_windows(
    run: Path, out: Path, *, data_root: Path | None, cache: Path, copies: int = 2, seed: int = 0
) -> dict[str, Counter[str]]:
    """Cut long recordings, made of a run's short ones, into windows of its student's length.

    Args:
        run: Folder of a finished run; its split and its classes are kept.
        out: The dataset folder, which is there whole or not at all.
        data_root: Folder of the dataset's files.
        cache: Folder of parsed datasets.
        copies: How often long recordings are made of the training side, each time in another
            order with other pauses.
        seed: Of all that is drawn.

    Returns:
        Windows of each class, by side.

    Raises:
        UsageError: The folder holds no finished run, or `out` is there already.
        DataError, ProtocolError: The data cannot be used as the recipe says.
    """
    if out.exists():
        raise UsageError("is there already", where=out, remedy="Name another folder")
    config = read_config(find_student(run) / CONFIG)
    if IDLE in config.classes:
        raise UsageError(
            f"knows {IDLE} already", where=run, remedy="Name a run of whole actions alone"
        )

    def made(side: str, copy: int) -> list[LongRecording]:
        drawn = draw_seed(seed, "windows", side, copy)
        return long_recordings_of(run, side, data_root=data_root, cache=cache, seed=drawn)

    counts: dict[str, Counter[str]] = {}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
            new = Path(temporary) / "folder"
            (new / "accelerometer").mkdir(parents=True)
            with (new / MANIFEST).open("w", newline="", encoding="utf-8") as file:
                manifest = csv.writer(file)
                manifest.writerow(COLUMNS)
                for side in ("train", "validation", "test"):
                    counts[side] = Counter()
                    for copy in range(copies if side == "train" else 1):
                        for number, one in enumerate(made(side, copy), 1):
                            name = f"{side}{copy}_{number}"
                            for window in _keep(one, new, name, config.window_seconds):
                                counts[side][window[0]] += 1
                                cells = f"{name}_{counts[side].total()}", window[0], one.subject
                                path = f"accelerometer/{name}.csv"
                                manifest.writerow([*cells, side, path, *window[1:]])
            _write_settings(run, data_root, new, [*config.classes, IDLE])
            new.rename(out)
    except OSError as error:
        raise DataError(
            f"cannot be written ({error.strerror})", where=out, remedy="Free some space"
        ) from error
    return counts


def _keep(
    one: LongRecording, folder: Path, name: str, seconds: float
) -> Iterator[tuple[str, float, float]]:
    """Write the samples of a recording; give label, start and stop of its windows."""
    rows = np.column_stack([one.times, one.acceleration])
    path = folder / "accelerometer" / f"{name}.csv"
    digits = ["%.9f"] + ["%.9g"] * 3  # times of a day at 10 kHz, and float32
    np.savetxt(path, rows, delimiter=",", header="t,x,y,z", comments="", fmt=digits)
    first, last = float(one.times[0]), float(one.times[-1])
    for start in np.arange(first, last - seconds, seconds / HOPS).round(4).tolist():
        label = label_of(one, start, start + seconds)
        if label is not None:
            yield label, start, round(start + seconds, 4)


def label_of(one: LongRecording, start: float, stop: float) -> str | None:
    """Class of a window, or None where nobody could say."""

    def share(action: tuple[float, float]) -> float:
        begin, end = action
        return (min(stop, end) - max(start, begin)) / min(stop - start, end - begin)

    held = max(((share(a[:2]), a.label) for a in one.truth), default=(0.0, IDLE))
    return held[1] if held[0] >= MOST else IDLE if held[0] < LEAST else None


def _write_settings(run: Path, data_root: Path | None, folder: Path, classes: list[str]) -> None:
    recipe = load_recipe(run / "recipe.yaml")
    source = dataset(recipe.dataset.name, data_root, recipe.dataset.options)
    settings = {
        "title": f"{source.title}: windows of long recordings with made-up pauses",
        "unit": "g",
        "placement": source.placement,
        "classes": classes,
        "licence": source.licence,
    }
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    (folder / SETTINGS).write_text(text, encoding="utf-8")
