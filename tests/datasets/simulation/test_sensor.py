from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid
from scipy.spatial.transform import Rotation

from pskd.data.recording import STANDARD_GRAVITY
from pskd.data.skeleton import KINECT_V1
from pskd.datasets.simulation.actions import ACTIONS
from pskd.datasets.simulation.people import perform, person
from pskd.datasets.simulation.sensor import ON_WRIST, RANGE, digitise, film, specific_force

RATE = 500.0
UP = np.array([0.0, 1.0, 0.0])
TIME = np.arange(1000) / RATE


def spin(seed: int) -> np.ndarray:
    """Orientations that turn about a changing axis."""
    rng = np.random.default_rng(seed)
    turns = np.sin(TIME[:, None] * rng.uniform(1, 5, 3) + rng.uniform(0, 6, 3)) * 2
    return Rotation.from_rotvec(turns).as_matrix()


def motion_of(name: str, seed: int = 0):
    who = person(np.random.default_rng(seed))
    return who, perform(who, *ACTIONS[name], np.random.default_rng((seed, 1)))


def test_at_rest_it_reads_one_g_upward_whatever_its_attitude() -> None:
    frame = spin(0)
    force = specific_force(np.tile([0.3, 1.0, 2.0], (len(TIME), 1)), frame, RATE)
    np.testing.assert_allclose(np.linalg.norm(force, axis=1), 1.0, atol=1e-9)
    np.testing.assert_allclose(
        np.einsum("tij,tj->ti", frame, force), np.tile(UP, (1000, 1)), atol=1e-9
    )


def test_in_free_fall_it_reads_nothing() -> None:
    fall = np.outer(TIME, [2.0, 3.0, -1.0]) - np.outer(STANDARD_GRAVITY * TIME**2 / 2, UP)
    np.testing.assert_allclose(specific_force(fall, spin(1), RATE), 0.0, atol=1e-9)


def test_on_a_turntable_it_reads_the_centripetal_force() -> None:
    radius, omega = 0.5, 7.0
    angle = omega * TIME
    zero = np.zeros_like(angle)
    position = radius * np.stack([np.cos(angle), zero, -np.sin(angle)], axis=1)
    frame = Rotation.from_rotvec(np.outer(angle, UP)).as_matrix()  # its x axis points outward
    force = specific_force(position, frame, RATE)[4:-4]
    expected = [-(omega**2) * radius / STANDARD_GRAVITY, 1.0, 0.0]
    np.testing.assert_allclose(force, np.tile(expected, (len(force), 1)), atol=1e-3)


def test_turning_the_sensor_on_the_arm_turns_the_vector() -> None:
    who, motion = motion_of("throw")
    position, frame = who.mounting.pose(motion)
    turned = Rotation.from_rotvec([0.4, -1.0, 0.7]).as_matrix()
    np.testing.assert_allclose(
        specific_force(position, frame @ turned, RATE),
        specific_force(position, frame, RATE) @ turned,
        atol=1e-9,
    )


def test_turning_the_body_about_the_vertical_changes_nothing_and_tilting_it_turns_gravity() -> None:
    who, motion = motion_of("draw circle")
    position, frame = who.mounting.pose(motion)
    plain = specific_force(position, frame, RATE)
    yaw = Rotation.from_euler("y", 1.1).as_matrix()
    np.testing.assert_allclose(
        specific_force(position @ yaw.T, yaw @ frame, RATE), plain, atol=1e-9
    )
    tilt = Rotation.from_euler("x", 0.6).as_matrix()
    change = specific_force(position @ tilt.T, tilt @ frame, RATE) - plain
    gravity = np.einsum("tij,i->tj", frame, tilt.T @ UP - UP)
    np.testing.assert_allclose(change, gravity, atol=1e-9)


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize(("every", "tolerance"), [(1, 5e-4), (10, 5e-2)], ids=["500Hz", "50Hz"])
def test_integrating_back_recovers_the_path(name: str, every: int, tolerance: float) -> None:
    """To 0.5 mm from all moments, to 5 cm from the 50 Hz of the watch, attitude known."""
    who, motion = motion_of(name)
    position, frame = who.mounting.pose(motion)
    force = specific_force(position, frame, motion.rate)
    start = np.gradient(position, 1 / motion.rate, axis=0, edge_order=2)[0]
    world = (np.einsum("tij,tj->ti", frame, force) - UP)[::every] * STANDARD_GRAVITY
    dt = every / motion.rate
    velocity = start + cumulative_trapezoid(world, dx=dt, axis=0, initial=0)
    path = position[0] + cumulative_trapezoid(velocity, dx=dt, axis=0, initial=0)
    assert np.ptp(position, axis=0).max() > 0.02
    assert np.abs(path - position[::every]).max() < tolerance


