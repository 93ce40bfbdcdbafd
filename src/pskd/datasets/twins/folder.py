"""Simulated people in the folder format of docs/your-data.md.

With traps, the first recordings carry one common mistake each, in the order of `TRAPS`; one file is
in no line of the manifest, and one recording has two lines.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from pskd.data.recording import STANDARD_GRAVITY, Recording
from pskd.data.skeleton import KINECT_V1
from pskd.datasets.simulated import Simulated
from pskd.datasets.simulation.body import Array
from pskd.datasets.twins.places import check

TRAPS: dict[str, str] = {
    "wrong unit": "looks like g, not m/s2",
    "accelerometer file missing": "its accelerometer file is missing",
    "misspelt label": "is none of the classes",
    "word among numbers": "could not convert string to float: 'up'",
    "time goes back": "is earlier than the one before",
    "path out of the folder": "lies outside the folder",
    "joint long unseen": "joint 'left_foot' is not seen for",
    "wrong number of joints": "not floating numbers of shape (frames, 20, 3)",
    "gravity taken out": "gravity seems to be taken out",
    "clipped": "clips at 2 g",
    "gap": "no samples for 0.62 s",
    "skeleton late": "s late",
    "same signal twice": "has the same accelerometer signal as",
    "joint written as 0": "joint 'head' lies exactly at 0",
    "joint that never moves": "joint 'right_foot' never moves",
    "left and right exchanged": "left and right change places",
    "half the rate": "has 25 samples a second",
}
"""What each trap is, and what `pskd data check` says of it."""

_HEADER = ",".join(f"{joint}_{axis}" for joint in KINECT_V1.joints for axis in "xyz")


@dataclass
class _Files:
    """What is written of one recording."""

    recording: str
    label: str
    subject: str
    trial: str
    times: Array  # seconds [T]
    acceleration: Array  # m/s2 [T, 3]
    joints: Array  # metres [F, 20, 3]
    accelerometer: str = ""  # a path, where it is not the usual one


def write(
    folder: Path,
    *,
    subjects: int,
    trials: int,
    classes: int | None = None,
    seed: int = 0,
    traps: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the dataset; the same arguments give the same bytes.

    Accelerometer files are CSV with time stamps, in m/s2; skeletons CSV for every other person and
    npy for the rest. Every second person is tested.

    Args:
        folder: A new or empty folder.
        subjects: How many people.
        trials: How often each performs each action.
        classes: How many actions, from the first; all if None.
        seed: Other people and other takes.
        traps: Add those that the module names.
        progress: Called with the recordings written and all of them.

    Returns:
        How many recordings were written.

    Raises:
        UsageError: The folder has something in it, or a size is out of its range.
    """
    check(folder, subjects=subjects, trials=trials, classes=(classes, len(Simulated.classes)))
    names = Simulated.classes[:classes]
    people = Simulated(
        None, {"subjects": subjects, "trials": trials, "classes": list(names), "seed": seed}
    )
    for part in ("accelerometer", "skeleton"):
        (folder / part).mkdir(parents=True)
    lines = ["recording,label,subject,trial,split,accelerometer"]
    every = people.trials()
    pitfalls = iter(TRAPS if traps else ())
    before: _Files | None = None
    for done, trial in enumerate(every, start=1):
        files = _files(people.load(trial), names)
        trap = next(pitfalls, "")
        if trap == "same signal twice" and before:
            files.times, files.acceleration = before.times, before.acceleration
        _spring(trap, files)
        _write(folder, files, missing=trap == "accelerometer file missing")
        side = "test" if int(files.subject[1:]) % 2 == 0 else "train"
        cells = (files.recording, files.label, files.subject, files.trial, side)
        lines.append(",".join((*cells, files.accelerometer)))
        before = files
        if progress:
            progress(done, len(every))
    if traps:
        lines.append(lines[-1])
        (folder / "accelerometer" / "forgotten.csv").write_text("t,x,y,z\n0,0,0,9.8\n")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    (folder / "dataset.yaml").write_text(
        "title: Simulated people in a folder\n"
        "unit: m/s2\n"
        "rate: 50\n"
        "layout: kinect_v1\n"
        f"classes: [{', '.join(names)}]\n"
        "placement: right wrist\n"
        "licence: Apache-2.0\n"
    )
    return len(every)


