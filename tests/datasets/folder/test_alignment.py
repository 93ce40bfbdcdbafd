"""Whether pairs go together, judged on simulated pairs that were spoilt in known ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pskd.data.recording import Recording
from pskd.data.skeleton import KINECT_V1
from pskd.datasets.folder.alignment import PairScore, make_trace, score_pairs
from pskd.datasets.folder.verdict import Alignment, judge
from pskd.datasets.simulated import Simulated
from pskd.datasets.utd_mhad import UtdMhad

Spoil = Callable[[Recording, list[Recording]], Any]


def late(recording: Recording, _: list[Recording]) -> Any:
    """The first frame held for a second, the last second lost."""
    joints: Any = recording.skeleton
    frames = round(len(joints) / recording.seconds)
    return np.concatenate([np.repeat(joints[:1], frames, axis=0), joints[:-frames]])


def backwards(recording: Recording, _: list[Recording]) -> Any:
    joints: Any = recording.skeleton
    return joints[::-1]


def of_another_class(recording: Recording, others: list[Recording]) -> Any:
    rng = np.random.default_rng(len(recording.acceleration))
    return rng.choice([r for r in others if r.label != recording.label]).skeleton


def of_the_same_class(recording: Recording, others: list[Recording]) -> Any:
    alike = [r for r in others if r.label == recording.label]
    return alike[alike.index(recording) - 1].skeleton


def untouched(recording: Recording, _: list[Recording]) -> Any:
    return recording.skeleton


def judged(recordings: list[Recording], spoil: Spoil = untouched) -> Alignment:
    traces = [make_trace(replace(r, skeleton=spoil(r, recordings)), KINECT_V1) for r in recordings]
    scores = score_pairs([r.id for r in recordings], [r.label for r in recordings], traces)
    return judge(scores, KINECT_V1.joints)


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    """Five actions of four people, three times."""
    classes = ["wave right hand", "throw", "pick up by bending", "squat", "kick with left leg"]
    source = Simulated(None, {"subjects": 4, "trials": 3, "classes": classes})
    return [source.load(trial) for trial in source.trials()]


def test_true_pairs(recordings: list[Recording]) -> None:
    found = judged(recordings)
    assert found.kind == "aligned" and found.share > 0.8
    assert found.joint in {"right_wrist", "right_hand"}
    assert not any(score.late or score.doubtful for score in found.scores)


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (late, "late"), (backwards, "backwards"), (of_another_class, "apart"),
        (of_the_same_class, "mixed up"),
    ],
)  # fmt: skip
def test_spoilt_datasets_are_told_apart(
    recordings: list[Recording], spoil: Spoil, kind: str
) -> None:
    found = judged(recordings, spoil)
    assert found.kind == kind
    if kind == "late":
        assert found.lag == pytest.approx(1, abs=0.1)


def test_one_spoilt_pair_is_named(recordings: list[Recording]) -> None:
    spoilt = recordings.copy()
    spoilt[7] = replace(spoilt[7], skeleton=late(spoilt[7], recordings))
    spoilt[23] = replace(spoilt[23], skeleton=backwards(spoilt[23], recordings))
    scores = judged(spoilt).scores
    assert [s.recording for s in scores if s.late] == [recordings[7].id]
    assert scores[7].lag == pytest.approx(1, abs=0.1)
    assert scores[23].backwards > 0.2


def test_unit_rotation_and_upside_down_do_not_matter(recordings: list[Recording]) -> None:
    """Pictures have y downwards and pixels; a sensor may be worn any way round."""
    turned = [
        replace(
            r,
            acceleration=r.acceleration[:, [2, 0, 1]] * np.float32([1, -1, -1]),
            skeleton=(r.skeleton * [300, -300, 300]).astype(np.float32),
        )
        for r in recordings
    ]
    for a, b in zip(judged(recordings).scores, judged(turned).scores, strict=True):
        assert a.correlation == pytest.approx(b.correlation, abs=1e-3)
        assert a.beaten == pytest.approx(b.beaten, abs=0.05)


def test_two_dimensions(recordings: list[Recording]) -> None:
    flat = replace(KINECT_V1, dims=2)
    traces: Any = [make_trace(replace(r, skeleton=r.skeleton[..., :2]), flat) for r in recordings]
    scores = score_pairs([r.id for r in recordings], [r.label for r in recordings], traces)
    assert judge(scores, KINECT_V1.joints).kind == "aligned"


def test_what_cannot_be_compared(recordings: list[Recording]) -> None:
    first = recordings[0]
    assert first.skeleton is not None
    assert make_trace(replace(first, acceleration=first.acceleration[:40]), KINECT_V1) is None
    assert make_trace(replace(first, skeleton=first.skeleton * 0), KINECT_V1) is None
    long = replace(first, acceleration=np.tile(first.acceleration, (100, 1)))
    trace = make_trace(long, KINECT_V1)
    assert trace is not None and len(trace.sensor) == len(trace.joints) == 1500
    few = judged(recordings[::10])
    assert few.kind == "too few" and len(few.scores) == 6


def test_chance_is_that_of_ranks(recordings: list[Recording]) -> None:
    """Of m + 1 values of which none is special, the first beats 95 % of the rest by luck."""
    for others in (5, 11, 19, 20, 59):
        score = PairScore("a", 0, tuple(np.linspace(0, 1, others)), 0, None, 0, 0, 0, 0)
        wins = sum(rank / others >= 0.95 for rank in range(others + 1))
        assert judge([score] * 8, ["hand"]).chance == pytest.approx(wins / (others + 1))


def test_real_pairs(real_data: Callable[[str], Path]) -> None:
    """Subject 3 of UTD-MHAD, wrist only, two trials; then the same, spoilt."""
    source = UtdMhad(real_data("utd-mhad/Inertial.zip").parent)
    names = [f"a{action}_s3_t{trial}" for action in range(1, 22) for trial in (1, 2)]
    trials: Any = [source.load(name) for name in names]
    found = judged(trials)
    assert found.kind == "aligned" and found.share > 0.6
    assert found.joint in {"right_wrist", "right_hand"}
    assert judged(trials, late).kind == "late"
    assert judged(trials, backwards).kind == "backwards"
    assert judged(trials, of_another_class).kind == "apart"
