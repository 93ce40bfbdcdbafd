import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import resample
from scipy.spatial.transform import Rotation
from scipy.stats import multivariate_normal

from pskd.data.audit import Audit, Finding, audit
from pskd.data.audit.giveaway import discriminate
from pskd.data.protocols import Split, make_split
from pskd.data.recording import Recording, SetAside
from pskd.data.store import RecordingInfo, open_store
from pskd.datasets import dataset

CLASSES = dataset("simulated").classes
UP = np.array([0.0, 1.0, 0.0], np.float32)
Signal = NDArray[np.float64]


class Memory:
    """What an audit needs of a store."""

    dataset = "planted"

    def __init__(self, recordings: Sequence[Recording], set_aside: Sequence[SetAside] = ()) -> None:
        self.recordings, self.set_aside = list(recordings), list(set_aside)
        self.info = [
            RecordingInfo(
                **{
                    name: getattr(r, name)
                    for name in RecordingInfo.__dataclass_fields__
                    if name not in ("samples", "frames")
                },
                samples=len(r.acceleration),
                frames=0 if r.skeleton is None else len(r.skeleton),
            )
            for r in self.recordings
        ]

    def __iter__(self) -> Iterator[Recording]:
        return iter(self.recordings)


@cache
def simulated() -> tuple[Recording, ...]:
    """Fourteen actions of four people, twice each."""
    source = dataset("simulated", None, {"subjects": 4, "trials": 2})
    return tuple(r for r in map(source.load, source.trials()) if isinstance(r, Recording))


def across(recordings: Sequence[Recording], **changes: Any) -> Split:
    """Subjects 1 and 2 train, all others are tested."""
    sides: dict[str, list[int]] = {"train": [], "test": []}
    for i, r in enumerate(recordings):
        sides["train" if r.subject in "12" else "test"].append(i)
    train, test = (tuple(sides[s]) for s in ("train", "test"))
    return replace(Split("cross_subject", train, (), test, True, ""), **changes)


def look(recordings: Sequence[Recording], split: Split | None = None, **store: Any) -> Audit:
    return audit(Memory(recordings, **store), split or across(recordings), CLASSES)  # type: ignore[arg-type]


def found(report: Audit, kind: str) -> list[Finding]:
    return [f for f in report.findings if f.kind == kind]


def one(report: Audit, kind: str) -> Finding:
    (finding,) = found(report, kind)
    return finding


def planted(change: Callable[[Signal], Signal], source: int = 3, **fields: Any) -> list[Recording]:
    """All simulated recordings, and a copy of a training one in another guise that is tested."""
    original = simulated()[source]
    assert original.subject in "12"
    signal = np.asarray(change(original.acceleration.astype(np.float64)), np.float32)
    copy = replace(
        original, id="planted", subject="9", acceleration=signal, skeleton=None, **fields
    )
    return [*simulated(), copy]


def noise(x: Signal, size: float) -> Signal:
    return x + np.random.default_rng(1).normal(0, size, x.shape)


def turn(x: Signal, degrees: float) -> Signal:
    return x @ Rotation.from_rotvec([0, degrees, 0], degrees=True).as_matrix()


def later(x: Signal, share: float) -> Signal:
    return resample(x[round(share * len(x)) :], len(x))  # type: ignore[no-any-return]


def alarms(report: Audit) -> list[Finding]:
    """Leaks and warnings of what is there twice."""
    shared = {"copy", "contradiction", "samples", "near_duplicate", "skeleton", "overlap", "take"}
    return [f for f in report.findings if f.level != "fact" and f.kind in shared]


SMOOTH = CLASSES.index("throw") * 8  # of subject 1