def truth(trial: str, *, seed: int = 0) -> Recording:
    """Return what a reader must make of a recording without a trap.

    Args:
        trial: Its name in the simulated dataset, such as `a01_s2_t1`: class, subject, trial.
        seed: As given to `write`.
    """
    made = Simulated(None, {"subjects": 999, "trials": 999, "seed": seed}).load(trial)
    files = _files(made, Simulated.classes)
    return Recording(
        id=files.recording,
        dataset="folder",
        label=made.label,
        subject=files.subject,
        trial=files.trial,
        acceleration=(files.acceleration / STANDARD_GRAVITY).astype(np.float32),
        rate=50.0,
        skeleton=files.joints.astype(np.float32),
        side="test" if int(made.subject) % 2 == 0 else "train",
    )


def _files(made: Recording, names: tuple[str, ...]) -> _Files:
    assert made.skeleton is not None
    label = names[made.label]
    return _Files(
        recording=f"{label.replace(' ', '_')}_p{made.subject}_{made.trial}",
        label=label,
        subject=f"p{made.subject}",
        trial=made.trial,
        times=np.arange(len(made.acceleration)) / made.rate,
        acceleration=np.round(made.acceleration.astype(np.float64) * STANDARD_GRAVITY, 3),
        joints=np.asarray(made.skeleton.round(4), np.float64),
    )


def _spring(trap: str, files: _Files) -> None:
    """Change what is written of a recording as a common mistake would."""
    joints, force, joint = files.joints, files.acceleration, KINECT_V1.index
    middle, some = len(force) // 2, slice(len(joints) // 4, len(joints) // 2)
    match trap:
        case "wrong unit":
            force /= STANDARD_GRAVITY
        case "misspelt label":
            files.label = files.label[:-1]
        case "word among numbers":
            force[middle, 1] = np.nan
        case "time goes back":
            files.times[middle] -= 1
        case "path out of the folder":
            files.accelerometer = "../elsewhere.csv"
        case "joint long unseen":
            joints[: round(0.6 * len(joints)), joint("left_foot")] = np.nan
        case "wrong number of joints":
            files.joints = joints[:, :-1]
        case "gravity taken out":
            force -= gaussian_filter1d(force, 15, axis=0)
            force *= 0.4 / np.median(np.linalg.norm(force, axis=1))
        case "clipped":
            limit = 2 * STANDARD_GRAVITY
            np.clip(force * 1.5 * limit / np.abs(force).max(), -limit, limit, out=force)
        case "gap":
            files.times = np.delete(files.times, slice(middle, middle + 30))
            files.acceleration = np.delete(force, slice(middle, middle + 30), axis=0)
        case "skeleton late":
            late = round(len(joints) / (len(force) / 50))
            files.joints = np.concatenate([np.repeat(joints[:1], late, axis=0), joints[:-late]])
        case "joint written as 0":
            joints[some, joint("head")] = 0
        case "joint that never moves":
            joints[:, joint("right_foot")] = joints[0, joint("right_foot")]
        case "left and right exchanged":
            mirror = [joint(_other_side(name)) for name in KINECT_V1.joints]
            joints[some] = joints[some][:, mirror]
        case "half the rate":
            files.times, files.acceleration = files.times[::2], force[::2]


def _other_side(joint: str) -> str:
    side, _, rest = joint.partition("_")
    return {"left": "right", "right": "left"}.get(side, side) + (f"_{rest}" if rest else "")


def _write(folder: Path, files: _Files, *, missing: bool) -> None:
    if not missing:
        table = np.column_stack([files.times, files.acceleration])
        text = _csv("t,x,y,z", table, ["%.2f", "%.3f", "%.3f", "%.3f"], "up")
        (folder / "accelerometer" / f"{files.recording}.csv").write_text(text)
    path = folder / "skeleton" / files.recording
    frames, joints, _ = files.joints.shape
    if int(files.subject[1:]) % 2 and joints == len(KINECT_V1.joints):
        text = _csv(_HEADER, files.joints.reshape(frames, -1), "%.4f", "")
        path.with_suffix(".csv").write_text(text)
    else:
        np.save(path.with_suffix(".npy"), files.joints.astype(np.float32))


def _csv(header: str, table: Array, form: str | list[str], hole: str) -> str:
    buffer = io.StringIO()
    np.savetxt(buffer, table, form, ",", header=header, comments="")
    return buffer.getvalue().replace("nan", hole)
