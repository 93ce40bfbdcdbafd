"""Skeleton layouts: joints, bones and axes of one way of describing a body."""

from __future__ import annotations

from dataclasses import dataclass

from pskd.errors import UsageError, nearest


@dataclass(frozen=True)
class SkeletonLayout:
    """Names and tree of the joints of a skeleton.

    Attributes:
        name: Name of the layout.
        joints: Joint names, in the order of the data.
        parents: Index of the parent of each joint; the root is its own parent.
        torso: (upper, lower) joints whose distance is the scale of the body.
        up: Axis that points up, 0, 1 or 2.
        dims: Coordinates of a joint.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    torso: tuple[int, int]
    up: int = 1
    dims: int = 3

    @property
    def root(self) -> int:
        """Index of the joint that is its own parent."""
        return next(i for i, p in enumerate(self.parents) if i == p)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Bones as (child, parent)."""
        return tuple((i, p) for i, p in enumerate(self.parents) if i != p)

    def index(self, joint: str) -> int:
        """Index of a joint by its name."""
        if joint not in self.joints:
            raise UsageError(
                f"layout {self.name!r} has no joint {joint!r}", remedy=nearest(joint, self.joints)
            )
        return self.joints.index(joint)


KINECT_V1 = SkeletonLayout(
    name="kinect_v1",
    joints=(
        "head", "shoulder_center", "spine", "hip_center",
        "left_shoulder", "left_elbow", "left_wrist", "left_hand",
        "right_shoulder", "right_elbow", "right_wrist", "right_hand",
        "left_hip", "left_knee", "left_ankle", "left_foot",
        "right_hip", "right_knee", "right_ankle", "right_foot",
    ),
    parents=(1, 2, 3, 3, 1, 4, 5, 6, 1, 8, 9, 10, 3, 12, 13, 14, 3, 16, 17, 18),
    torso=(1, 3),
)  # fmt: skip
"""The 20 joints of Microsoft Kinect v1, y up, as in UTD-MHAD."""

LAYOUTS: dict[str, SkeletonLayout] = {KINECT_V1.name: KINECT_V1}


def layout(name: str) -> SkeletonLayout:
    """Return a layout by name; an unknown one raises UsageError."""
    if name not in LAYOUTS:
        raise UsageError(f"unknown skeleton layout {name!r}", remedy=nearest(name, LAYOUTS))
    return LAYOUTS[name]
