"""The catalogue: what each dataset holds, whose it is, and how to come by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from pskd.datasets import DATASETS
from pskd.errors import UsageError, nearest

Access = Literal["none", "download", "page", "request"]
"""There is nothing to come by; `fetch` does it; by a browser; its authors are to be asked."""


@dataclass(frozen=True)
class SourceFile:
    """One file that a dataset is given out in.

    Attributes:
        name: Its official name; the readers also take what it unpacks to.
        holds: What is in it.
        at_most: Bytes that it may have, well over what it has.
        required: Whether nothing works without it.
        url: Its address, None where it has to be fetched by hand.
        checked: Whether somebody has seen this very address give the file. If not, it is one that
            other projects download from, and could not be tried while this was written.
        sha256: Of the official file, None where it is not known.
        columns: Those of `hashes/<dataset>.csv` that its contents are compared with.
        also: Other names that readers find it under, in lower case and without suffix.
    """

    name: str
    holds: str
    at_most: int
    required: bool = True
    url: str | None = None
    checked: bool = False
    sha256: str | None = None
    columns: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetInfo:
    """What there is to know of a dataset before one has it.

    Attributes:
        name: Name in recipes.
        title: Name for people.
        holds: What was recorded, in a line.
        recordings: How many there are, in words.
        subjects: How many people, 0 where that depends.
        classes: How many classes, 0 where that depends.
        sensors: What recorded them.
        licence: Terms of use.
        citation: What to cite.
        homepage: Its official home.
        access: Which way leads to its files.
        how: How to come by it, one sentence without its full stop.
        directory: Name of its folder in a folder of several datasets.
        files: The files that it is given out in.
    """

    name: str
    title: str
    holds: str
    recordings: str
    subjects: int
    classes: int
    sensors: str
    licence: str
    citation: str
    homepage: str
    access: Access
    how: str
    directory: str
    files: tuple[SourceFile, ...] = ()


# Where addresses come from. UTD-MHAD: its homepage names the files; several public projects
# download them from utdallas.edu/~kehtar/UTD-MAD/ (sic), one of them in August 2026. Berkeley-MHAD:
# no address of an archive is in print, and the homepage was reported dead in February 2024
# (github.com/YangLiu9208/SAKDN/issues/5). MMAct: names of archives from loaders that others
# published; its authors send the addresses.
_UTD = "https://www.utdallas.edu/~kehtar/UTD-MAD"


class _More(NamedTuple):
    """What is not said by the reader of a dataset; its address stands for {homepage}."""

    holds: str
    recordings: str
    subjects: int
    sensors: str
    access: Access
    how: str
    files: tuple[SourceFile, ...] = ()


def _by_hand(name: str, holds: str, gib: int, *also: str, required: bool = False) -> SourceFile:
    return SourceFile(name, holds, at_most=gib << 30, required=required, also=also)


_MORE = {
    "simulated": _More(
        holds="simulated people before a simulated camera, a watch on the right wrist",
        recordings="448, or as many as you ask for",
        subjects=8,
        sensors="accelerometer at 50 Hz; 20 joints in 3D as of a Kinect v1",
        access="none",
        how="It is made while it is read; there is nothing to download",
    ),
    "utd_mhad": _More(
        holds="27 gestures, sports and daily actions before a Kinect, four times each",
        recordings="861",
        subjects=8,
        sensors="accelerometer and gyroscope at 50 Hz, right wrist or thigh; 20 joints in 3D",
        access="download",
        how="Download Inertial.zip and Skeleton.zip from {homepage} in a browser and put them into "
        "{directory}/",
        files=(
            SourceFile(
                "Inertial.zip",
                "accelerometer and gyroscope, 861 files, 5 MiB",
                at_most=12 << 20,
                url=f"{_UTD}/Inertial.zip",
                columns=("inertial",),
            ),
            SourceFile(
                "Skeleton.zip",
                "skeletons, 861 files, 14 MiB",
                at_most=32 << 20,
                url=f"{_UTD}/Skeleton.zip",
                columns=("skeleton",),
            ),
        ),
    ),
    "berkeley_mhad": _More(
        holds="11 actions of the whole body in a motion capture studio, five times each",
        recordings="659",
        subjects=12,
        sensors="six accelerometers at 31 Hz; 43 markers in 3D at 480 Hz",
        access="page",
        how="Download its archives from {homepage} in a browser and put them into {directory}/; "
        "that page was reported dead in 2024, so its authors may have to be asked",
        files=(
            SourceFile(
                "Accelerometer.tar.gz",
                "all six accelerometers, 11 MiB",
                at_most=32 << 20,
                columns=tuple(f"h{n:02d}" for n in range(1, 7)),
            ),
            _by_hand("SkeletalData.tar.gz", "motion capture as BVH, for teachers", 4, "mocap"),
            _by_hand("OpticalData.tar.gz", "motion capture as markers, for teachers", 8, "mocap"),
            _by_hand("Time_stamps.tar.gz", "camera clocks, which BVH files are aligned by", 1),
        ),
    ),
    "mmact": _More(
        holds="37 daily actions in four scenes before four cameras, in five sessions",
        recordings="more than 36,000, one for each camera",
        subjects=20,
        sensors="accelerometers of watch and phone at 100 Hz, gyroscope, orientation; 2D poses",
        access="request",
        how="Ask its authors as {homepage} says, for academic use, and put the archives that they "
        "give you into {directory}/ as they are",
        files=(
            _by_hand("acc_watch_clip.tar.gz", "accelerometer of the watch", 4, required=True),
            _by_hand(
                "trimmed_pose.zip", "17 joints in 2D, for teachers", 16, "pose", "pose_openpose"
            ),
            _by_hand("acc_phone_clip.tar.gz", "accelerometer of the phone, right pocket", 4),
            _by_hand("gyro_clip.tar.gz", "gyroscope of the phone", 4),
            _by_hand("orientation_clip.tar.gz", "orientation of the phone", 4),
        ),
    ),
    "folder": _More(
        holds="your own recordings, listed in a manifest.csv",
        recordings="yours",
        subjects=0,
        sensors="an accelerometer, and skeletons where you have them",
        access="none",
        how="Write a manifest.csv and run pskd data check on its folder",
    ),
}


_ELSE = _More(
    holds="as its reader says",
    recordings="as many as there are",
    subjects=0,
    sensors="as its reader says",
    access="page",
    how="From {homepage}",
)
"""Of a reader that has no entry above yet."""


def entries() -> tuple[DatasetInfo, ...]:
    """Return all datasets, in the order of `DATASETS`."""
    return tuple(info(name) for name in DATASETS)


def info(name: str) -> DatasetInfo:
    """Return one dataset; an unknown one raises UsageError."""
    if name not in DATASETS:
        raise UsageError(f"unknown dataset {name!r}", remedy=nearest(name, DATASETS))
    reader, more = DATASETS[name], _MORE.get(name, _ELSE)
    directory = name.replace("_", "-")
    return DatasetInfo(
        name=name,
        title=reader.title,
        classes=len(reader.classes),
        licence=reader.licence,
        citation=reader.citation,
        homepage=reader.homepage,
        directory=directory,
        **more._replace(
            how=more.how.format(homepage=reader.homepage, directory=directory)
        )._asdict(),
    )
