"""A simulated Berkeley-MHAD: all but its pictures and sounds, in the official file formats.

With traps, the trials of `TRAPS` have what it says, where the size asked for has such a trial. The
first two of them are as in the official dataset.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from pskd.data.recording import Recording
from pskd.data.skeleton import BERKELEY_MHAD_MARKERS
from pskd.datasets.simulation.body import Array, Motion
from pskd.datasets.simulation.people import Person, perform, person
from pskd.datasets.simulation.repertoire import REPERTOIRE, programme
from pskd.datasets.simulation.sensor import digitise
from pskd.datasets.twins.berkeley_mhad_body import (
    Figure,
    bvh,
    figure,
    forces,
    markers,
    skeleton,
)
from pskd.datasets.twins.places import check
from pskd.errors import UsageError
from pskd.signal.align import interpolate

TRAPS: dict[tuple[int, ...], str] = {
    (2, 7, 5): "no accelerometer files",
    (4, 8, 5): "no accelerometer files",
    (1, 1, 1): "lines end as on Windows",
    (1, 1, 2): "samples arrive late, in bursts, in the wrong order, or two at once",
    (1, 2, 1): "packets read out of step",
    (1, 2, 2): "markers are hidden for a while",
    (1, 3, 1): "a marker is never seen",
    (1, 3, 2): "no motion capture",
    (2, 1, 1): "no accelerometer files",
    (2, 1, 2): "another hierarchy",
    (2, 2, 1): "no marker file",
    (2, 2, 2): "no marker file and no camera stamps",
    (2, 3, 1): "torn accelerometer files",
    (2, 3, 2): "motion capture of another hour",
}
"""What is wrong with a trial: subject, action, trial."""

RATE = 31.05
"""Samples a second of the accelerometers, Hz."""
FRAME_RATE = 60.0
"""Frames a second of a skeleton as the reader gives it, Hz."""
NEVER_SEEN = "lelb"

_ACTIONS = len(REPERTOIRE["berkeley_mhad"])
_MOST = 99  # subjects and trials have two digits in file names
_START, _EVERY = 1_309_539_264.0, 60.0  # unix time of the first trial, and seconds to the next
_LATE = 0.05  # seconds that the accelerometers begin after the movement and end before it
_CAMERA_RATE = 21.33
_STEP = 1 / 1024  # g: the resolution of the official sensors, which measure up to 2 g
_RANGE = 2.0
_HOUR = 3600.0

Trial = tuple[int, int, int]


@dataclass(frozen=True)
class _Take:
    """A performance, and what the accelerometers measured of it.

    Attributes:
        who: Who moved.
        motion: How, from `start` on.
        start: Unix time, s.
        times: When they measured [T], unix time, s.
        samples: What each of the six measured [T, 3], g.
        rng: Source of what goes wrong.
    """

    who: Person
    motion: Motion
    start: float
    times: Array
    samples: list[Array]
    rng: np.random.Generator

    def at(self, times: Array) -> Figure:
        """Return the body at some times."""
        clock = self.start + np.arange(len(self.motion.joints)) / self.motion.rate
        joints = _at(self.motion.joints, clock - self.start, times - self.start)
        return figure(Motion(joints, self.motion.forearm, self.motion.rate))


def write(
    folder: Path,
    *,
    subjects: int,
    trials: int,
    classes: int | None = None,
    seed: int = 0,
    traps: bool = False,
    markers_hz: float = 480.0,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the dataset as the folders that the official archives unpack to.

    The same arguments give the same bytes.

    Args:
        folder: A new or empty folder; `Accelerometer`, `Mocap` and `Time_stamps` come into it.
        subjects: How many people; the official dataset has 12.
        trials: How often each performs each action; officially 5.
        classes: How many actions, from the first; all 11 if None.
        seed: Other people and other takes.
        traps: Add those that the module names.
        markers_hz: Frames a second of the motion capture; the official ones make 4 MB a trial.
        progress: Called with the trials written and all of them.

    Returns:
        How many trials were written, without those that have no accelerometer files.

    Raises:
        UsageError: The folder has something in it, or a size is out of its range.
    """
    check(folder, subjects=subjects, trials=trials, classes=(classes, _ACTIONS))
    if max(subjects, trials) > _MOST:
        raise UsageError("too many people or trials", remedy=f"Give {_MOST} of each at most")
    sizes = (subjects, classes or _ACTIONS, trials)
    every = list(product(*(range(1, size + 1) for size in sizes)))
    for done, (subject, action, trial) in enumerate(every, start=1):
        files = _files((subject, action, trial), seed, traps, markers_hz)
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        if progress:
            progress(done, len(every))
    return sum(_trap(trial, traps) != "no accelerometer files" for trial in every)


def truth(
    trial: str,
    *,
    sensor: int = 2,
    skeletons: str = "bvh",
    seed: int = 0,
    traps: bool = False,
) -> Recording | None:
    """Return what a reader should make of a trial; None where it has to set it aside.

    The movement is that which was simulated, whatever a trap makes of the files.

    Args:
        trial: Its name, such as `s01_a01_r01`.
        sensor: Number of the accelerometer.
        skeletons: `bvh`, `markers` or `none`.
        seed: As given to `write`.
        traps: As given to `write`.
    """
    subject, action, number = numbers = _numbers(trial)
    trap = _trap(numbers, traps)
    if trap.endswith("accelerometer files"):
        return None
    if trap == "motion capture of another hour" and skeletons != "none":
        return None
    take = _take(numbers, seed)
    joints = None
    if skeletons != "none" and trap != "no motion capture":
        span = take.times[-1] - take.times[0]
        body = take.at(np.linspace(take.times[0], take.times[-1], round(span * FRAME_RATE) + 1))
        joints = markers(body) if skeletons == "markers" else skeleton(body, take.who)
    return Recording(
        id=trial,
        dataset="berkeley_mhad",
        label=action - 1,
        subject=str(subject),
        trial=str(number),
        acceleration=take.samples[sensor - 1].astype(np.float32),
        rate=RATE,
        skeleton=None if joints is None else joints.astype(np.float32),
    )