@pytest.mark.parametrize(
    ("change", "kind", "level"),
    [
        (lambda x: x, "copy", "leak"),
        (lambda x: x[8:], "samples", "leak"),
        (lambda x: x[4:-9], "samples", "leak"),
        (lambda x: 1.05 * x, "near_duplicate", "leak"),
        (lambda x: x + UP / 5, "near_duplicate", "leak"),
        (lambda x: turn(x, 5), "near_duplicate", "leak"),
        (lambda x: resample(x, round(0.8 * len(x))), "near_duplicate", "leak"),
        (lambda x: resample(x, round(1.3 * len(x))), "near_duplicate", "leak"),
        (lambda x: noise(x, 0.01), "near_duplicate", "leak"),
        (lambda x: noise(x[9:], 0.01), "near_duplicate", "leak"),
        (lambda x: noise(turn(1.05 * x[:-9], 5), 0.01), "near_duplicate", "leak"),
        (lambda x: np.round(x * 16) / 16, "near_duplicate", "leak"),
        (lambda x: noise(x, 0.15), "near_duplicate", "warning"),
    ],
)
def test_a_copy_on_the_other_side(
    change: Callable[[Signal], Signal], kind: str, level: str
) -> None:
    recordings = planted(change, SMOOTH)
    report = look(recordings)
    finding = one(report, kind)
    assert alarms(report) == [finding]
    assert (finding.level, finding.count) == (level, 1)
    assert finding.recordings == ((simulated()[SMOOTH].id, "planted"),)
    assert finding.indices == ((SMOOTH, len(recordings) - 1),)
    assert "1 test" in finding.sentence or "of 1 test" in finding.sentence


def test_a_copy_is_found_from_either_side() -> None:
    recordings = planted(lambda x: resample(x, round(0.8 * len(x))), SMOOTH)
    there = across(recordings)
    back = Split("cross_subject", there.test, (), there.train, True, "")
    finding = one(look(recordings, back), "near_duplicate")
    assert finding.indices == ((len(recordings) - 1, SMOOTH),)
    both = Split("cross_subject", there.train, there.test, there.train[:1], True, "")
    finding = one(look(recordings, both), "near_duplicate")
    assert "1 validation recordings are training recordings" in finding.sentence


def test_it_does_not_matter_which_of_two_is_the_noisy_one() -> None:
    clean = [record(n, "1") for n in range(30)]
    noisy = [
        record(30 + n, "3", noise(r.acceleration, 0.12).astype(np.float32))
        for n, r in enumerate(clean)
    ]
    there, back = (
        sum(f.count for f in found(look(recordings), "near_duplicate"))
        for recordings in (
            [*clean, *noisy],
            [replace(r, subject={"1": "3", "3": "1"}[r.subject]) for r in [*clean, *noisy]],
        )
    )
    assert there == back > 15


def test_a_recording_on_two_sides() -> None:
    recordings = [record(n, "13"[n % 2], take=f"t{n}") for n in range(8)]
    split = across(recordings)
    split = replace(split, train=(*split.train, 3), subject_independent=False, shares_takes=True)
    assert [f.indices for f in look(recordings, split).leaks] == [((3,),)]


def test_a_copy_with_another_label() -> None:
    report = look(planted(lambda x: x, label=5))
    assert "1 of them under another label" in one(report, "copy").sentence


def test_simulated_people_share_nothing() -> None:
    assert alarms(look(simulated())) == []
    infos = Memory(simulated()).info
    split = make_split("trial_split", infos, CLASSES, {"train": [1], "test": [2]})
    report = look(simulated(), split)
    assert alarms(report) == []
    assert one(report, "subject").level == "fact"


def test_every_pair_of_simulated_recordings_is_told_apart() -> None:
    for bit in range(len(simulated()).bit_length()):
        on = [bool(i >> bit & 1) for i in range(len(simulated()))]
        sides = [tuple(i for i, there in enumerate(on) if there is want) for want in (True, False)]
        split = Split("predefined", sides[0], (), sides[1], False, "")
        assert alarms(look(simulated(), split)) == []


def test_an_audit_says_the_same_twice_and_turns_to_json() -> None:
    recordings = planted(lambda x: noise(x, 0.01))
    first, second = (look(recordings) for _ in range(2))
    assert first == second and first.leaks
    assert json.loads(json.dumps(asdict(first)))["findings"][0]["level"] == "leak"


