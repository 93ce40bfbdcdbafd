"""A simulated MMAct: the official tree of sensor files, and poses from four cameras.

Take k of an action is in session k mod 5 and scene k mod 4 (plus 1), so that twenty takes are every
scene of every session, and any five have all sessions. Every action is in every scene. No file has
one of the two names of the desk, as officially. In a third of the takes somebody looks on.

With traps, a sensor file has one of `SENSOR_TRAPS` and a pose file one of `POSE_TRAPS`, in turn.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pskd.data.recording import STANDARD_GRAVITY, Recording
from pskd.data.skeleton import SkeletonLayout
from pskd.datasets.mmact import MMAct
from pskd.datasets.mmact.files import parse_clip, words
from pskd.datasets.mmact.options import POSES, SENSORS
from pskd.datasets.simulation.body import Array
from pskd.datasets.twins.cameras import CAMERAS, as_openpose
from pskd.datasets.twins.mmact_files import (
    UNUSABLE,
    coco_file,
    openpose_file,
    pose_trap,
    poses,
    sensor_file,
    sensor_trap,
)
from pskd.datasets.twins.mmact_takes import Act
from pskd.datasets.twins.places import check
from pskd.errors import UsageError, nearest

_MOST_TAKES = 20
_FEW = 100  # takes, below which to start other processes takes longer than to do without
_AT_ONCE = 128  # takes that are held in memory
_LABELS = [label for label, name in enumerate(MMAct.classes) if not name.endswith("desk")]
_POSE_FILES = {
    "coco": ("trimmed_pose.zip", "pose/cross_view/trainval", "json", coco_file),
    "openpose": ("pose_openpose.zip", "pose_openpose", "npy", openpose_file),
}

Put = Callable[[str, bytes], object]


def write(
    folder: Path,
    *,
    subjects: int,
    trials: int,
    classes: int | None = None,
    seed: int = 0,
    traps: bool = False,
    clips: int | None = None,
    sensors: Sequence[str] = ("watch",),
    pose: str = "coco",
    zipped: bool = True,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the dataset; the same arguments give the same signals.

    Args:
        folder: A new or empty folder.
        subjects: How many people; the official dataset has 20.
        trials: How often each performs each action, at most 20.
        classes: How many actions, from the first; all 35 that have files if None.
        seed: Other people and other takes.
        traps: Add what goes wrong in the official files, and more.
        clips: Stop after the take with which there are that many clips, four cameras a take.
        sensors: Which to write, of `pskd.datasets.mmact.options.SENSORS`.
        pose: `coco`, `openpose` or `none`.
        zipped: Write archives as the official ones are, else the folders they unpack to.
        workers: Processes; as many as there are processors if None.
        progress: Called with the clips written and all of them.

    Returns:
        How many clips were written.

    Raises:
        UsageError: The folder has something in it, or an argument is out of its range.
    """
    check(folder, subjects=subjects, trials=trials, classes=(classes, len(_LABELS)))
    if trials > _MOST_TAKES:
        raise UsageError(f"trials is {trials}", where="simulate", remedy="Give 20 at most")
    for name, known in ((pose, [*_POSE_FILES, "none"]), *((s, [*SENSORS]) for s in sensors)):
        if name not in known:
            raise UsageError(f"there is no {name!r}", where="simulate", remedy=nearest(name, known))
    acts = [
        Act(subject, label, number, seed)
        for number in range(trials)
        for subject in range(1, subjects + 1)
        for label in _LABELS[:classes]
    ]
    views = CAMERAS if pose != "none" else 1
    acts = acts[: None if clips is None else -(-clips // views)]
    make = _Maker(tuple(sensors), pose, traps)
    written = 0
    with ExitStack() as stack:
        places = [f"{SENSORS[sensor].folder}.tar.gz" for sensor in sensors]
        places += [_POSE_FILES[pose][0]] if pose != "none" else []
        puts = [_into(folder, place if zipped else "", stack) for place in places]
        for done, (signals, views_of_it) in enumerate(_made(make, acts, workers), start=1):
            for put, files in zip(puts, [*([s] for s in signals), views_of_it], strict=False):
                for file in files:
                    put(*file)
            written += len(views_of_it) or 1
            if progress:
                progress(done * views, len(acts) * views)
    return written


def truth(
    trial: str, *, seed: int = 0, traps: bool = False, pose: str = "coco", persons: int = 1
) -> Recording | None:
    """Return what a reader must make of a trial; None where it has to set it aside.

    Args:
        trial: Its name, such as `s01_c2_sc3_se3_carrying`.
        seed: As given to `write`.
        traps: As given to `write`.
        pose: As given to `write`.
        persons: As given to the reader.
    """
    clip = parse_clip(trial)
    if clip is None:
        raise UsageError(f"{trial!r} is no trial", remedy="Give one as s01_c2_sc3_se3_carrying")
    take = clip.take
    label = [words(name) for name in MMAct.classes].index(take.action)
    number = next(
        n for n in range(_MOST_TAKES) if (n % 5 + 1, n % 4 + 1) == (take.session, take.scene)
    )
    act = Act(take.subject, label, number, seed)
    if traps and sensor_trap(act) in UNUSABLE:
        return None
    skeleton = None
    if clip.camera is not None:
        trap = pose_trap(act, clip.camera) if traps else "none"
        if trap in UNUSABLE:
            return None
        if trap != "nobody":
            found, there = poses(act, clip.camera, trap)
            bodies = there if trap == "people swapped" else found
            bodies = bodies if pose == "coco" else as_openpose(bodies)
            skeleton = _whole(bodies, POSES[pose].layout, persons)
    times, values = act.sensor("watch")
    at = np.arange(int(times[-1] * 100 + 1e-6) + 1) / 100
    acceleration = np.stack([np.interp(at, times, axis) for axis in values.T], axis=1)
    return Recording(
        id=trial,
        dataset=MMAct.name,
        label=label,
        subject=str(take.subject),
        trial=str(take.session),
        acceleration=(acceleration / STANDARD_GRAVITY).astype(np.float32),
        rate=100.0,
        skeleton=skeleton,
        session=str(take.session),
        scene=str(take.scene),
        view=str(clip.camera or ""),
        take=take.name,
    )


def _whole(bodies: Array, layout: SkeletonLayout, persons: int) -> np.ndarray:
    """Fill what is unseen between where it is seen, else from the parent: [F, persons * J, 2]."""
    frames, _, joints, _ = bodies.shape
    whole = np.zeros((frames, persons, joints, 2))
    for person in range(persons):
        for joint in (layout.root, *(child for child, _ in layout.edges)):
            seen = np.flatnonzero(bodies[:, person, joint, 2])
            if not bodies[:, person].any():
                whole[:, person, joint] = whole[:, 0, layout.root]
            elif not len(seen):
                whole[:, person, joint] = whole[:, person, layout.parents[joint]]
            else:
                for axis in (0, 1):
                    x = bodies[seen, person, joint, axis]
                    whole[:, person, joint, axis] = np.interp(np.arange(frames), seen, x)
    flat: Array = whole.reshape(frames, persons * joints, 2) * [1, -1]
    return flat.astype(np.float32)


@dataclass(frozen=True)
class _Maker:
    """Makes the files of a take: one of each sensor, and one of each camera."""

    sensors: tuple[str, ...]
    pose: str
    traps: bool

    def __call__(self, act: Act) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
        action = words(MMAct.classes[act.label])
        trap = sensor_trap(act) if self.traps else "none"
        place = f"scene{act.scene}/session{act.session}"
        name = action.capitalize() if trap == "upper case" else action
        signals = [
            (
                f"{SENSORS[sensor].folder}/subject{act.subject}/{place}/{name}.csv",
                sensor_file(act, *act.sensor(sensor), trap),
            )
            for sensor in self.sensors
        ]
        views = []
        for camera in range(1, CAMERAS + 1) if self.pose != "none" else ():
            trap = pose_trap(act, camera) if self.traps else "none"
            if trap != "no file":
                _, folder, suffix, make = _POSE_FILES[self.pose]
                name = action.capitalize() if trap == "upper case" else action
                path = f"{folder}/subject{act.subject}/cam{camera}/{place}/{name}.{suffix}"
                views.append((path, make(poses(act, camera, trap)[0], trap)))
        return signals, views


def _made(
    make: _Maker, acts: Sequence[Act], workers: int | None
) -> Iterator[tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]]:
    workers = workers or os.cpu_count() or 1
    if workers == 1 or len(acts) < _FEW:
        yield from map(make, acts)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for start in range(0, len(acts), _AT_ONCE):
            yield from pool.map(make, acts[start : start + _AT_ONCE], chunksize=4)


def _into(folder: Path, archive: str, stack: ExitStack) -> Put:
    """Return what puts a file by its path into a folder, or into an archive in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not archive:
        return lambda name, data: _put(folder / name, data)
    if archive.endswith(".zip"):
        zipped = stack.enter_context(zipfile.ZipFile(folder / archive, "w"))
        return lambda name, data: zipped.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    tar = stack.enter_context(tarfile.open(folder / archive, "w:gz"))  # noqa: SIM115

    def add(name: str, data: bytes) -> None:
        about = tarfile.TarInfo(name)
        about.size = len(data)
        tar.addfile(about, io.BytesIO(data))

    return add


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
