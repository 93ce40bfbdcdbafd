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

BERKELEY_MHAD_BVH = SkeletonLayout(
    name="berkeley_mhad_bvh",
    joints=(
        "Hips", "spine", "spine1", "spine2", "Neck", "Head",
        "RightShoulder", "RightArm", "RightArmRoll", "RightForeArm", "RightForeArmRoll",
        "RightHand",
        "LeftShoulder", "LeftArm", "LeftArmRoll", "LeftForeArm", "LeftForeArmRoll", "LeftHand",
        "RightUpLeg", "RightUpLegRoll", "RightLeg", "RightLegRoll", "RightFoot", "RightToeBase",
        "LeftUpLeg", "LeftUpLegRoll", "LeftLeg", "LeftLegRoll", "LeftFoot", "LeftToeBase",
    ),
    parents=(
        0, 0, 1, 2, 3, 4, 3, 6, 7, 8, 9, 10, 3, 12, 13, 14, 15, 16,
        0, 18, 19, 20, 21, 22, 0, 24, 25, 26, 27, 28,
    ),
    torso=(4, 0),
)  # fmt: skip
"""The 30 joints of the BVH files of Berkeley-MHAD, y up."""

BERKELEY_MHAD_MARKERS = SkeletonLayout(
    name="berkeley_mhad_markers",
    joints=(
        "head", "lhead", "rhead", "rback", "backl", "backt", "lback",
        "lside", "bell", "chest", "rside",
        "lsho1", "lsho2", "larm", "lelb", "lwri", "lhan1", "lhan2", "lhan3",
        "rsho1", "rsho2", "rarm", "relb", "rwri", "rhan1", "rhan2", "rhan3",
        "lhipb", "lhipf", "lhipl", "lleg", "lkne", "lank", "lhee", "lfoo",
        "rhipb", "rhipf", "rhipl", "rleg", "rkne", "rank", "rhee", "rfoo",
    ),
    parents=(
        5, 0, 0, 4, 4, 4, 4, 8, 9, 5, 8,
        5, 11, 12, 13, 14, 15, 15, 15, 5, 19, 20, 21, 22, 23, 23, 23,
        6, 29, 27, 29, 30, 31, 32, 32, 3, 37, 35, 37, 38, 39, 40, 40,
    ),
    torso=(5, 3),
)  # fmt: skip
"""The 43 optical markers of Berkeley-MHAD, y up.

Their names are those of the skeleton `berkeley_mhad_43` of MeTRAbs (Sarandi et al., WACV 2023);
the tree is ours: along the limbs, and from the back around the trunk.
"""

COCO_17 = SkeletonLayout(
    name="coco_17",
    joints=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
        "left_wrist", "right_wrist", "left_hip", "right_hip",
        "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    parents=(0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
    torso=(5, 11),
    dims=2,
)  # fmt: skip
"""The 17 key points of COCO in a picture, turned so that y points up."""

OPENPOSE_18 = SkeletonLayout(
    name="openpose_18",
    joints=(
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist",
        "left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle",
        "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear",
    ),
    parents=(1, 1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15),
    torso=(1, 11),
    dims=2,
)  # fmt: skip
"""The 18 key points of OpenPose's COCO model in a picture, turned so that y points up."""


def two_people(one: SkeletonLayout) -> SkeletonLayout:
    """Return the layout of two bodies, the second one's root hanging from the first one's."""
    count = len(one.joints)
    second = [count + p for p in one.parents]
    second[one.root] = one.root
    return SkeletonLayout(
        name=f"{one.name}_two_people",
        joints=one.joints + tuple(f"second_{joint}" for joint in one.joints),
        parents=one.parents + tuple(second),
        torso=one.torso,
        up=one.up,
        dims=one.dims,
    )


COCO_17_TWO_PEOPLE, OPENPOSE_18_TWO_PEOPLE = map(two_people, (COCO_17, OPENPOSE_18))

LAYOUTS: dict[str, SkeletonLayout] = {
    one.name: one
    for one in (
        KINECT_V1,
        BERKELEY_MHAD_BVH,
        BERKELEY_MHAD_MARKERS,
        COCO_17,
        COCO_17_TWO_PEOPLE,
        OPENPOSE_18,
        OPENPOSE_18_TWO_PEOPLE,
    )
}


def layout(name: str) -> SkeletonLayout:
    """Return a layout by name; an unknown one raises UsageError."""
    if name not in LAYOUTS:
        raise UsageError(f"unknown skeleton layout {name!r}", remedy=nearest(name, LAYOUTS))
    return LAYOUTS[name]