def test_torch_is_not_loaded() -> None:
    code = "import pskd.data.audit, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def moving(seed: int, seconds: float = 4.0, rate: float = 50.0) -> NDArray[np.float32]:
    """A movement that nobody made: slow waves, and some noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    waves = [
        rng.normal(0, 0.5, 3) * np.sin(2 * np.pi * hertz * time[:, None] + rng.uniform(0, 6, 3))
        for hertz in rng.uniform(0.2, 4, 12)
    ]
    return (sum(waves) + UP + rng.normal(0, 0.01, (len(time), 3))).astype(np.float32)


def record(n: int, subject: str, signal: NDArray[np.float32] | None = None, **fields: Any) -> Any:
    chosen = {"label": 0, "rate": 50.0, "trial": "1"} | fields
    signal = moving(n) if signal is None else signal
    return Recording(id=f"r{n}", dataset="planted", subject=subject, acceleration=signal, **chosen)


def test_windows_of_one_recording_that_nobody_declared() -> None:
    long = moving(0, seconds=30)
    windows = [record(n, "13"[n % 2], long[75 * n : 75 * n + 150]) for n in range(16)]
    strangers = [record(n, "12"[n % 2]) for n in range(20, 24)]
    finding = one(look([*windows, *strangers]), "samples")
    assert finding.level == "leak" and finding.count == 8
    assert all(abs(a - b) == 1 for a, b in finding.indices)
    assert finding.figures["longest_s"] == 1.5


def test_sensors_at_rest_are_not_copies() -> None:
    rng = np.random.default_rng(0)
    coarse = [np.round(rng.normal(0.5, 0.3, (400, 3))) / 16 for _ in range(6)]  # two levels an axis
    dithered = [np.tile([[0.5], [0.504]], (200, 3))[n : n + 390] for n in range(6)]
    dead = [np.full((400, 3), 0.25)] * 2
    noisy = [rng.normal(0, 0.01, (400, 3)) + UP for _ in range(6)]
    recordings = [
        record(n, "13"[n % 2], signal.astype(np.float32))
        for n, signal in enumerate([*coarse, *dead, *noisy, *dithered])
    ]
    report = look(recordings)
    assert not report.leaks
    assert one(report, "dead").indices == ((6,), (7,))


def test_movements_that_are_alike_to_within_the_noise() -> None:
    """Sitting down: one smooth step from one posture to another."""
    recordings = []
    for n in range(60):
        rng = np.random.default_rng(n)
        time = np.arange(rng.integers(140, 200)) / 50
        step = np.clip((time - rng.uniform(0.7, 1.2)) / rng.uniform(0.8, 1.2), 0, 1)
        angle = np.pi / 2 * (10 * step**3 - 15 * step**4 + 6 * step**5)
        signal = np.stack([np.sin(angle), np.cos(angle), 0.2 + 0 * angle], axis=1)
        signal += rng.normal(0, 0.015, signal.shape)
        recordings.append(record(n, "13"[n % 2], signal.astype(np.float32)))
    assert not alarms(look(recordings))


def test_a_movement_made_twice_almost_alike() -> None:
    """What remains is small, but it is not noise."""
    for share, copy in ((0.03, False), (0.0, True)):
        twice = [moving(0).astype(np.float64) + share * moving(n) for n in (1, 2)]
        both = [noise(x, 0.002).astype(np.float32) for x in twice]
        strangers = [record(n, "12"[n % 2]) for n in range(10, 20)]
        report = look(
            [record(0, "1", both[0]), record(1, "3", both[1] * np.float32(1.1)), *strangers]
        )
        assert bool(alarms(report)) is copy


def test_values_that_nothing_can_measure() -> None:
    recordings = [record(n, "13"[n % 2]) for n in range(6)]
    for n, value in enumerate([1e30, -3e38, 1e-40]):
        signal = recordings[n].acceleration.copy()
        signal[20 + n] = value
        recordings[n] = replace(recordings[n], acceleration=signal)
    assert not look(recordings).leaks


def test_recordings_too_short_to_tell() -> None:
    recordings = [record(n, "13"[n % 2], moving(n)[: 2 + n]) for n in range(30)]
    assert not look(recordings).leaks
    strangers = [record(n, "12"[n % 2]) for n in range(10, 20)]
    for samples, leaks in ((35, 0), (100, 1)):
        same = moving(0)[:samples]
        twice = [record(0, "1", same), record(1, "3", np.float32(1.1) * same)]
        assert len(look([*twice, *strangers]).leaks) == leaks


def test_copies_on_one_side() -> None:
    signal, other = moving(0), moving(1)
    recordings = [
        record(0, "1", signal),
        record(1, "2", signal),
        record(2, "1", other, label=1),
        record(3, "2", other, label=2),
        record(4, "3", label=1),
        # What several cameras saw of one take
        *(record(n, "3", moving(9), view=str(n), take="nine") for n in (5, 6)),
    ]
    report = look(recordings)
    assert [f.kind for f in alarms(report)] == ["copy", "contradiction"]
    assert one(report, "copy").indices == ((0, 1),)
    assert one(report, "contradiction").recordings == (("r2", "r3"),)


def test_skeletons_that_are_the_same() -> None:
    skeleton = np.random.default_rng(0).normal(size=(30, 20, 3)).astype(np.float32)
    still = np.ones((30, 20, 3), np.float32)  # nobody was seen
    recordings = [
        record(0, "1", skeleton=skeleton),
        record(1, "1", skeleton=still),
        record(2, "3", skeleton=still),
        record(3, "3", skeleton=skeleton),
    ]
    finding = one(look(recordings), "skeleton")
    assert (finding.level, finding.indices) == ("leak", ((0, 3),))


def windows(step: float) -> list[Recording]:
    """Windows of 4 s, a train one and a test one of each of three takes."""
    return [
        record(2 * n + k, "13"[k], take=f"t{n}", start=10.0 + step * k)
        for n in range(3)
        for k in range(2)
    ]


def test_overlapping_windows_of_one_take() -> None:
    finding = one(look(windows(3.9)), "overlap")
    assert (finding.level, finding.indices) == ("leak", ((0, 1), (2, 3), (4, 5)))
    report = look(windows(3.995))  # they touch, but for the rounding of times
    assert not report.leaks
    finding = one(report, "take")
    assert (finding.level, finding.count) == ("warning", 3)


def test_a_long_window_that_began_earlier_overlaps() -> None:
    """It ends after a short one that began later: 0 to 30 s, 2 to 3 s, and a test one at 10 s."""
    spans = [("1", 0.0, 30.0), ("1", 2.0, 1.0), ("3", 10.0, 2.0)]
    recordings = [
        record(n, subject, moving(n, seconds), take="one", start=start)
        for n, (subject, start, seconds) in enumerate(spans)
    ]
    finding = one(look(recordings), "overlap")
    assert (finding.level, finding.indices) == ("leak", ((0, 2),))


def test_the_overlap_of_many_windows_is_that_of_each_pair() -> None:
    rng = np.random.default_rng(0)
    recordings = [
        record(n, "13"[n % 2], moving(n, rng.uniform(0.5, 3)), take="one", start=rng.uniform(0, 90))
        for n in range(40)
    ]
    spans = [(r.start, r.start + r.seconds) for r in recordings]
    expected = {
        j
        for i, j in np.ndindex(40, 40)
        if i % 2 == 0
        and j % 2 == 1
        and spans[i][0] < spans[j][1] - 0.01
        and spans[j][0] < spans[i][1] - 0.01
    }
    report = look(recordings)
    assert one(report, "overlap").count == len(expected) > 5
    assert one(report, "take").count == 20 - len(expected)
    for i, j in one(report, "overlap").indices:
        assert j in expected
        assert spans[i][0] < spans[j][1] and spans[j][0] < spans[i][1]


def test_cameras_that_see_one_take() -> None:
    recordings = [
        record(
            3 * n + view, str(n + 1), moving(n), view=str(view + 1), take=f"t{n}", session=str(n)
        )
        for n in range(4)
        for view in range(3)
    ]
    infos = Memory(recordings).info
    split = make_split("cross_view", infos, CLASSES, {"train": [1, 2], "test": [3]})
    report = look(recordings, split)
    assert not report.leaks
    assert not alarms(report)
    assert one(report, "overlap").count == one(report, "copy").count == 4
    assert {f.level for f in found(report, "subject") + found(report, "session")} == {"fact"}
    # The same sides by a protocol that declares nothing
    bare = replace(split, name="predefined", shares_takes=False)
    assert {f.kind for f in look(recordings, bare).leaks} == {"overlap", "copy"}
    # What is another take's, too, is more than another camera's
    recordings[3] = replace(recordings[3], acceleration=moving(3))
    within, leaked, declared = found(look(recordings, split), "copy")
    assert (within.level, within.indices) == ("warning", ((3, 9, 10),))
    assert (leaked.level, leaked.indices) == ("leak", ((3, 11),))
    assert (declared.level, declared.count) == ("fact", 3)


def test_what_a_protocol_keeps_apart() -> None:
    recordings = [
        record(n, str(1 + n % 4), session=str(n // 4), scene="ab"[n // 4 % 2]) for n in range(16)
    ]
    infos = Memory(recordings).info
    split = make_split("cross_session", infos, CLASSES, {"train": [0, 1], "test": [2, 3]})
    report = look(recordings, split)
    assert not report.leaks
    assert {f.kind for f in report.findings if f.kind in ("subject", "session", "scene")} == {
        "subject",
        "scene",
    }
    broken = replace(split, train=(*split.train, 15), test=split.test[:-1])
    finding = one(look(recordings, broken), "session")
    assert finding.level == "leak" and "1 of 4 sessions" in finding.sentence
    alone = replace(split, subject_independent=True)
    finding = one(look(recordings, alone), "subject")
    assert finding.level == "leak" and "(1, 2, 3, 4)" in finding.sentence


def test_class_balance() -> None:
    labels = [0, 0, 0, 1, 2, 0, 1, 1]
    recordings = [record(n, "1113"[n // 2], label=k) for n, k in enumerate(labels)]
    split = across(recordings, train=tuple(range(5)), test=(6, 7))
    report = look(recordings, split)
    train, test = found(report, "balance")
    expected = Counter(CLASSES[k] for k in labels[:5]) | Counter({"largest/smallest": 3})
    assert train.figures == dict(expected)
    assert test.figures == {CLASSES[1]: 2, "largest/smallest": 1}
    assert one(report, "unused").indices == ((5,),)
    nowhere, lacking = found(report, "classes")
    assert (nowhere.level, nowhere.figures) == ("fact", {"classes": len(CLASSES) - 3})
    assert lacking.level == "fact" and f"{CLASSES[0]}, {CLASSES[2]}" in lacking.sentence
    report = look(recordings, across(recordings, train=split.test, test=split.train))
    assert [f.level for f in found(report, "classes")] == ["fact", "warning"]


def test_labels_that_follow_the_duration() -> None:
    recordings = [record(n, "1213"[n % 4], moving(n, 2 + n % 5), label=n % 5) for n in range(40)]
    finding = one(look(recordings), "giveaway")
    assert finding.level == "warning"
    assert finding.figures["duration"] == finding.figures["duration_and_gravity"] == 1
    assert finding.figures["majority"] == 0.2


def test_labels_that_follow_nothing() -> None:
    rng = np.random.default_rng(0)
    recordings = [
        record(n, "13"[n % 2], moving(n, rng.uniform(2, 4)), label=int(rng.integers(4)))
        for n in range(200)
    ]
    finding = one(look(recordings), "giveaway")
    assert finding.level == "fact"
    assert abs(finding.figures["duration_and_gravity"] - 0.25) < 0.13


def test_windows_of_one_length_give_no_duration_away() -> None:
    recordings = [record(n, "13"[n % 2], label=n // 2 % 2) for n in range(24)]
    finding = one(look(recordings), "giveaway")
    assert "all last equally long" in finding.sentence
    assert finding.figures["duration"] == finding.figures["majority"]


def test_discrimination_is_that_of_a_gaussian_for_each_class() -> None:
    rng = np.random.default_rng(0)
    centres, sizes = rng.normal(0, 2, (3, 4)), rng.uniform(0.5, 2, (3, 4))
    labels = np.repeat([4, 0, 7], [20, 35, 12])
    which = np.repeat([0, 1, 2], [20, 35, 12])
    known = (centres[which] + sizes[which] * rng.normal(size=(67, 4))) * [1, 10, 100, 0.1]
    asked = rng.normal(0, 3, (300, 4)) * [1, 10, 100, 0.1]
    common = sum(np.cov(known[which == c].T, bias=True) * sum(which == c) for c in range(3)) / 67
    densities = []
    for c in range(3):
        own = known[which == c]
        shrunk = (np.cov(own.T, bias=True) * len(own) + 10 * common) / (len(own) + 10)
        densities.append(len(own) * multivariate_normal(own.mean(axis=0), shrunk).pdf(asked))
    expected = np.array([4, 0, 7])[np.argmax(densities, axis=0)]
    assert len(set(expected)) == 3
    np.testing.assert_array_equal(discriminate(known, labels, asked), expected)


def test_saturation() -> None:
    rng = np.random.default_rng(0)
    signals = [rng.normal(0, 0.8, (200, 3)) + UP for _ in range(8)]
    clipped = [np.clip(x, -2, 2).astype(np.float32) for x in signals]
    recordings = [record(n, "13"[n % 2], x) for n, x in enumerate(clipped)]
    finding = one(look(recordings), "saturation")
    share = [float((np.abs(x) >= 1.98).any(axis=1).mean()) for x in clipped]
    assert finding.level == "warning" and finding.count == 8
    assert finding.figures == pytest.approx(
        {"end_g": 2.0, "train": np.mean(share[::2]), "test": np.mean(share[1::2])}
    )
    assert finding.indices[0] == (int(np.argmax(share)),)
    spiked = [*clipped]
    spiked[3] = clipped[3].copy()
    spiked[3][50] = 60  # one wrong value is no range
    recordings = [record(n, "13"[n % 2], x) for n, x in enumerate(spiked)]
    assert one(look(recordings), "saturation").figures["end_g"] == 2
    free = [record(n, "13"[n % 2], x.astype(np.float32)) for n, x in enumerate(signals)]
    assert "No sample" in one(look(free), "saturation").sentence


@pytest.mark.parametrize(
    ("factor", "says"), [(9.81, "m/s2"), (1000, "milli-g"), (0.1, "without gravity")]
)
def test_units(factor: float, says: str) -> None:
    recordings = [
        record(n, "13"[n % 2], np.float32(factor) * (0.3 * moving(n) + 0.7 * UP)) for n in range(4)
    ]
    finding = one(look(recordings), "units")
    assert finding.level == "warning" and says in finding.sentence
    right = [record(n, "13"[n % 2], 0.3 * moving(n) + 0.7 * UP) for n in range(9)]
    assert one(look(right), "units").level == "fact"
    right[5] = replace(right[5], acceleration=np.float32(9.81) * right[5].acceleration)
    assert found(look(right), "units")[1].indices == ((5,),)


def test_what_was_set_aside() -> None:
    aside = [
        *(SetAside(f"a{n}", f"a{n}.csv: it has {n} samples.") for n in range(12)),
        SetAside("b", "it is empty."),
    ]
    finding = one(look(simulated(), set_aside=aside), "set_aside")
    assert finding.count == 13 and len(finding.recordings) == 10
    assert list(finding.figures.values()) == [12, 1]
    assert "12 x ... it has ... samples." in finding.sentence


@pytest.mark.parametrize(
    ("name", "folder", "splits"),
    [
        (
            "utd_mhad",
            "utd-mhad",
            [
                ("cross_subject", {"train": [1, 3, 5, 7], "test": [2, 4, 6, 8]}),
                ("trial_split", {"train": [1, 2], "test": [3, 4]}),
                *(("leave_one_subject_out", {"held_out": s}) for s in range(1, 9)),
            ],
        ),
        (
            "berkeley_mhad",
            "berkeley-mhad",
            [
                ("cross_subject", {"train": range(1, 8), "test": range(8, 13)}),
                ("trial_split", {"train": [1, 2, 3], "test": [4, 5]}),
            ],
        ),
    ],
)
def test_real_recordings_share_nothing(
    name: str, folder: str, splits: Any, real_data: Callable[[str], Path], cache: Path
) -> None:
    source = dataset(name, real_data(folder))
    store = open_store(source, cache)
    for protocol, options in splits:
        report = audit(
            store, make_split(protocol, store.info, source.classes, options), source.classes
        )
        assert not report.leaks
        assert {f.kind for f in report.warnings} <= {"giveaway", "saturation"}
        assert 0.9 < one(report, "units").figures["median_g"] < 1.1
