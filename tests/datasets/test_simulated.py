from __future__ import annotations

import numpy as np
import pytest

from pskd.data.recording import Recording
from pskd.data.skeleton import KINECT_V1
from pskd.datasets.simulated import Simulated
from pskd.datasets.simulation.people import person
from pskd.errors import UsageError

READER = Simulated


def read(**options: object) -> list[Recording]:
    return [r for r in READER(None, options).read() if isinstance(r, Recording)]


@pytest.fixture(scope="module")
def everything() -> list[Recording]:
    """The dataset as it is by default."""
    return read()


def test_default_size_names_and_metadata(everything: list[Recording]) -> None:
    assert len(READER.classes) == len(set(READER.classes)) >= 12
    assert len(everything) == len(READER.classes) * 8 * 4
    assert len({r.id for r in everything}) == len(everything)
    first = everything[0]
    assert (first.id, first.dataset, first.label, first.subject, first.trial, first.rate) == (
        "a01_s1_t1", "simulated", 0, "1", "1", 50.0,
    )  # fmt: skip
    assert everything[-1].id == f"a{len(READER.classes):02d}_s8_t4"
    assert {r.label for r in everything} == set(range(len(READER.classes)))


def test_signals_look_like_those_of_a_watch_and_a_camera(everything: list[Recording]) -> None:
    for r in everything:
        assert r.acceleration.dtype == np.float32
        assert r.skeleton is not None
        assert r.skeleton.dtype == np.float32
        assert 1.98 <= r.seconds <= 5.02
        assert 18.5 <= len(r.skeleton) / r.seconds <= 30.5
        assert np.abs(r.acceleration).max() <= 8
        # The clip starts and ends at ease: near 1 g.
        ends = np.concatenate([r.acceleration[:2], r.acceleration[-2:]])
        assert np.abs(np.linalg.norm(ends, axis=1) - 1).max() < 0.35
        right, left = (r.skeleton[:, KINECT_V1.index(f"{s}_hip"), 0] for s in ("right", "left"))
        assert np.mean(right - left) > 0.05
    assert max(np.abs(r.acceleration).max() for r in everything) == 8  # a throw saturates it


def test_same_options_same_bytes() -> None:
    once, again = read(subjects=2, trials=1), read(subjects=2, trials=1)
    for a, b in zip(once, again, strict=True):
        assert a.acceleration.tobytes() == b.acceleration.tobytes()
        assert a.skeleton is not None
        assert b.skeleton is not None
        assert a.skeleton.tobytes() == b.skeleton.tobytes()


def test_a_recording_does_not_depend_on_the_others_asked_for(everything: list[Recording]) -> None:
    known = {r.id: r for r in everything}
    few = read(subjects=3, trials=2, classes=["throw", "lunge"])
    assert [r.id for r in few[:3]] == ["a05_s1_t1", "a05_s1_t2", "a05_s2_t1"]
    assert {READER.classes[r.label] for r in few} == {"throw", "lunge"}
    for r in few:
        np.testing.assert_array_equal(r.acceleration, known[r.id].acceleration)


def test_seed_trial_and_subject_all_change_the_signals() -> None:
    options: dict[str, object] = {"subjects": 2, "trials": 2, "classes": ["clap"]}
    clips = read(**options) + read(seed=1, **options)
    signals = {r.acceleration[:90].tobytes() for r in clips}
    assert len(signals) == len(clips) == 8


def test_noise_is_that_of_the_instruments_only() -> None:
    options: dict[str, object] = {"subjects": 1, "trials": 1, "classes": ["squat"]}
    [clean], [noisy] = read(noise=0, **options), read(noise=1.0, **options)
    error = noisy.acceleration - clean.acceleration
    assert 0.01 < error.std() < 0.05
    assert clean.skeleton is not None
    assert noisy.skeleton is not None
    off = np.linalg.norm(noisy.skeleton - clean.skeleton, axis=-1)
    assert 0.005 < np.median(off) < 0.06


def test_without_noise_bones_keep_their_length() -> None:
    for r in read(subjects=2, trials=1, noise=0):
        assert r.skeleton is not None
        bones = np.linalg.norm(r.skeleton - r.skeleton[:, KINECT_V1.parents], axis=-1)
        # Frames lie between two moments 2 ms apart, hence not exactly.
        assert np.ptp(bones, axis=0).max() < 1e-3


def test_people_differ_in_body_habits_and_watch() -> None:
    a, b = (person(np.random.default_rng((0, s))) for s in (1, 2))
    assert all(vars(a.body)[k] != vars(b.body)[k] for k in vars(a.body))
    assert abs(a.pace - b.pace) > 1e-3
    assert np.abs(a.mounting.rotation - b.mounting.rotation).max() > 0.01
    turns = [person(np.random.default_rng(i)).mounting.rotation for i in range(20)]
    for rotation in turns:
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_pairs_are_hard_from_the_wrist_and_easy_from_the_body(everything: list[Recording]) -> None:
    """A linear classifier across subjects: the body is solved, the wrist is not."""
    labels = np.array([r.label for r in everything])
    train = np.array([int(r.subject) % 2 == 1 for r in everything])
    wrist = np.stack([_resample(r.acceleration, 64) for r in everything])
    body = np.stack([_resample(_centred(r), 16) for r in everything])
    assert _linear_accuracy(body, labels, train) >= 0.95
    assert _linear_accuracy(wrist, labels, train) <= 0.85


def _centred(recording: Recording) -> np.ndarray:
    assert recording.skeleton is not None
    joints = recording.skeleton - recording.skeleton[:, KINECT_V1.root].mean(axis=0)
    return joints.reshape(len(joints), -1)


def _resample(signal: np.ndarray, n: int) -> np.ndarray:
    at = np.linspace(0, len(signal) - 1, n)
    return np.stack([np.interp(at, np.arange(len(signal)), c) for c in signal.T]).ravel()


def _linear_accuracy(x: np.ndarray, y: np.ndarray, train: np.ndarray) -> float:
    """Ridge regression on one-hot labels, in its dual form."""
    x = (x - x[train].mean(0)) / (x[train].std(0) + 0.1)
    kernel = x @ x[train].T / x.shape[1]
    target = np.eye(y.max() + 1)[y[train]]
    weights = np.linalg.solve(kernel[train] + 0.05 * np.eye(train.sum()), target)
    guess = (kernel @ weights).argmax(axis=1)
    return float(np.mean(guess[~train] == y[~train]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"subject": 4}, "unknown option 'subject'.*'subjects'"),
        ({"classes": ["thrwo"]}, "unknown class 'thrwo'.*'throw'"),
        ({"classes": []}, "list of class names"),
        ({"classes": "throw"}, "list of class names"),
        ({"classes": [["throw"]]}, "unknown class"),
        ({"subjects": 0}, "subjects is 0.*at least 1"),
        ({"subjects": True}, "subjects is True"),
        ({"trials": 2.0}, "trials is 2.0.*integer"),
        ({"seed": -1}, "seed is -1.*at least 0"),
        ({"noise": -0.5}, "noise is -0.5"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"noise": "loud"}, "noise is 'loud'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        READER(None, options)


def test_key_follows_options_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    key = READER().key()
    assert len(key) == 64
    assert key == READER(None, {"subjects": 8, "classes": list(READER.classes)}).key()
    assert key != READER(None, {"seed": 1}).key()
    monkeypatch.setattr(Simulated, "version", READER.version + 1)
    assert key != READER().key()
