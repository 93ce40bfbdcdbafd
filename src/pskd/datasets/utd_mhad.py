"""UTD-MHAD: 27 actions of 8 people, wrist or thigh accelerometer and Kinect v1 skeleton.

`a{action}_s{subject}_t{trial}_inertial.mat` holds `d_iner` [T, 6]: acceleration in g, then angular
rate in degrees/s, at about 50 Hz. `..._skeleton.mat` holds `d_skel` [20, 3, F]: metres, labelled
30 fps but really at about 19; both span the same time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pskd.data.archive import Archive, open_archive
from pskd.data.matfile import read_matrix
from pskd.data.recording import Recording, SetAside
from pskd.data.skeleton import KINECT_V1
from pskd.datasets.base import Dataset
from pskd.errors import DataError

_FILE_BYTES = 256 << 10  # the largest official file has 32 KiB
_UNPACKED_BYTES = 1 << 20  # and 59 KiB unpacked
_TORSO = (0.1, 1.0)  # metres; 0.27 to 0.49 in the official files

Trial = tuple[int, int, int]
"""Action, subject and trial, as numbered in the file names."""


class UtdMhad(Dataset):
    """Reader of Inertial.zip and Skeleton.zip, or of the folders they unpack to.

    Args:
        root: Folder with `Inertial.zip` and `Skeleton.zip`, or with folders `Inertial` and
            `Skeleton`, or with a subfolder `utd-mhad` that has them; any case will do.
        options: None are taken.

    Raises:
        DataError: A source is missing or cannot be trusted.
        UsageError: There are options.
    """

    name = "utd_mhad"
    title = "UTD-MHAD"
    version = 1
    classes: tuple[str, ...] = (
        "swipe left", "swipe right", "wave", "clap", "throw", "arm cross", "basketball shoot",
        "draw x", "draw circle clockwise", "draw circle counter-clockwise", "draw triangle",
        "bowling", "boxing", "baseball swing", "tennis swing", "arm curl", "tennis serve", "push",
        "knock", "catch", "pick up and throw", "jog", "walk", "sit to stand", "stand to sit",
        "lunge", "squat",
    )  # fmt: skip
    layout = KINECT_V1
    rate = 50.0
    placement = "right wrist for actions 1 to 21, right thigh for 22 to 27"
    citation = (
        "C. Chen, R. Jafari, N. Kehtarnavaz, UTD-MHAD: A Multimodal Dataset for Human Action "
        "Recognition Utilizing a Depth Camera and a Wearable Inertial Sensor, ICIP 2015"
    )
    licence = "free for research, see its homepage"
    homepage = "https://personal.utdallas.edu/~kehtar/UTD-MHAD.html"
    protocols: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cross_subject": {"train": [1, 3, 5, 7], "test": [2, 4, 6, 8]},
        "trial_split": {"train": [1, 2], "test": [3, 4]},
    }

    def __init__(self, root: Path | None = None, options: Mapping[str, object] | None = None):
        super().__init__(root, options)
        self._sources = self._find(root)

    def key(self) -> str:
        """Return the sha256 over both sources."""
        total = hashlib.sha256()
        for archive in self._archives:
            total.update(archive.digest().encode())
        return total.hexdigest()

    def trials(self) -> list[str]:
        """Return every trial that either source names, in order of action, subject and trial."""
        inertial, skeleton = self._files
        trials = sorted(inertial.names.keys() | skeleton.names.keys())
        if not trials:
            raise self._missing(f"no file is called like a1_s1_t1_{inertial.kind}.mat", self.root)
        return ["a{}_s{}_t{}".format(*trial) for trial in trials]

    def load(self, trial: str) -> Recording | SetAside:
        """Read both files of a trial; one that cannot be used is set aside."""
        action, subject, number = numbers = _numbers(trial)
        inertial, skeleton = self._files
        try:
            if not 1 <= action <= len(self.classes):
                raise DataError(f"there is no action {action}", remedy="Correct the file name")
            signal = inertial.matrix(numbers)
            joints = np.ascontiguousarray(skeleton.matrix(numbers).transpose(2, 0, 1))
            recording = Recording(
                id=trial,
                dataset=self.name,
                label=action - 1,
                subject=str(subject),
                trial=str(number),
                acceleration=np.ascontiguousarray(signal[:, :3]),
                rate=self.rate,
                skeleton=joints,
            )
            _check_scale(joints)
        except DataError as error:
            return SetAside(trial, str(error))
        return recording

    def worn(self, label: int) -> str:
        """Where the sensor was worn in recordings of a class."""
        return "right wrist" if label < 21 else "right thigh"

    @cached_property
    def _archives(self) -> tuple[Archive, Archive]:
        inertial, skeleton = self._sources
        return open_archive(inertial), open_archive(skeleton)

    @cached_property
    def _files(self) -> tuple[_Files, _Files]:
        inertial, skeleton = self._archives
        return (
            _Files(inertial, "inertial", "d_iner", (None, 6)),
            _Files(skeleton, "skeleton", "d_skel", (20, 3, None)),
        )

    def _find(self, root: Path | None) -> tuple[Path, Path]:
        if root is None:
            raise self._missing("no data folder was named", None)
        if not root.is_dir():
            raise self._missing("no such folder", root)
        for folder in (root, *_children(root, "utd-mhad")):
            # Of a zip and a folder the zip comes first: nobody has edited it.
            found = [_children(folder, f"{n}.zip", n) for n in ("inertial", "skeleton")]
            if all(found):
                return found[0][0], found[1][0]
        raise self._missing(
            "Inertial.zip and Skeleton.zip, or such folders, are not both in it", root
        )

    def _missing(self, what: str, root: Path | None) -> DataError:
        return DataError(
            f"no {self.title} found: {what}",
            where=root,
            remedy=f"Download Inertial.zip and Skeleton.zip from {self.homepage} "
            "and name their folder by --data-root",
        )


class _Files:
    """The .mat files of one kind in an archive, by trial."""

    def __init__(
        self, archive: Archive, kind: str, key: str, shape: tuple[int | None, ...]
    ) -> None:
        self.archive, self.kind, self.key, self.shape = archive, kind, key, shape
        pattern = re.compile(rf"a(\d{{1,3}})_s(\d{{1,3}})_t(\d{{1,3}})_{kind}\.mat", re.IGNORECASE)
        self.names: dict[Trial, list[str]] = {}
        for name in archive.names:
            if match := pattern.fullmatch(name.rpartition("/")[2]):
                action, subject, trial = map(int, match.groups())
                self.names.setdefault((action, subject, trial), []).append(name)

    def matrix(self, trial: Trial) -> NDArray[np.float32]:
        """Return the one array of a trial; DataError where there is none, or a bad one."""
        names = self.names.get(trial, [])
        if len(names) != 1:
            what = f"has two: {', '.join(names)}" if names else "is missing"
            raise DataError(
                f"its {self.kind} file {what}",
                where=self.archive.path.name,
                remedy="Leave one such file for the trial",
            )
        data = self.archive.read(names[0], _FILE_BYTES)
        expected = " x ".join("any" if n is None else str(n) for n in self.shape)
        try:
            values = read_matrix(data, self.key, _UNPACKED_BYTES)
            if len(values.shape) != len(self.shape) or any(
                want not in (None, n) for want, n in zip(self.shape, values.shape, strict=True)
            ):
                raise ValueError(f"{self.key} has shape {values.shape}, expected {expected}")
        except ValueError as error:
            raise DataError(
                str(error),
                where=f"{self.archive.path.name}/{names[0]}",
                remedy="Put the file of the official archive there",
            ) from error
        with np.errstate(over="ignore"):  # what is too large becomes infinite, found by Recording
            return values.astype(np.float32)


def _numbers(trial: str) -> Trial:
    action, subject, number = (int(part[1:]) for part in trial.split("_"))
    return action, subject, number


def _check_scale(joints: NDArray[np.float32]) -> None:
    upper, lower = KINECT_V1.torso
    torso = float(np.linalg.norm(joints[:, upper] - joints[:, lower], axis=1).mean())
    if not _TORSO[0] <= torso <= _TORSO[1]:
        raise DataError(
            f"the torso of its skeleton is {torso:.3g} m long, not {_TORSO[0]} to {_TORSO[1]}",
            remedy="Check that joints are in metres and in the order of Kinect v1",
        )


def _children(folder: Path, *names: str) -> list[Path]:
    """Return what a folder holds under some names in lower case, in the order of the names."""
    try:
        there = {path.name.lower(): path for path in sorted(folder.iterdir())}
    except OSError as error:
        raise DataError(f"cannot be listed ({error})", where=folder) from error
    return [there[name] for name in names if name in there]