@pytest.mark.parametrize("name", ["wave right hand", "throw", "pick up by bending"])
def test_the_sensor_is_rigid_with_the_forearm(name: str) -> None:
    who, motion = motion_of(name)
    position, frame = who.mounting.pose(motion)
    bone = motion.joints[:, KINECT_V1.index("right_wrist")]
    for point in ("right_wrist", "right_elbow", "right_hand"):
        seen = np.einsum("tij,ti->tj", frame, motion.joints[:, KINECT_V1.index(point)] - position)
        assert np.ptp(np.linalg.norm(seen, axis=1)) < 1e-9
    hand = np.einsum("tij,ti->tj", frame, motion.joints[:, KINECT_V1.index("right_hand")] - bone)
    assert np.ptp(hand, axis=0).max() < 1e-9
    assert np.linalg.norm(position - bone, axis=1).max() < 0.08


def test_a_straight_watch_on_a_hanging_arm_looks_along_the_fingers() -> None:
    assert np.linalg.det(ON_WRIST) == 1.0
    force = specific_force(np.zeros((5, 3)), np.tile(ON_WRIST, (5, 1, 1)), RATE)
    np.testing.assert_allclose(force[0], [-1, 0, 0], atol=1e-12)  # as in UTD-MHAD at rest


def test_digitising_clips_and_without_noise_does_nothing_else() -> None:
    force = np.array([[20.0, -20.0, 0.5], [-8.5, 7.5, 8.5]])
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(digitise(force, rng, 0.0), [[8, -8, 0.5], [-8, 7.5, 8]])
    assert np.abs(digitise(force, rng, 5.0)).max() <= RANGE


def test_noise_scales_bias_and_white_noise() -> None:
    clips = [digitise(np.zeros((4000, 3)), np.random.default_rng(i), 2.0) for i in range(60)]
    assert np.std([c.std(axis=0) for c in clips]) < 0.001
    assert np.mean([c.std() for c in clips]) == pytest.approx(0.05, rel=0.15)
    assert np.std([c.mean(axis=0) for c in clips]) == pytest.approx(0.04, rel=0.2)


def test_the_camera_spans_the_motion_and_sees_limbs_worse_than_the_trunk() -> None:
    _, motion = motion_of("wave both hands")
    frames = 60
    exact = film(motion, frames, np.random.default_rng(0), 0.0)
    np.testing.assert_array_equal(exact[[0, -1]], motion.joints[[0, -1]])
    at = np.linspace(0, 1, frames)
    moments = np.linspace(0, 1, len(motion.joints))
    hand = KINECT_V1.index("right_hand")
    np.testing.assert_allclose(
        exact[:, hand, 0], np.interp(at, moments, motion.joints[:, hand, 0]), atol=1e-12
    )
    error = film(motion, frames, np.random.default_rng(1), 1.0) - exact
    jitter = error.std(axis=0).mean(axis=1)
    assert jitter[KINECT_V1.index("spine")] == pytest.approx(0.006, rel=0.3)
    assert jitter[hand] == pytest.approx(0.015, rel=0.3)
