"""`pskd data check` names every mistake, its file and the remedy."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pskd.datasets.folder.across import of_pairs
from pskd.datasets.folder.alignment import PairScore
from pskd.datasets.folder.check import check
from pskd.datasets.folder.report import Problem, Report
from pskd.datasets.folder.source import Source
from pskd.datasets.folder.symptoms import clipping
from pskd.datasets.folder.verdict import Alignment
from pskd.datasets.twins import folder as twin
from pskd.errors import DataError

MANIFEST = "recording,label,subject"


def found(report: Report, what: str) -> Problem:
    """The one problem that says `what`."""
    (problem,) = (p for p in report.problems if what in f"{p.where}: {p.what}")
    assert problem.remedy
    return problem


def test_a_good_folder(tmp_path: Path) -> None:
    twin.write(tmp_path / "data", subjects=2, trials=3, classes=3)
    steps: list[tuple[int, int]] = []
    report = check(tmp_path / "data", progress=lambda done, total: steps.append((done, total)))
    assert not report.problems and report.errors == 0
    assert (report.recordings, report.usable, report.pairs, report.subjects) == (18, 18, 18, 2)
    assert report.rate == 50 and 30 < report.seconds < 90
    assert report.alignment is not None and report.alignment.kind == "aligned"
    assert report.alignment.joint in {"right_wrist", "right_hand"}
    assert steps[0] == (1, 36) and steps[-1] == (36, 36)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    text = report.text()
    assert text.startswith("Simulated people in a folder: 18 of 18 recordings can be used")
    assert "Nothing looks wrong." in text and "They look aligned" in text
    json.dumps(asdict(report))


@pytest.fixture(scope="module")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A folder with every common mistake."""
    root = tmp_path_factory.mktemp("trapped") / "data"
    twin.write(root, subjects=4, trials=2, classes=4, traps=True)
    return check(root)


@pytest.mark.parametrize("trap", twin.TRAPS)
def test_every_trap_is_found(trapped: Report, trap: str) -> None:
    """Each is found in the recording that carries it, or in its line."""
    number = list(twin.TRAPS).index(trap)
    label, person, trial = number // 8, number % 8 // 2 + 1, number % 2 + 1
    name = f"{twin.Simulated.classes[label]}_p{person}_{trial}".replace(" ", "_")
    places = (f"{name}.", f"line {number + 2}:")
    said = [
        f"{p.where}: {p.what}"
        for p in trapped.problems
        if twin.TRAPS[trap] in p.what and p.what and p.remedy
    ]
    assert any(place in text for text in said for place in places), said


def test_only_the_trapped_cannot_be_used(trapped: Report) -> None:
    assert trapped.errors == 9 and trapped.usable == 33 - 9
    assert "'draw_circle_p4_2' is named twice" in found(trapped, "line 34").what
    # One line names ../elsewhere.csv in place of a file that is there.
    unnamed = found(trapped, "does not name 2 files").what
    assert unnamed.endswith("forgotten.csv, accelerometer/wave_right_hand_p3_2.csv")
    assert trapped.pair_to_draw == "wave_both_hands_p2_2"  # whose skeleton is late


def test_all_that_is_wrong_in_one_recording_is_said(make: Any) -> None:
    root = make({
        "accelerometer/one.csv": "t,x,y,z\n0,0,0,1\n0.02,0,0,up\n",
        "skeleton/one.csv": "hips_x\n1\n",
        "dataset.yaml": "titel: x\nunit: kg\n",
    })  # fmt: skip
    report = check(root)
    places = [problem.where for problem in report.problems if problem.level == "error"]
    assert places == [
        "dataset.yaml", "dataset.yaml", "accelerometer/one.csv, line 3", "skeleton/one.csv, line 1",
    ]  # fmt: skip
    assert (report.usable, report.recordings, report.pair_to_draw) == (1, 2, None)


def test_a_wrong_layout_is_said_once(make: Any) -> None:
    report = check(make({"layout.yaml": "joints: [a, b]\nparents: {}\ntorso: [a, b]\n"}))
    assert "2 joints have no parent" in found(report, "layout.yaml").what
    assert report.usable == 0 and report.alignment is None


def test_an_unknown_layout(make: Any) -> None:
    report = check(make({"layout.yaml": None, "dataset.yaml": "layout: kinekt_v1"}))
    problem = found(report, "dataset.yaml: unknown layout 'kinekt_v1'")
    assert "Did you mean 'kinect_v1'" in problem.remedy
    report = check(make({"dataset.yaml": "layout: kinect_v1"}))
    assert found(report, "names layout 'kinect_v1', and layout.yaml is there too")


def test_without_a_manifest_there_is_nothing_to_check(make: Any) -> None:
    with pytest.raises(DataError, match=r"no manifest\.csv is in it"):
        check(make({"manifest.csv": None}))


def test_labels_people_and_sides(make: Any) -> None:
    lines = [
        "a,walk,p1,train", "b,walk,p2,train", "c,Walk,p1,train", "d,sit,p1,train",
        "e,sit,p1,",
    ]  # fmt: skip
    rows = [f"{line},accelerometer/one.csv,{i / 2},{i / 2 + 0.5}," for i, line in enumerate(lines)]
    header = f"{MANIFEST},split,accelerometer,start,stop,skeleton"
    report = check(make({"manifest.csv": "\n".join([header, *rows])}))
    assert "label 'Walk' has 1 recording of 1 subject" in found(report, "'Walk' has").what
    assert "label 'sit' has 2 recordings of 1 subject" in found(report, "'sit' has").what
    assert "'walk', 'Walk' differ in spelling only" in found(report, "spelling").what
    assert "subject p1" in found(report, "split is not the same").what
    assert found(report, "1 recording without a split, others with: e")
    one = check(make({"manifest.csv": f"{MANIFEST}\none,walk,p1\ntwo,walk,p2\n"}))
    assert found(one, "all recordings have one label")


