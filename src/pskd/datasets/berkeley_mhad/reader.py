"""The reader of Berkeley-MHAD.

Where the sensors sit, measured on their files: Shimmer02 is on the right wrist and 01 on the left
one, for waving the right hand moves 02 by 0.85 g and 01 by 0.05 g. 03 and 04 go with the pelvis;
their third axis points to the right and to the left, in all twelve people, as those of 01 and 02
do, so 03 is taken for left and 04 for right. 05 and 06 go with the feet; that 05 is on the left
one is an assumption.

How far the clocks agree: in the one trial at hand with both, the wrist and the marker on it feel
the same accelerations, best when the accelerometer is taken to be 0.04 s early. In 22 trials the
middle of what the accelerometers cover is 0.1 to 0.6 s off that of the cameras, in nine of the
first ten of subject 11 by 0.4 to 0.5 s. Whether that is a clock or where the trial was cut is not
known; nothing is corrected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pskd.data.archive import Archive, open_archive
from pskd.data.recording import Recording, SetAside
from pskd.data.skeleton import BERKELEY_MHAD_BVH, BERKELEY_MHAD_MARKERS
from pskd.datasets.base import Dataset
from pskd.datasets.berkeley_mhad import mocap, signals
from pskd.datasets.berkeley_mhad.files import Files, Trial, sources
from pskd.datasets.berkeley_mhad.signals import Array
from pskd.errors import DataError, UsageError, nearest
from pskd.signal.align import interpolate

SENSORS = ("left_wrist", "right_wrist", "left_hip", "right_hip", "left_ankle", "right_ankle")
"""Where Shimmer01 to Shimmer06 were worn."""

KNOWN_MISSING = {
    (2, 7, 5): "is known to be missing in copies of the dataset",
    (4, 8, 5): "is known to be missing: it was never published",
}
"""Trials without any accelerometer file."""

_SOURCES = {
    "accelerometer": "accelerometer",
    "mocap": r"(mocap|opticaldata|skeletaldata)[\w-]*",
    "stamps": "time_?stamps",
}
_SIZES = (12, 11, 5)  # subjects, actions, trials
_LEAST_OVERLAP = 0.5  # seconds that accelerometer and motion capture must share


class BerkeleyMhad(Dataset):
    """Reader of Berkeley-MHAD as its authors hand it out, archives or the folders they unpack to.

    Trials without a motion capture file have no skeleton; one whose file cannot be used is set
    aside. Accelerometer and skeleton are cut to the time that both cover. A BVH file gets its time
    from the marker file of the trial, else from its camera stamps; without either, both signals
    are stretched over the clip.

    Args:
        root: Folder with `Accelerometer` and optionally `Mocap` or `OpticalData*` and
            `SkeletalData*`, and `Time_stamps`: folders, .tar.gz or .zip; or with a subfolder
            `berkeley-mhad` that has them. Any case will do.
        options: `sensor`: one of `SENSORS`, `right_wrist` by default. `skeleton`: `bvh`,
            `markers`, `none` or `auto` (default: BVH if there is any such file, else markers).

    Raises:
        DataError: A source is missing or cannot be trusted.
        UsageError: An unknown option, or a wrong value.
    """

    name = "berkeley_mhad"
    title = "Berkeley-MHAD"
    version = 1
    classes: tuple[str, ...] = (
        "jumping in place", "jumping jacks", "bending", "punching", "waving two hands",
        "waving one hand", "clapping", "throwing", "sit down then stand up", "sit down", "stand up",
    )  # fmt: skip
    rate = signals.RATE
    citation = (
        "F. Ofli, R. Chaudhry, G. Kurillo, R. Vidal, R. Bajcsy, Berkeley MHAD: A Comprehensive "
        "Multimodal Human Action Database, WACV 2013"
    )
    licence = "free to use with citation, see its homepage"
    homepage = "https://tele-immersion.citris-uc.org/berkeley_mhad"
    protocols: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cross_subject": {"train": [1, 2, 3, 4, 5, 6, 7], "test": [8, 9, 10, 11, 12]},
    }
    known_options = ("sensor", "skeleton")

    def __init__(self, root: Path | None = None, options: Mapping[str, object] | None = None):
        super().__init__(root, options)
        sensor = self._choice("sensor", "right_wrist", SENSORS)
        wanted = self._choice("skeleton", "auto", ("auto", "bvh", "markers", "none"))
        self.placement = sensor.replace("_", " ")
        self._start = f"acc_h{SENSORS.index(sensor) + 1:02d}"
        self._folder = self._find(root)
        self._archives: dict[str, list[Archive]] = {}
        self._skeleton = self._available(wanted)
        markers = self._skeleton == "markers"
        self.layout = BERKELEY_MHAD_MARKERS if markers else BERKELEY_MHAD_BVH

    def key(self) -> str:
        """Return the sha256 over the sources that are used and the options."""
        kinds = ["accelerometer"] if self._skeleton == "none" else list(_SOURCES)
        digests = {kind: [archive.digest() for archive in self._open(kind)] for kind in kinds}
        parts = [digests, self._start, self._skeleton]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def trials(self) -> list[str]:
        """Return every trial that there should be, and any other that there is, in order."""
        found = self._samples.by_trial.keys()
        if not found:
            raise self._missing(f"no file is called like {self._start}_s01_a01_r01.txt", self.root)
        expected = product(*(range(1, size + 1) for size in _SIZES))
        return ["s{:02d}_a{:02d}_r{:02d}".format(*trial) for trial in sorted({*expected, *found})]

    def load(self, trial: str) -> Recording | SetAside:
        """Read a trial; one that cannot be used is set aside."""
        subject, action, number = numbers = _numbers(trial)
        try:
            if not 1 <= action <= len(self.classes):
                raise DataError(f"there is no action {action}", remedy="Correct the file name")
            acceleration, skeleton = self._signals(numbers)
            return Recording(
                id=trial,
                dataset=self.name,
                label=action - 1,
                subject=str(subject),
                trial=str(number),
                acceleration=acceleration,
                rate=self.rate,
                skeleton=skeleton,
            )
        except DataError as error:
            return SetAside(trial, str(error))

    def _signals(self, trial: Trial) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return acceleration [T, 3] and skeleton [F, J, 3] of the same span of time."""
        if trial not in self._samples.by_trial:
            if known := KNOWN_MISSING.get(trial):
                raise DataError(f"its accelerometer file {known}")
            raise DataError(
                "its accelerometer file is missing", remedy="Download the archive again"
            )
        times, samples = self._samples.read(trial, signals.FILE_BYTES, signals.read_samples)
        motion = self._motion(trial, times)
        first, last = times[0], times[-1]
        if motion:
            first, last = max(first, motion[0][0]), min(last, motion[0][-1])
            if last - first < _LEAST_OVERLAP:
                raise DataError(
                    f"its accelerometer ({times[0]:.2f} to {times[-1]:.2f}) and its motion capture "
                    f"({motion[0][0]:.2f} to {motion[0][-1]:.2f}) have less than "
                    f"{_LEAST_OVERLAP} s in common",
                    remedy="Check that both files are of this trial",
                )
        at = first + np.arange(int((last - first) * self.rate + 1e-3) + 1) / self.rate
        acceleration = interpolate(samples, times - first, at - first).astype(np.float32)
        if not motion:
            return acceleration, None
        frames = max(2, round((at[-1] - first) * mocap.RATE) + 1)
        return acceleration, mocap.resample(*motion, np.linspace(first, at[-1], frames))

    def _motion(self, trial: Trial, times: Array) -> tuple[Array, Array] | None:
        """Return times [F] and positions [F, J, 3], if the trial has any."""
        if self._skeleton == "markers" and trial in self._markers.by_trial:
            return self._markers.read(trial, mocap.FILE_BYTES, mocap.read_markers)
        if self._skeleton != "bvh" or trial not in self._skeletons.by_trial:
            return None
        clock, positions = self._skeletons.read(trial, mocap.FILE_BYTES, mocap.read_skeleton)
        if trial in self._markers.by_trial:
            clock += self._markers.read(trial, mocap.FILE_BYTES, mocap.marker_start)
        elif trial in self._cameras.by_trial:
            middle = self._cameras.read(trial, mocap.CAMERA_BYTES, mocap.camera_middle)
            clock += middle - clock[-1] / 2
        elif not 0.5 < clock[-1] / (times[-1] - times[0]) < 2:
            raise DataError(
                f"its accelerometer covers {times[-1] - times[0]:.2f} s and its skeleton "
                f"{clock[-1]:.2f} s",
                remedy="Check that both files are of this trial",
            )
        else:
            clock = np.linspace(times[0], times[-1], len(clock))
        return clock, positions

    @cached_property
    def _samples(self) -> Files:
        return Files(self._open("accelerometer"), self._start, ".txt")

    @cached_property
    def _markers(self) -> Files:
        return Files(self._open("mocap"), "moc", ".txt")

    @cached_property
    def _skeletons(self) -> Files:
        return Files(self._open("mocap"), "skl", ".bvh")

    @cached_property
    def _cameras(self) -> Files:
        return Files(self._open("stamps"), "time_stamps_img", ".txt")

    def _open(self, kind: str) -> list[Archive]:
        if kind not in self._archives:
            found = sources(self._folder, _SOURCES[kind])
            self._archives[kind] = [open_archive(path) for path in found]
        return self._archives[kind]

    def _available(self, wanted: str) -> str:
        """Return which skeletons to read."""
        if wanted == "none":
            return wanted
        kinds = {"bvh": self._skeletons, "markers": self._markers}
        there = [kind for kind, files in kinds.items() if files.by_trial]
        if wanted != "auto" and wanted not in there:
            raise self._missing(f"it has no motion capture as {wanted}", self._folder)
        return wanted if wanted in there else there[0] if there else "none"

    def _find(self, root: Path | None) -> Path:
        if root is None:
            raise self._missing("no data folder was named", None)
        if not root.is_dir():
            raise self._missing("no such folder", root)
        for folder in (root, *sources(root, "berkeley-mhad")):
            if folder.is_dir() and sources(folder, _SOURCES["accelerometer"]):
                return folder
        raise self._missing("neither Accelerometer.tar.gz nor such a folder is in it", root)

    def _choice(self, key: str, default: str, known: Sequence[str]) -> str:
        value = self.options.get(key, default)
        if value not in known:
            raise UsageError(
                f"{key} is {value!r}", where=self.name, remedy=nearest(str(value), known)
            )
        return str(value)

    def _missing(self, what: str, where: Path | None) -> DataError:
        return DataError(
            f"no {self.title} found: {what}",
            where=where,
            remedy=f"Download Accelerometer.tar.gz, and Mocap for skeletons, from {self.homepage} "
            "and name their folder by --data-root",
        )


def _numbers(trial: str) -> Trial:
    subject, action, number = (int(part[1:]) for part in trial.split("_"))
    return subject, action, number
