import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pskd.data.protocols import PROTOCOLS, Split, make_split
from pskd.data.store import RecordingInfo
from pskd.errors import ProtocolError, UsageError

CLASSES = ("wave", "clap", "jog")
INFOS = [
    RecordingInfo(
        id=f"a{a}_s{s}_t{t}",
        label=a,
        subject=str(s),
        trial=str(t),
        session=f"day {t}",
        scene="hall" if t else "street",
        view=str(t),
        side="test" if s == 0 else "train",
        rate=50.0,
        samples=100,
        frames=40,
    )
    for a, s, t in np.ndindex(3, 5, 3)
]
OTHERS: dict[str, dict[str, Any]] = {
    "leave_one_subject_out": {"held_out": 1},
    "cross_session": {"train": ["day 0", "day 2"], "test": ["day 1"]},
    "cross_scene": {"train": ["hall"], "test": ["street"]},
    "predefined": {},
}


def split(name: str, **options: Any) -> Split:
    return make_split(name, INFOS, CLASSES, options)


def who(indices: tuple[int, ...]) -> set[str]:
    return {INFOS[i].subject for i in indices}


def test_cross_subject() -> None:
    made = split("cross_subject", train=[0, "2"], test=[1, 3], validation=[4])
    assert (who(made.train), who(made.test), who(made.validation)) == (
        {"0", "2"},
        {"1", "3"},
        {"4"},
    )
    assert (len(made.train), len(made.test), len(made.validation)) == (18, 18, 9)
    assert made.subject_independent
    assert made.note == "subjects 0, 2 train, 1, 3 test, 4 validate"


def test_subjects_that_are_not_named_are_on_no_side() -> None:
    made = split("cross_subject", train=[0], test=[1])
    assert len(made.train) + len(made.test) == 18 and made.validation == ()


def test_trial_split_says_that_it_is_not_subject_independent() -> None:
    made = split("trial_split", train=[0, 1], test=[2])
    assert {INFOS[i].trial for i in made.train} == {"0", "1"}
    assert {INFOS[i].trial for i in made.test} == {"2"}
    assert who(made.train) == who(made.test) == set("01234")
    assert not made.subject_independent and "NOT subject-independent" in made.note


def test_trial_split_validates_on_training_trials_of_some_subjects() -> None:
    made = split("trial_split", train=[0, 1], test=[2], validation=[3])
    assert who(made.validation) == {"3"} and "3" not in who(made.train)
    assert {INFOS[i].trial for i in made.validation} == {"0", "1"}
    assert "3" in who(made.test)


def test_leave_one_subject_out_covers_everybody_once() -> None:
    folds = [split("leave_one_subject_out", held_out=s) for s in range(5)]
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(INFOS)))
    for fold in folds:
        assert len(who(fold.test)) == 1 and not who(fold.test) & who(fold.train)
        assert len(fold.train) + len(fold.test) == len(INFOS)
    held = split("leave_one_subject_out", held_out="2", validation=[4])
    assert who(held.validation) == {"4"} and who(held.train) == {"0", "1", "3"}
    assert held.note == "subject 2 held out"


@pytest.mark.parametrize(
    ("name", "field", "train", "test"),
    [
        ("cross_session", "session", ["day 0", "day 2"], ["day 1"]),
        ("cross_scene", "scene", ["hall"], ["street"]),
        ("cross_view", "view", [0, 2], [1]),
    ],
)
def test_sides_by_session_scene_and_camera(
    name: str, field: str, train: list[Any], test: list[Any]
) -> None:
    made = split(name, train=train, test=test, validation=[3])
    for names, side, people in (
        (train, made.train, set("0124")),
        (train, made.validation, {"3"}),
        (test, made.test, set("01234")),
    ):
        assert {getattr(INFOS[i], field) for i in side} == {str(n) for n in names}
        assert who(side) == people
    assert "NOT subject-independent" in made.note and not made.subject_independent
    assert made.shares_takes == (name == "cross_view") == ("NOT take-independent" in made.note)


def test_predefined_sides() -> None:
    made = split("predefined")
    assert who(made.test) == {"0"} and who(made.train) == set("1234")
    assert made.subject_independent and made.note == "sides as they came with the data"
    mixed = [replace(i, side="test") if i.id == "a0_s3_t0" else i for i in INFOS]
    made = make_split("predefined", mixed, CLASSES, {})
    assert not made.subject_independent and made.note.startswith("NOT subject-independent")
    assert made.note.endswith("1 people on two of them")
    with pytest.raises(ProtocolError, match=r"train side is empty.*give recordings a side"):
        make_split("predefined", [replace(i, side="") for i in INFOS], CLASSES, {})


def test_a_class_that_nobody_recorded_is_not_missed() -> None:
    options = {"train": [0, 1], "test": [2]}
    assert make_split("cross_subject", INFOS, (*CLASSES, "swim"), options).test


@pytest.mark.parametrize("name", PROTOCOLS)
def test_sides_share_no_recording(name: str) -> None:
    made = split(name, **OTHERS.get(name, {"train": [0, 1], "test": [2]}))
    everything = [i for side in made.sides.values() for i in side]
    assert len(everything) == len(set(everything))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cross_subject", {"train": [0, 1], "test": [1]}, "subject '1' is on two sides"),
        (
            "cross_subject",
            {"train": [0], "test": [1], "validation": [0]},
            "subject '0' is on two sides",
        ),
        ("leave_one_subject_out", {"held_out": 1, "validation": [1]}, "on two sides, validation"),
        ("trial_split", {"train": [0, 1], "test": [1]}, "trial '1' is on two sides"),
        ("cross_subject", {"train": [], "test": [1]}, "the train side is empty"),
        ("cross_subject", {"train": [1], "test": []}, "the test side is empty"),
        ("trial_split", {"train": [0], "test": [1], "validation": range(5)}, "train side is empty"),
    ],
)
def test_splits_that_break_the_rules(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        split(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cross_subjects", {}, "unknown protocol 'cross_subjects'.*mean 'cross_subject'"),
        ("cross_subject", {"trian": [1]}, "unknown option 'trian'.*mean 'train'"),
        ("cross_subject", {"infos": []}, "unknown option 'infos'"),
        ("cross_subject", {"train": [1]}, "missing a required argument: 'test'"),
        ("cross_subject", {"train": "01", "test": [2]}, "'01' are not a list"),
        ("cross_subject", {"train": 1, "test": [2]}, "subjects 1 are not a list"),
        ("cross_subject", {"train": [1], "test": [9]}, "no subject '9'.*0, 1, 2, 3, 4"),
        ("trial_split", {"train": [1], "test": [7]}, "there is no trial '7'"),
        ("leave_one_subject_out", {"held_out": "x"}, "there is no subject 'x'"),
    ],
)
def test_wrong_use(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        split(name, **options)


def test_a_label_outside_the_classes() -> None:
    with pytest.raises(ProtocolError, match="a2_s0_t0: label 2 is outside the 2 classes"):
        make_split("cross_subject", INFOS, CLASSES[:2], {"train": [0], "test": [1]})


def test_classes_without_training_data() -> None:
    lacking = [i for i in INFOS if (i.label, i.subject) != (1, "0")]
    message = re.escape("no training recordings of class 'clap'.")
    with pytest.raises(ProtocolError, match=message):
        make_split("cross_subject", lacking, (*CLASSES, "row"), {"train": [0], "test": [1]})
