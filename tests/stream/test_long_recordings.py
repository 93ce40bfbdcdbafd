"""Long recordings against a rigid body in space and the short ones that they are made of."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pskd.data.recording import STANDARD_GRAVITY, Recording
from pskd.errors import DataError, UsageError
from pskd.evaluate.events import Interval
from pskd.stream.labelled import LongRecording, read_long_recording
from pskd.stream.long_recordings import PAUSE, long_recordings_of, make_long_recordings
from pskd.stream.motion import degrees_between, quietest_noise, sway, turn, unit

CLASSES = ("wave", "sit", "stand")
UP, FLAT = np.array([-1.0, 0, 0]), np.array([0, 0, 1.0])


def _rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew


def test_a_turn_is_that_of_a_body_on_a_joint() -> None:
    start, stop = unit(np.array([-1, 0.2, 0.1])), unit(np.array([0.3, 0.9, -0.2]))
    lever, seconds, count = np.array([-0.3, 0.02, 0.05]), 0.8, 4001
    axis, angle = unit(np.cross(start, stop)), np.radians(degrees_between(start, stop))
    t = np.linspace(0, 1, count)
    shares = 10 * t**3 - 15 * t**4 + 6 * t**5
    first = np.linalg.svd(start[None])[2]  # rows: start (up to its sign) and two across
    first = first[::-1] * np.sign(first[0] @ start)
    bodies = np.array([first @ _rotation(axis, -angle * share) for share in shares])
    places = bodies @ -lever  # of the sensor in space, the joint at the origin
    accelerated = np.gradient(np.gradient(places, axis=0), axis=0) * (count / seconds) ** 2
    force = np.einsum("tij,ti->tj", bodies, accelerated / STANDARD_GRAVITY + first @ start)
    found = turn(start, stop, seconds, count, lever)
    np.testing.assert_allclose(found[3:-3], force[3:-3], atol=2e-3)
    np.testing.assert_allclose(found[[0, -1]], [start, stop], atol=1e-9)
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() > 0.05  # motion is felt


@pytest.mark.parametrize("stop", [UP, -UP])
def test_a_turn_by_nothing_and_upside_down(stop: np.ndarray) -> None:
    found = turn(UP, stop, 0.5, 26, -0.3 * UP)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[-1], stop, atol=1e-9)


def test_noise_is_told_from_movement() -> None:
    draw = np.random.default_rng(0)
    t = np.arange(3000) / 50
    moved = np.stack([np.sin(3 * t), np.cos(2 * t), 0.3 * t], 1)
    for size in (0.004, 0.02):
        noisy = moved + size * draw.standard_normal(moved.shape)
        assert quietest_noise([noisy], 50) == pytest.approx(size, rel=0.15)
    assert quietest_noise([noisy[:10]], 50) == 0  # too short to tell


def test_sway_has_its_size_and_its_time() -> None:
    walk = sway(200_000, 50, 0.02, 1.0, np.random.default_rng(0))
    assert walk.std() == pytest.approx(0.02, rel=0.1)
    later = (walk[:-50] * walk[50:]).mean() / walk.var()
    assert later == pytest.approx(np.exp(-1), abs=0.1)  # a second later


def _recording(name: str, label: int, first: np.ndarray, last: np.ndarray, **more: object):
    """A still start, a movement, a still end."""
    draw = np.random.default_rng(list(name.encode()))
    share = np.clip(np.linspace(-1, 2, 150), 0, 1)[:, None]
    signal = (1 - share) * first + share * last + 0.005 * draw.standard_normal((150, 3))
    signal[60:90] += draw.standard_normal((30, 3))
    kinds = {"dataset": "d", "subject": "a", "trial": "1", "rate": 50.0, **more}
    return Recording(id=name, label=label, acceleration=signal.astype(np.float32), **kinds)


def _several() -> list[Recording]:
    waves = [_recording(f"wave {k}", 0, UP, UP) for k in range(6)]
    sits = [_recording(f"sit {k}", 1, UP, FLAT) for k in range(3)]
    stands = [_recording(f"stand {k}", 2, FLAT, UP) for k in range(3)]
    return waves + sits + stands


def test_every_recording_is_there_as_it_was() -> None:
    recordings = _several()
    (made,) = make_long_recordings(recordings, CLASSES, lambda _: "wrist", 1)
    assert made.name == "subject a"
    np.testing.assert_allclose(np.diff(made.times), 0.02)
    found = []
    for span in made.truth:
        part = made.acceleration[round(span.start * 50) : round(span.stop * 50)]
        same = [r for r in recordings if np.array_equal(r.acceleration, part)]
        assert [CLASSES[r.label] for r in same] == [span.label]
        found += [r.id for r in same]
    assert sorted(found) == sorted(r.id for r in recordings)
    edges = [0.0, *(t for span in made.truth for t in span[:2]), made.seconds]
    pauses = [after - before for before, after in zip(edges[::2], edges[1::2], strict=True)]
    assert PAUSE[0] - 0.02 <= min(pauses)
    assert max(pauses) <= PAUSE[1] + 0.02
    assert max(pauses) - min(pauses) > 1


def test_the_same_seed_gives_the_same() -> None:
    one, same, other = (
        make_long_recordings(_several(), CLASSES, lambda _: "wrist", seed)[0] for seed in (1, 1, 2)
    )
    assert np.array_equal(one.acceleration, same.acceleration)
    assert one.truth == same.truth
    assert one.truth != other.truth


def test_who_sits_stands_up_in_an_action() -> None:
    (made,) = make_long_recordings(_several(), CLASSES, lambda _: "thigh", 3)
    labels = [span.label for span in made.truth]
    for label, following in pairwise(labels):
        assert (label == "sit") == (following == "stand")
    for before, after in pairwise(made.truth):
        pause = made.acceleration[round(before.stop * 50) : round(after.start * 50)].mean(0)
        seated = degrees_between(unit(pause.astype(float)), FLAT) < 30
        assert seated == (before.label == "sit")


def test_pauses_are_still_and_join_smoothly() -> None:
    (made,) = make_long_recordings(_several(), CLASSES, lambda _: "wrist", 5)
    idle = np.ones(len(made.times), bool)
    for span in made.truth:
        idle[round(span.start * 50) : round(span.stop * 50)] = False
        for edge in (span.start, span.stop):
            at = round(edge * 50)
            assert np.abs(made.acceleration[at] - made.acceleration[at - 1]).max() < 0.1
    norm = np.linalg.norm(made.acceleration[idle], axis=1)
    assert np.median(norm) == pytest.approx(1, abs=0.02)
    assert 0.3 < norm.min() < norm.max() < 2


def test_places_of_the_sensor_are_apart() -> None:
    made = make_long_recordings(
        _several(), CLASSES, lambda label: "wrist" if label == 0 else "thigh", 0
    )
    assert {m.name: {s.label for s in m.truth} for m in made} == {
        "subject a, wrist": {"wave"},
        "subject a, thigh": {"sit", "stand"},
    }


def test_cameras_of_one_take_count_once_and_rates_are_joined() -> None:
    views = [_recording(f"v{k}", 0, UP, UP, take="t", view=str(k)) for k in range(2)]
    slow = _recording("slow", 0, UP, UP, rate=25.0)
    (made,) = make_long_recordings([*views, slow], CLASSES, lambda _: "wrist", 0)
    assert sorted(span.stop - span.start for span in made.truth) == pytest.approx([3, 6], abs=0.05)


def test_a_run_gives_its_test_side(run: Path, cache: Path) -> None:
    made = long_recordings_of(run, "test", data_root=None, cache=cache, seed=0)
    assert [m.name for m in made] == ["subject 2", "subject 4"]
    assert not long_recordings_of(run, "validation", data_root=None, cache=cache, seed=0)


def test_a_folder_without_a_run(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match="no run here"):
        long_recordings_of(tmp_path, "test", data_root=None, cache=cache, seed=0)


def _files(folder: Path, labels: str) -> tuple[Path, Path]:
    samples = "\n".join(f"{100 + k / 20},0,0,1" for k in range(201))
    (folder / "walk.csv").write_text(f"t,x,y,z\n{samples}\n")
    (folder / "labels.csv").write_text(labels)
    return folder / "walk.csv", folder / "labels.csv"


def test_the_users_own_recording(tmp_path: Path) -> None:
    labels = "label, start ,stop,remark\nsit,105,107.5,x\n\nwave,101,104,y\n"
    found, _ = read_long_recording(*_files(tmp_path, labels), CLASSES)
    assert isinstance(found, LongRecording)
    assert found.truth == (Interval(101, 104, "wave"), Interval(105, 107.5, "sit"))
    assert found.span == (100, pytest.approx(110.05))
    assert found.acceleration.shape == (201, 3)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("start,label\n1,wave\n", "no column stop in the header"),
        ("", "no column start, stop, label"),
        ("start,stop,label\n", "has no labels"),
        ("start,stop,label\n101,102,wve\n", "line 2: the student knows no 'wve'.*'wave'"),
        ("start,stop,label\n102,101,wave\n", "wave stops at 101 s and starts at 102 s"),
        ("start,stop,label\n101,nan,wave\n", "stops at nan s"),
        ("start,stop,label\n101,104,wave\n103,105,sit\n", "line 3: sit from 103 s overlaps wave"),
        ("start,stop,label\n1,4,wave\n", "outside the recording, which lasts from 100 to 110.05"),
        ("start,stop,label\n101,a while,wave\n", "line 2: is no interval"),
        ("start,stop,label\n101\n", "line 2: is no interval"),
        ("start,stop,label\n1,2,\x00\n", "knows no|is no CSV"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, labels: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_long_recording(*_files(tmp_path, labels), CLASSES)


def test_labels_that_are_no_text(tmp_path: Path) -> None:
    recording, labels = _files(tmp_path, "")
    labels.write_bytes(b"\xff\xfe\x00start")
    with pytest.raises(DataError, match="is not a text file"):
        read_long_recording(recording, labels, CLASSES)
    with pytest.raises(UsageError, match="no such file"):
        read_long_recording(recording, tmp_path / "none.csv", CLASSES)
