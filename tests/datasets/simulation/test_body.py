from __future__ import annotations

import numpy as np
import pytest

from pskd.data.skeleton import KINECT_V1
from pskd.datasets.simulation.actions import ACTIONS, Take
from pskd.datasets.simulation.body import Arm, Body, Leg, Pose, move
from pskd.datasets.simulation.people import perform, person

RATE = 500.0
BODY = Body()


def still(pose: Pose) -> dict[str, np.ndarray]:
    """Joints of a pose that does not change, by name."""
    joints = move(BODY, pose, 8, RATE).joints
    assert np.ptp(joints, axis=0).max() < 1e-12
    return dict(zip(KINECT_V1.joints, joints[0], strict=True))


def test_all_zero_stands_upright_facing_the_camera() -> None:
    j = still(Pose())
    np.testing.assert_allclose(j["left_ankle"], [-BODY.hip_width, 0, 0], atol=1e-12)
    np.testing.assert_allclose(
        j["hip_center"], [0, BODY.hip_drop + BODY.thigh + BODY.shank, 0], atol=1e-12
    )
    np.testing.assert_allclose(j["head"] - j["hip_center"], [0, 0.61, 0], atol=1e-12)
    np.testing.assert_allclose(j["right_hand"] - j["right_shoulder"], [0, -0.59, 0], atol=1e-12)
    np.testing.assert_allclose(j["right_foot"] - j["right_ankle"], [0, 0, -0.09], atol=1e-12)


@pytest.mark.parametrize(
    ("arm", "upper", "fore"),
    [
        (Arm(flexion=90), (0, 0, -1), (0, 0, -1)),  # forward
        (Arm(abduction=90), (1, 0, 0), (1, 0, 0)),  # to the side
        (Arm(elbow=90), (0, -1, 0), (0, 0, -1)),  # forearm forward
        (Arm(elbow=90, rotation=90), (0, -1, 0), (-1, 0, 0)),  # forearm before the belly
        (Arm(abduction=90, rotation=-90, elbow=90), (1, 0, 0), (0, 1, 0)),  # hand up: "hello"
        (Arm(flexion=90, abduction=90), (1, 0, 0), (1, 0, 0)),  # forward, then opened sideways
    ],
)
def test_arm_angles_mean_what_they_say(arm: Arm, upper: tuple, fore: tuple) -> None:
    j = still(Pose(right_arm=arm, left_arm=arm))
    for side, mirror in (("right", 1), ("left", -1)):
        flip = np.array([mirror, 1, 1])
        np.testing.assert_allclose(
            j[f"{side}_elbow"] - j[f"{side}_shoulder"], 0.27 * flip * upper, atol=1e-12
        )
        np.testing.assert_allclose(
            j[f"{side}_wrist"] - j[f"{side}_elbow"], 0.24 * flip * fore, atol=1e-12
        )


@pytest.mark.parametrize(
    ("pose", "joint", "axis", "sign"),
    [
        (Pose(bend=30), "head", 2, -1),
        (Pose(lean=30), "head", 0, 1),
        (Pose(twist=30), "right_shoulder", 2, -1),
        (Pose(facing=30), "right_hip", 2, -1),
    ],
)
def test_trunk_angles_mean_what_they_say(pose: Pose, joint: str, axis: int, sign: int) -> None:
    j = still(pose)
    assert sign * (j[joint] - j["hip_center"])[axis] > 0.03


def test_legs_bend_forward_at_the_hip_and_backward_at_the_knee() -> None:
    j = still(Pose(right_leg=Leg(hip=90, knee=90), left_leg=Leg(spread=10)))
    np.testing.assert_allclose(j["right_knee"] - j["right_hip"], [0, 0, -BODY.thigh], atol=1e-12)
    np.testing.assert_allclose(j["right_ankle"] - j["right_knee"], [0, -BODY.shank, 0], atol=1e-12)
    assert j["left_ankle"][0] < j["left_hip"][0]