def test_one_signal_under_two_names(make: Any) -> None:
    root = make()
    for kind in ("accelerometer", "skeleton"):
        (root / kind / "two.csv").write_bytes((root / kind / "one.csv").read_bytes())
    report = check(root)
    signal = found(report, "same accelerometer signal")
    assert signal.where == "manifest.csv, line 3"
    assert signal.what == (
        "'two' has the same accelerometer signal as 'one' (line 2), but label 'walk'"
    )
    assert found(report, "same skeleton signal")


def test_durations_that_do_not_fit(make: Any) -> None:
    report = check(make({"dataset.yaml": "skeleton_rate: 15\n"}))
    problem = found(report, "skeleton/one.csv: lasts 4.00 s by its own rate")
    assert "its accelerometer 3.00 s" in problem.what and "its true rate is 20" in problem.remedy
    long = make.csv("t,x,y,z", np.arange(5000) / 50, make.signal(1, seconds=100))
    report = check(make({"accelerometer/one.csv": long, "dataset.yaml": ""}))
    assert "start and stop" in found(report, "recording 'one' lasts 100 s").remedy
    slow = {p.remedy for p in report.problems if "0.6 frames a second" in p.what}
    assert {"Check that both are of the same trial, and whole"} < slow and len(slow) == 2


def test_axes_that_are_dead_and_large_norms(make: Any) -> None:
    xyz = make.signal(1)
    xyz[:, 1] = 0.25
    report = check(make({"accelerometer/one.csv": make.csv("t,x,y,z", make.time, xyz)}))
    assert found(report, "accelerometer/one.csv: y never changes")
    large = make.csv("t,x,y,z", make.time, make.signal(1) * 3)
    report = check(make({"accelerometer/one.csv": large, "dataset.yaml": "unit: g"}))
    assert found(report, "accelerometer/one.csv: median norm of the acceleration is 3.")


def test_a_guessed_layout_is_said(make: Any) -> None:
    text = (
        "HIERARCHY ROOT Hips { OFFSET 0 0 0 CHANNELS 3 Xposition Yposition Zposition "
        "JOINT Neck { OFFSET 0 0 1 CHANNELS 1 Xrotation End Site { OFFSET 0 0 1 } } } "
        "MOTION Frames: 30 Frame Time: 0.1\n" + "0 0 0 0\n" * 30
    )
    files = dict.fromkeys(["layout.yaml", "skeleton/one.csv", "skeleton/two.csv"])
    report = check(make({**files, "skeleton/one.bvh": text}))
    problem = found(report, "layout.yaml")
    assert "torso from Neck to Hips, z up" in problem.what


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1])
def test_clipping(share: float) -> None:
    rng = np.random.default_rng(0)
    signal = np.clip(rng.normal(0, 0.5, (1000, 3)), -1.9, 1.9).astype(np.float32)
    signal[: round(share * 1000), 2] = -2
    level, clipped = clipping(signal)
    assert clipped == pytest.approx(share) and level <= 2


def test_a_still_sensor_does_not_clip() -> None:
    assert clipping(np.tile(np.float32([0, 0, 1]), (100, 1)))[1] == 0


def score(**changes: Any) -> PairScore:
    good = PairScore("one", 0.9, (0.1, 0.2), 1.0, 1.0, 0, 0.0, 0.0, -0.5)
    return replace(good, **changes)


def verdict(kind: Any, *scores: PairScore) -> Alignment:
    return Alignment(kind, 0.5, 0.05, -0.48, "hand", scores or (score(),))


@pytest.mark.parametrize(
    ("kind", "declared", "message"),
    [
        ("apart", "stretch", "not aligned in time: say alignment: none.*or the pairs are wrong"),
        ("apart", "none", None),
        ("late", "stretch", "most skeletons look 0.48 s early"),
        ("backwards", "stretch", "ran backwards"),
        ("mixed up", "stretch", "mixed up: alike within a class.*or the pairs are wrong"),
        ("aligned", "none", "alignment is none, but the pairs look aligned"),
        ("aligned", "stretch", None),
        ("too few", "stretch", None),
    ],
)
def test_what_is_said_of_all_pairs(make: Any, kind: Any, declared: str, message: Any) -> None:
    (row, _) = Source(
        make({"manifest.csv": f"{MANIFEST},alignment\none,walk,p1,{declared}\ntwo,sit,p2,\n"})
    ).good_rows
    problems = list(of_pairs(verdict(kind), {"one": row}))
    assert len(problems) == (message is not None)
    if message:
        text = f"{problems[0].what}. {problems[0].remedy}"
        assert re.search(message, text)


def test_what_is_said_of_single_pairs(make: Any) -> None:
    rows = {row.recording: row for row in Source(make()).good_rows}
    scores = (
        score(),
        score(recording="two", gain=0.5, lag=0.6, beaten=0.1),
    )
    (late,) = of_pairs(verdict("aligned", *scores), rows)
    assert late.where == "manifest.csv, line 3" and "'two' looks 0.60 s late" in late.what
    scores = (score(backwards=0.5, beaten=0.2), score(recording="two", beaten=0.5))
    backwards, doubtful = of_pairs(verdict("aligned", *scores), rows)
    assert "'one' looks as if it ran backwards" in backwards.what
    assert "1 recording with signals hardly more alike" in doubtful.what
