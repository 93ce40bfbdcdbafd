"""A simulated UTD-MHAD: `Inertial.zip` and `Skeleton.zip` with the official names and formats.

With traps, where the size asked for has such a trial: t4 of a8/s1, a23/s6 and a27/s8 are missing,
as in the official archives; the accelerometer clips at -8 g for many samples in a5_s1_t1; the
skeleton of a6_s1_t1 has only 11 frames a second; and, as in no official file, the inertial file of
a2_s1_t1 is torn, that of a3_s1_t1 names its array `inertial`, that of a4_s1_t1 holds NaN.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from pskd.data.recording import Recording
from pskd.data.skeleton import KINECT_V1
from pskd.datasets.simulation.body import Array, Motion
from pskd.datasets.simulation.people import RATE, Person, perform, person
from pskd.datasets.simulation.repertoire import REPERTOIRE, programme
from pskd.datasets.simulation.sensor import digitise, film, specific_force
from pskd.datasets.twins.places import check
from pskd.errors import UsageError

MISSING = {(8, 1, 4), (23, 6, 4), (27, 8, 4)}
TORN, WRONG_KEY, NOT_FINITE, CLIPPED, SLOW = ((a, 1, 1) for a in (2, 3, 4, 5, 6))
"""Trials of the traps: action, subject, trial."""

_HERTZ = 50.0
_ACTIONS = len(REPERTOIRE["utd_mhad"])
_FIRST_ON_THIGH = 22
_MOST = 999  # subjects and trials have up to three digits in file names
_STEP, _TURN_STEP = 1 / 4096, 1 / 131  # g, degrees/s: the resolution of the official sensor
_TURN_RANGE = 1000.0  # degrees/s
# Columns are the sensor's axes in the frame (right, up, back) of the thigh: x to the knee, y to the
# back. At rest the official files have about (-0.97, 0.05, 0.36) g, so it sits 20 degrees askew.
_ON_THIGH = Rotation.from_euler("z", -20, degrees=True).as_matrix() @ np.array(
    [[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
)
_CAMERA = np.array([0.0, -0.2, 2.8])  # where the hips are on average, seen by the camera, metres

Trial = tuple[int, int, int]
"""Action, subject and trial, from 1."""


def write(
    folder: Path,
    *,
    subjects: int,
    trials: int,
    classes: int | None = None,
    seed: int = 0,
    traps: bool = False,
    zipped: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the dataset; the same arguments give the same bytes.

    Args:
        folder: A new or empty folder; `Inertial` and `Skeleton` come into it.
        subjects: How many people; the official dataset has 8.
        trials: How often each performs each action; officially 4.
        classes: How many actions, from the first; all 27 if None. The last six have the sensor on
            the thigh.
        seed: Other people and other takes.
        traps: Add those that the module names.
        zipped: Write two archives as the official ones are, else the two folders they unpack to.
        progress: Called with the trials written and all of them.

    Returns:
        How many trials were written.

    Raises:
        UsageError: The folder has something in it, or a size is out of its range.
    """
    check(folder, subjects=subjects, trials=trials, classes=(classes, _ACTIONS))
    if max(subjects, trials) > _MOST:
        raise UsageError("too many people or trials", remedy=f"Give {_MOST} of each at most")
    every = [
        (action, subject, trial)
        for action in range(1, (classes or _ACTIONS) + 1)
        for subject in range(1, subjects + 1)
        for trial in range(1, trials + 1)
        if not (traps and (action, subject, trial) in MISSING)
    ]
    with ExitStack() as stack:
        put_inertial, put_skeleton = (
            _into(folder / kind, zipped, stack) for kind in ("Inertial", "Skeleton")
        )
        for done, trial in enumerate(every, start=1):
            name = "a{}_s{}_t{}".format(*trial)
            inertial, skeleton = signals(trial, seed, traps)
            data = _mat("inertial" if traps and trial == WRONG_KEY else "d_iner", inertial)
            whole = not (traps and trial == TORN)
            put_inertial(f"{name}_inertial.mat", data if whole else data[: len(data) // 2])
            put_skeleton(f"{name}_skeleton.mat", _mat("d_skel", skeleton))
            if progress:
                progress(done, len(every))
    return len(every)


def truth(trial: str, *, seed: int = 0, traps: bool = False) -> Recording | None:
    """Return what a reader must make of a trial; None where it has to set it aside.

    Args:
        trial: Its name, such as `a1_s1_t1`.
        seed: As given to `write`.
        traps: As given to `write`.
    """
    action, subject, number = (int(part[1:]) for part in trial.split("_"))
    numbers = action, subject, number
    if traps and numbers in {TORN, WRONG_KEY, NOT_FINITE}:
        return None
    inertial, skeleton = signals(numbers, seed, traps)
    return Recording(
        id=trial,
        dataset="utd_mhad",
        label=action - 1,
        subject=str(subject),
        trial=str(number),
        acceleration=inertial[:, :3].astype(np.float32),
        rate=_HERTZ,
        skeleton=skeleton.transpose(2, 0, 1).astype(np.float32),
    )


def signals(trial: Trial, seed: int, traps: bool) -> tuple[Array, Array]:
    """Return the arrays of a trial as its files hold them.

    Returns:
        `d_iner` [T, 6], acceleration in g and angular rate in degrees/s at 50 Hz; `d_skel`
        [20, 3, F], metres, at about 19 frames a second. Both float64.
    """
    action, subject, number = trial
    traits = np.random.default_rng((seed, subject))
    who = person(traits)
    askew = Rotation.from_rotvec(traits.normal(0.0, 7.0, 3), degrees=True).as_matrix()
    rng = np.random.default_rng((seed, subject, action, number))
    movement, seconds = programme("utd_mhad", action - 1)
    motion = perform(who, movement, seconds, rng)
    force, turn = _sensed(motion, who, askew @ _ON_THIGH if action >= _FIRST_ON_THIGH else None)
    if traps and trial == CLIPPED:
        force = force[0] - (force - force[0]) * 12 / (force - force[0]).min()
    every = round(RATE / _HERTZ)
    inertial = np.hstack([_acceleration(force[::every], rng), _turning(turn[::every], rng)])
    if traps and trial == NOT_FINITE:
        inertial[len(inertial) // 2, 0] = np.nan
    fps = 11.0 if traps and trial == SLOW else rng.uniform(17.5, 20.5)
    skeleton = film(motion, round(len(motion.joints) / RATE * fps), rng, 1.0)
    hips = skeleton[:, KINECT_V1.root].mean(axis=0)
    skeleton = skeleton - hips + _CAMERA + rng.normal(0.0, [0.15, 0.02, 0.15])
    return inertial, np.ascontiguousarray(skeleton.transpose(1, 2, 0))


def _sensed(motion: Motion, who: Person, on_thigh: Array | None) -> tuple[Array, Array]:
    """Specific force [T, 3] in g and angular rate [T, 3] in degrees/s at the wrist or the thigh."""
    if on_thigh is None:
        place, axes = who.mounting.pose(motion)
    else:
        frame, middle = _thigh(motion)
        place, axes = middle, frame @ on_thigh
    rotation = Rotation.from_matrix(axes)
    steps = (rotation[:-1].inv() * rotation[1:]).as_rotvec(degrees=True) * motion.rate
    return specific_force(place, axes, motion.rate), np.vstack([steps, steps[-1:]])


def _thigh(motion: Motion) -> tuple[Array, Array]:
    """Frame [T, 3, 3] of the right thigh, columns right, up and back, and its middle [T, 3]."""
    hip, knee, other = (
        motion.joints[:, KINECT_V1.index(j)] for j in ("right_hip", "right_knee", "left_hip")
    )
    up = (hip - knee) / np.linalg.norm(hip - knee, axis=1, keepdims=True)
    back = np.cross(hip - other, up)
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    return np.stack([np.cross(up, back), up, back], axis=2), (hip + knee) / 2


def _acceleration(force: Array, rng: np.random.Generator) -> Array:
    return np.round(digitise(force, rng, 1.0) / _STEP) * _STEP


def _turning(turn: Array, rng: np.random.Generator) -> Array:
    seen = turn + rng.normal(0.0, 1.0, 3) + rng.normal(0.0, 0.5, turn.shape)
    return np.round(np.clip(seen, -_TURN_RANGE, _TURN_RANGE) / _TURN_STEP) * _TURN_STEP


def _mat(key: str, values: Array) -> bytes:
    buffer: Any = io.BytesIO()
    savemat(buffer, {key: values}, do_compression=True)
    # The header is free text, with the time in it.
    data: bytes = b"MATLAB 5.0 MAT-file, simulated by pskd".ljust(116) + buffer.getvalue()[116:]
    return data


def _into(folder: Path, zipped: bool, stack: ExitStack) -> Callable[[str, bytes], object]:
    """Return what puts a file by its name into a folder, or into a zip that looks the same."""
    if not zipped:
        folder.mkdir(parents=True)
        return lambda name, data: (folder / name).write_bytes(data)
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = stack.enter_context(zipfile.ZipFile(f"{folder}.zip", "w", zipfile.ZIP_DEFLATED))

    def put(name: str, data: bytes) -> None:
        archive.writestr(zipfile.ZipInfo(f"{folder.name}/{name}"), data)  # of no date

    return put