def test_pronation_rolls_the_hand_inward_and_moves_no_joint() -> None:
    plain, rolled = (
        move(BODY, Pose(right_arm=Arm(elbow=40, pronation=p)), 4, RATE) for p in (0.0, 90.0)
    )
    np.testing.assert_allclose(rolled.joints, plain.joints, atol=1e-12)
    # The forearm's axis stays; the back of the hand goes where the thumb was, so the thumb of a
    # hanging right hand ends pointing at the body.
    np.testing.assert_allclose(rolled.forearm[..., 1], plain.forearm[..., 1], atol=1e-12)
    np.testing.assert_allclose(rolled.forearm[..., 0], -plain.forearm[..., 2], atol=1e-12)
    np.testing.assert_allclose(-rolled.forearm[0, :, 2], [-1, 0, 0], atol=1e-12)


@pytest.mark.parametrize("name", ACTIONS)
def test_bones_keep_their_length_and_the_forearm_its_frame(name: str) -> None:
    motion = perform(person(np.random.default_rng(1)), *ACTIONS[name], np.random.default_rng(2))
    bones = motion.joints - motion.joints[:, KINECT_V1.parents]
    length = np.linalg.norm(bones, axis=-1)
    # The hip centre joins a bending trunk to a level pelvis, its bones to both are rigid.
    np.testing.assert_allclose(length, np.broadcast_to(length[0], length.shape), atol=1e-9)
    unit = motion.forearm.transpose(0, 2, 1) @ motion.forearm
    np.testing.assert_allclose(unit, np.broadcast_to(np.eye(3), unit.shape), atol=1e-12)
    wrist, elbow = (KINECT_V1.index(f"right_{j}") for j in ("wrist", "elbow"))
    along = np.einsum("tij,ti->tj", motion.forearm, motion.joints[:, wrist] - bones[:, wrist])
    along -= np.einsum("tij,ti->tj", motion.forearm, motion.joints[:, wrist])
    np.testing.assert_allclose(along[:, 1], length[0, wrist], atol=1e-9)
    np.testing.assert_allclose(along[:, [0, 2]], 0.0, atol=1e-9)
    assert elbow == KINECT_V1.parents[wrist]


@pytest.mark.parametrize("name", ACTIONS)
def test_the_lower_foot_stays_on_the_floor(name: str) -> None:
    motion = perform(person(np.random.default_rng(3)), *ACTIONS[name], np.random.default_rng(4))
    ankles = motion.joints[:, [KINECT_V1.index(f"{s}_ankle") for s in ("left", "right")], 1]
    assert np.abs(ankles.min(axis=1)).max() < 0.05


def test_gaits_travel_only_where_they_should() -> None:
    way = {}
    for name in ("walk", "march in place", "squat"):
        rng = np.random.default_rng(5)
        motion = perform(person(np.random.default_rng(6)), *ACTIONS[name], rng)
        root = motion.joints[:, KINECT_V1.root]
        way[name] = root[-1] - root[0]
    assert way["walk"][2] < -0.4  # towards the camera
    assert np.abs(way["march in place"]).max() < 0.1
    assert np.abs(way["squat"]).max() < 0.05


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("wave right hand", "wave both hands"),
        ("kick with left leg", "kick with right leg"),
        ("walk", "march in place"),
    ],
)
def test_hard_pairs_move_the_right_arm_alike(one: str, other: str) -> None:
    """Averaged over takes, the right arm differs less within a pair than the rest of the body."""
    time = np.linspace(0, 3, 200)
    poses = []
    for name in (one, other):
        takes = [
            ACTIONS[name][0](Take(time, time / 3, 1.0, 1.0, np.random.default_rng(i)))
            for i in range(40)
        ]
        poses.append(
            [[_angles(p.right_arm), _angles(p.left_arm, p.left_leg, p.right_leg)] for p in takes]
        )
    arm, rest = (
        np.abs(np.mean([p[k] for p in poses[0]], 0) - np.mean([p[k] for p in poses[1]], 0)).max()
        for k in (0, 1)
    )
    assert arm < 0.5 * rest


def _angles(*limbs: Arm | Leg) -> np.ndarray:
    return np.concatenate([np.broadcast_to(a, 200) for limb in limbs for a in vars(limb).values()])
