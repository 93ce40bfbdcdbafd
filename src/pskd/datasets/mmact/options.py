"""What there is in MMAct, and what of it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pskd.data.skeleton import COCO_17, OPENPOSE_18, SkeletonLayout
from pskd.datasets.mmact.pose import read_coco, read_openpose
from pskd.errors import UsageError


class Sensor(NamedTuple):
    """Where the files of a sensor are, in which unit they are given, and where it was worn."""

    folder: str
    unit: str
    placement: str


SENSORS = {
    "watch": Sensor("acc_watch_clip", "g", "a watch on the wrist"),
    "phone": Sensor("acc_phone_clip", "g", "a phone in the pocket"),
    "gyroscope": Sensor("gyro_clip", "rad/s", "a phone in the pocket"),
    "orientation": Sensor("orientation_clip", "degrees", "a phone in the pocket"),
}


class Pose(NamedTuple):
    """Where poses are, what their files are called, which joints they hold and who reads them."""

    places: tuple[str, ...]
    suffix: str
    layout: SkeletonLayout
    parse: Callable[[bytes], NDArray[np.float64]]


POSES = {
    "coco": Pose(("trimmed_pose.zip", "pose", "trimmed_pose"), "json", COCO_17, read_coco),
    "openpose": Pose(
        ("pose_openpose.zip", "pose_openpose", "openpose"), "npy", OPENPOSE_18, read_openpose
    ),
}


@dataclass(frozen=True)
class Options:
    """What to read.

    Attributes:
        sensor: Whose accelerometer, `watch` or `phone`.
        pose: Joints: `coco`, `openpose`, `none`, or `auto` for the first of them that is there.
        persons: 1 for who moves most, 2 for both in one skeleton.
        cameras: Numbers of those to use, None for all.
        desk_classes: Whether what happens at the desk are classes of their own.

    Raises:
        UsageError: A value is none of these.
    """

    sensor: str = "watch"
    pose: str = "auto"
    persons: int = 1
    cameras: Sequence[int] | None = None
    desk_classes: bool = False

    def __post_init__(self) -> None:
        for name, known in (
            ("sensor", ("watch", "phone")),
            ("pose", ("auto", *POSES, "none")),
            ("persons", (1, 2)),
            ("desk_classes", (False, True)),
        ):
            value = getattr(self, name)
            if value not in known or type(value) is not type(known[0]):
                raise _refused(name, value, " or ".join(map(str, known)))
        chosen: object = self.cameras  # whatever a recipe gave
        if chosen is not None and not (
            isinstance(chosen, Sequence) and chosen and all(type(c) is int for c in chosen)
        ):
            raise _refused("cameras", chosen, "a list of numbers, as [1, 2, 3]")


def _refused(name: str, value: object, expected: str) -> UsageError:
    return UsageError(f"{name} is {value!r}", where="mmact", remedy=f"Give {expected}")
