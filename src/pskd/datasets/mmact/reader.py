"""The reader of MMAct.

What is known of the format, and from where: the tree of sensor files, their stamps, m/s2 and 100 Hz
from a file at hand; `.tar.gz` names, empty files, mixed case and `trimmed_pose.zip` with its JSON
from loaders that others published; that gyroscopes run at 50 Hz and that orientations are azimuth,
pitch and roll, too. The 18 OpenPose joints are as one such project extracted them. Assumed: units
of the gyroscope (rad/s) and orientation (degrees), and that frames are named by their numbers.

Files carry 35 of the 37 official names. The two that nobody has, `using phone desk` and `talking on
phone desk`, are files of the desk scene 3 that are called `using_phone` and `talking_on_phone`, as
the annotation of the untrimmed videos and one loader have it; `desk_classes` tells them apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from pskd.data.archive import open_archive
from pskd.data.recording import STANDARD_GRAVITY, Recording, SetAside
from pskd.data.skeleton import two_people
from pskd.datasets.base import Dataset
from pskd.datasets.mmact import pose, signals
from pskd.datasets.mmact.files import Clip, Files, Take, children, parse_clip, words
from pskd.datasets.mmact.options import POSES, SENSORS, Options
from pskd.errors import DataError, UsageError, nearest

_Parsed = TypeVar("_Parsed")
_DESK_SCENE = 3
_ENDS = (".tar.gz", ".tgz", ".tar", ".zip", "")  # an archive comes first: nobody has edited it


class MMAct(Dataset):
    """Reader of MMAct as its authors hand it out, archives or the folders they unpack to.

    A recording is a take as one camera saw it: the cameras of a take share its accelerometer
    signal, and say so by `take`. A take without any pose file is one recording, of no view. Pose
    and accelerometer were cut from the same moments but have no clock in common, so they are
    stretched over the clip. A pose file that cannot be read sets its trial aside; one in which too
    little of a person is seen, or none at all, leaves the recording without a skeleton. Skeletons
    are in pixels, y up.

    Args:
        root: Folder with `acc_watch_clip`, a folder or `.tar.gz`, and optionally `acc_phone_clip`,
            `gyro_clip`, `orientation_clip`, and `trimmed_pose.zip` or `pose` (COCO joints) or
            `pose_openpose` (OpenPose joints, `subjectN/camN/sceneN/sessionN/action.npy`); or with
            a subfolder `mmact` that has them. Any case will do.
        options: Those of `Options`.

    Raises:
        DataError: A source is missing or cannot be trusted.
        UsageError: An unknown option, or a wrong value.
    """

    name = "mmact"
    title = "MMAct"
    version = 1
    headline = "macro_f1"
    classes: tuple[str, ...] = (
        "standing", "crouching", "walking", "running", "checking time", "waving hand",
        "using phone", "talking on phone", "kicking", "pointing", "throwing", "jumping", "exiting",
        "entering", "setting down", "talking", "opening", "closing", "carrying", "loitering",
        "transferring object", "looking around", "pushing", "pulling", "picking up", "fall",
        "sitting down", "using pc", "drinking", "pocket out", "pocket in", "sitting",
        "using phone desk", "talking on phone desk", "standing up", "carrying light",
        "carrying heavy",
    )  # fmt: skip
    rate = signals.RATE
    citation = (
        "Q. Kong, Z. Wu, Z. Deng, M. Klinkigt, B. Tong, T. Murakami, MMAct: A Large-Scale Dataset "
        "for Cross Modal Human Action Understanding, ICCV 2019"
    )
    licence = "on request from its authors, for research"
    homepage = "https://mmact19.github.io/2019"
    protocols: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cross_subject": {"train": [*range(1, 17)], "test": [17, 18, 19, 20]},
        "cross_session": {"train": [1, 2, 3, 4], "test": [5]},
        "cross_scene": {"train": [1, 3, 4], "test": [2]},
        "cross_view": {"train": [1, 2, 3], "test": [4]},
    }
    known_options = tuple(Options.__dataclass_fields__)

    def __init__(self, root: Path | None = None, options: Mapping[str, object] | None = None):
        super().__init__(root, options)
        self._chosen = chosen = Options(**self.options)  # type: ignore[arg-type]
        self._folder = self._find(root, SENSORS[chosen.sensor].folder)
        wanted = [name for name in POSES if chosen.pose in (name, "auto")]
        there = [name for name in wanted if children(self._folder, POSES[name].places)]
        if chosen.pose in POSES and not there:
            raise self._missing(f"{POSES[chosen.pose].places[0]} is not in it", self._folder)
        self._pose = there[0] if there else "none"
        self._person = POSES[there[0] if there else "coco"].layout
        self.layout = two_people(self._person) if chosen.persons == 2 else self._person
        self.placement = SENSORS[chosen.sensor].placement
        self._labels = {words(name): label for label, name in enumerate(self.classes)}
        self._opened: dict[str, Files] = {}
        self._last: tuple[Take, NDArray[np.float32]] | None = None

    def key(self) -> str:
        """Return the sha256 over the sources that are used and the options."""
        files = [self._signals, *([self._poses] if self._poses else [])]
        parts = [[f.archive.digest() for f in files], self._pose, asdict(self._chosen)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def trials(self) -> list[str]:
        """Return every clip in order of take and camera, then files that lie where none belong."""
        views: dict[Take, list[Clip]] = {clip.take: [] for clip in self._signals.by_clip}
        cameras = self._chosen.cameras
        for clip in self._poses.by_clip if self._poses else ():
            if cameras is None or clip.camera in cameras:
                views.setdefault(clip.take, []).append(clip)
        names = [
            clip.name
            for take in sorted(views)
            for clip in sorted(views[take]) or [Clip(take, None)]
        ]
        names += self._signals.stray + (self._poses.stray if self._poses else [])
        if not names:
            raise self._missing(
                "no file lies in it as subject1/scene1/session1/action.csv", self.root
            )
        return names

    def load(self, trial: str) -> Recording | SetAside:
        """Read a clip; one that cannot be used is set aside."""
        clip = parse_clip(trial)
        try:
            if clip is None:
                raise DataError("lies elsewhere than .../subjectN/sceneN/sessionN/action")
            return self._record(clip)
        except DataError as error:
            return SetAside(trial, str(error))

    def signal(
        self, trial: str, sensor: str = "watch"
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
        """Read what any of the sensors gave during a trial, not resampled.

        Args:
            trial: Name of a trial; all cameras of a take have the same signals.
            sensor: One of `SENSORS`.

        Returns:
            Times [T], seconds since 1970-01-01 in local time, strictly increasing; values [T, 3];
            and their unit: g, rad/s or degrees (of azimuth, pitch, roll).

        Raises:
            UsageError: No such sensor or trial.
            DataError: The sensor has no usable file of the trial.
        """
        clip = parse_clip(trial)
        if sensor not in SENSORS or clip is None:
            what, known = (sensor, SENSORS) if clip else (trial, ("s01_c2_sc3_se4_carrying",))
            raise UsageError(f"there is no {what!r}", where=self.name, remedy=nearest(what, known))
        unit = SENSORS[sensor].unit
        files = self._files(sensor)
        rows = _read(files, Clip(clip.take, None), signals.FILE_BYTES, signals.read_rows)
        times, values = signals.mend_times(rows)
        return times, values / STANDARD_GRAVITY if unit == "g" else values, unit

    def _record(self, clip: Clip) -> Recording:
        take = clip.take
        if take.action not in self._labels:
            raise DataError(
                f"there is no class {take.action!r}", remedy=nearest(take.action, self._labels)
            )
        at_desk = f"{take.action}_desk"
        desk = self._chosen.desk_classes and take.scene == _DESK_SCENE and at_desk in self._labels
        return Recording(
            id=clip.name,
            dataset=self.name,
            label=self._labels[at_desk if desk else take.action],
            subject=str(take.subject),
            trial=str(take.session),
            acceleration=self._acceleration(take),
            rate=self.rate,
            skeleton=self._skeleton(clip),
            session=str(take.session),
            scene=str(take.scene),
            view="" if clip.camera is None else str(clip.camera),
            take=take.name,
        )

    def _acceleration(self, take: Take) -> NDArray[np.float32]:
        if self._last is None or self._last[0] != take:  # the cameras of a take follow each other
            metres = _read(self._signals, Clip(take, None), signals.FILE_BYTES, signals.read_clip)
            self._last = take, (metres / STANDARD_GRAVITY).astype(np.float32)
        return self._last[1]

    def _skeleton(self, clip: Clip) -> NDArray[np.float32] | None:
        if self._poses is None or clip.camera is None:
            return None
        poses = _read(self._poses, clip, pose.FILE_BYTES, POSES[self._pose].parse)
        return pose.skeleton(poses, self._person, self._chosen.persons)

    @property
    def _signals(self) -> Files:
        return self._files(self._chosen.sensor)

    def _files(self, sensor: str) -> Files:
        if sensor not in self._opened:
            folder = SENSORS[sensor].folder
            places = children(self._folder, [f"{folder}{end}" for end in _ENDS])
            if not places:
                raise self._missing(f"{folder} is not in it", self._folder)
            self._opened[sensor] = Files(open_archive(places[0]), "csv", seen=False)
        return self._opened[sensor]

    @cached_property
    def _poses(self) -> Files | None:
        if self._pose == "none":
            return None
        kind = POSES[self._pose]
        (path, *_) = children(self._folder, kind.places)
        return Files(open_archive(path), kind.suffix, seen=True)

    def _find(self, root: Path | None, wanted: str) -> Path:
        if root is None:
            raise self._missing("no data folder was named", None)
        if not root.is_dir():
            raise self._missing("no such folder", root)
        for folder in (root, *(f for f in children(root, ["mmact"]) if f.is_dir())):
            if children(folder, [f"{wanted}{end}" for end in _ENDS]):
                return folder
        raise self._missing(f"{wanted}.tar.gz, or such a folder, is not in it", root)

    def _missing(self, what: str, root: Path | None) -> DataError:
        return DataError(
            f"no {self.title} found: {what}",
            where=root,
            remedy=f"Ask its authors for the data, at {self.homepage}, and name the folder of "
            "acc_watch_clip.tar.gz and trimmed_pose.zip by --data-root",
        )


def _read(files: Files, clip: Clip, at_most: int, parse: Callable[[bytes], _Parsed]) -> _Parsed:
    where, data = files.read(clip, at_most)
    try:
        return parse(data)
    except ValueError as error:
        raise DataError(str(error), where=where) from error