def _take(trial: Trial, seed: int) -> _Take:
    subject, action, number = trial
    who = person(np.random.default_rng((seed, subject)))
    rng = np.random.default_rng((seed, *trial))
    motion = perform(who, *programme("berkeley_mhad", action - 1), rng)
    start = _START + _EVERY * (5 * (_ACTIONS * (subject - 1) + action - 1) + number - 1)
    moments = np.arange(len(motion.joints)) / motion.rate
    times = np.arange(_LATE, moments[-1] - _LATE, 1 / RATE)
    samples = []
    for force in forces(figure(motion), motion, who):
        felt = digitise(_at(force, moments, times), rng, 1.0)
        samples.append(np.round(np.clip(felt, -_RANGE, _RANGE - _STEP) / _STEP) * _STEP)
    return _Take(who, motion, start, start + times, samples, rng)


def _files(trial: Trial, seed: int, traps: bool, markers_hz: float) -> dict[str, bytes]:
    """Return the files of a trial by their names."""
    trap = _trap(trial, traps)
    name = "s{:02d}_a{:02d}_r{:02d}".format(*trial)
    take = _take(trial, seed)
    files: dict[str, bytes] = {}
    if trap != "no accelerometer files":
        for sensor, samples in enumerate(take.samples, start=1):
            rows = _spoilt(np.column_stack([samples, take.times]), trap, take.rng)
            data = _rows(rows, "%.6f")
            if trap == "torn accelerometer files":
                data = data[: len(data) // 2].rpartition(b" ")[0]
            files[f"Accelerometer/Shimmer{sensor:02d}/acc_h{sensor:02d}_{name}.txt"] = data
    seconds = (len(take.motion.joints) - 1) / take.motion.rate
    clock = take.start + np.arange(0, seconds, 1 / markers_hz)
    body, shift = take.at(clock), _HOUR if trap == "motion capture of another hour" else 0.0
    if trap != "no motion capture":
        if not trap.startswith("no marker file"):
            places = _hidden(1000 * markers(body), trap, take.rng).reshape(len(clock), -1)
            numbered = np.column_stack([places, np.arange(len(clock)), clock + shift])
            form = " ".join(["%.6f"] * places.shape[1] + ["%d", "%.6f"])
            files[f"Mocap/OpticalData/moc_{name}.txt"] = _rows(numbered, form)
        official = trap != "another hierarchy"
        hierarchy = bvh(body, take.who, markers_hz, official=official)
        files[f"Mocap/SkeletalData/skl_{name}.bvh"] = hierarchy
    if not trap.endswith("no camera stamps"):
        pictures = np.arange(1 / _CAMERA_RATE, seconds - 1 / _CAMERA_RATE, 1 / _CAMERA_RATE)
        pictures = pictures + (seconds - pictures[0] - pictures[-1]) / 2
        stamps = np.column_stack([np.arange(len(pictures)), take.start + pictures + shift])
        files[f"Time_stamps/time_stamps_img_{name}.txt"] = _rows(stamps, "%d %.6f")
    if trap == "lines end as on Windows":
        files = {file: data.replace(b"\n", b"\r\n") for file, data in files.items()}
    return files


def _spoilt(rows: Array, trap: str, rng: np.random.Generator) -> Array:
    """Return rows of `x y z time` as a trap leaves them."""
    rows = rows.copy()
    if trap == "packets read out of step":
        for at in rng.choice(len(rows) - 2, 2, replace=False) + 1:
            rows[at, 1:3] = 26.498047, -2.0  # as in acc_h01_s09_a03_r02.txt
    elif trap.startswith("samples arrive late"):
        rows[:, 3] += rng.choice([0.0, 0.022], len(rows))
        burst = len(rows) // 2
        rows[burst : burst + 5, 3] = rows[burst + 5, 3] + 0.001 * np.arange(-5, 0)
        rows[burst + 2, 3] = rows[burst + 1, 3]
        order = np.arange(len(rows))
        order[[burst, burst + 3]] = order[[burst + 3, burst]]
        rows = rows[order]
    return rows


def _hidden(places: Array, trap: str, rng: np.random.Generator) -> Array:
    """Return positions [F, 43, 3] as a trap leaves them."""
    if trap == "a marker is never seen":
        places[:, BERKELEY_MHAD_MARKERS.index(NEVER_SEEN)] = 0.0
    elif trap == "markers are hidden for a while":
        frames, count = places.shape[:2]
        for marker in rng.choice(count, 12, replace=False):
            length = frames // rng.integers(15, 40)
            start = rng.integers(0, frames - length)
            places[start : start + length, marker] = 0.0
        places[: frames // 30, rng.integers(count)] = 0.0
    return places


def _rows(values: Array, form: str) -> bytes:
    buffer = io.BytesIO()
    np.savetxt(buffer, values, form)
    return buffer.getvalue()


def _at(values: Array, times: Array, at: Array) -> Array:
    return interpolate(values, times, at).astype(np.float64)


def _trap(trial: tuple[int, ...], traps: bool) -> str:
    return TRAPS.get(trial, "") if traps else ""


def _numbers(trial: str) -> Trial:
    subject, action, number = (int(part[1:]) for part in trial.split("_"))
    return subject, action, number
