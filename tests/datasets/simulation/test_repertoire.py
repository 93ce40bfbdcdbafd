from __future__ import annotations

import numpy as np
import pytest

from pskd.data.skeleton import KINECT_V1
from pskd.datasets import DATASETS
from pskd.datasets.simulation.people import RATE, perform, person
from pskd.datasets.simulation.repertoire import REPERTOIRE, programme
from pskd.datasets.simulation.scores import Score, Steps
from pskd.errors import UsageError

PEOPLE, TAKES = 3, 2
MMACT = list(REPERTOIRE["mmact"])


def joints(dataset: str, label: int, subject: int, take: int = 1) -> np.ndarray:
    who = person(np.random.default_rng((7, subject)))
    action, seconds = programme(dataset, label)
    return perform(who, action, seconds, np.random.default_rng((7, subject, label, take))).joints


def features(path: np.ndarray) -> np.ndarray:
    """Where the joints are at 16 moments, over the floor under the hips, and how fast they go."""
    path = path - path[:, KINECT_V1.root, None] * [1, 0, 1]
    speed = np.abs(np.diff(path[::25], axis=0)).mean(axis=0) * RATE / 25
    moments = np.linspace(0, len(path) - 1, 16).astype(int)
    return np.concatenate([path[moments].ravel(), 2.4 * speed.ravel()])


def test_every_class_of_every_dataset_has_a_programme_in_the_order_of_the_labels() -> None:
    for dataset, classes in REPERTOIRE.items():
        assert tuple(classes) == DATASETS[dataset].classes
    assert programme("utd_mhad", 26) == REPERTOIRE["utd_mhad"]["squat"]


@pytest.mark.parametrize("dataset", REPERTOIRE)
def test_classes_differ_more_than_people_do(dataset: str) -> None:
    classes = len(REPERTOIRE[dataset])
    seen = np.array(
        [
            [[features(joints(dataset, c, s, t)) for t in range(TAKES)] for c in range(classes)]
            for s in range(PEOPLE)
        ]
    )
    assert np.isfinite(seen).all()
    right = 0
    for subject in range(PEOPLE):  # the nearest centroid of the other people
        centroids = np.delete(seen, subject, axis=0).mean(axis=(0, 2))
        distance = np.linalg.norm(seen[subject][:, :, None] - centroids, axis=-1)
        right += int((distance.argmin(axis=-1) == np.arange(classes)[:, None]).sum())
    # 0.99, 1.00 and 0.99 for the three; chance is 0.04, 0.09 and 0.03.
    assert right / (PEOPLE * classes * TAKES) > 0.9


@pytest.mark.parametrize(("name", "most"), [("jumping", 0.5), ("running", 0.25)])
def test_jumps_and_steps_leave_the_floor_and_come_back(name: str, most: float) -> None:
    path = joints("mmact", MMACT.index(name), subject=1)
    ankles = path[:, [KINECT_V1.index("left_ankle"), KINECT_V1.index("right_ankle")], 1]
    assert 0.02 < ankles.min(axis=1).max() < most
    np.testing.assert_allclose(ankles[[0, -1]], 0, atol=0.01)


def test_sitting_begins_and_ends_low_and_standing_up_ends_high() -> None:
    hips = {
        name: joints("mmact", MMACT.index(name), subject=2)[[0, -1], KINECT_V1.root, 1]
        for name in ("sitting", "sitting down", "standing up", "standing")
    }
    tall = hips["standing"].mean()
    np.testing.assert_allclose(hips["standing"], tall, atol=0.02)
    assert (hips["sitting"] < 0.7 * tall).all()
    np.testing.assert_array_equal(hips["sitting down"] < 0.7 * tall, [False, True])
    np.testing.assert_array_equal(hips["standing up"] < 0.7 * tall, [True, False])


def test_walking_backward_goes_the_other_way() -> None:
    def gone(stride: float) -> float:
        who = person(np.random.default_rng(3))
        score = Score(steps=Steps(stride=stride, knee=40))
        path = perform(who, score, 4.0, np.random.default_rng(4)).joints[:, KINECT_V1.root, 2]
        return float(path[-1] - path[0])

    assert gone(18) < -0.5  # people face along -z
    assert gone(-18) > 0.5


def test_unknown_datasets_and_classes_are_named() -> None:
    with pytest.raises(UsageError, match=r"'utd_mha'.*Did you mean 'utd_mhad'"):
        programme("utd_mha", 0)
    with pytest.raises(UsageError, match=r"class 11 of berkeley_mhad.*0 to 10"):
        programme("berkeley_mhad", 11)
