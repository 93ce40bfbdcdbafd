"""What may share a table, and the figures over seeds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pskd.errors import CheckpointError, UsageError
from pskd.evaluate import compare, load_run

MakeRun = Callable[..., Path]


def test_means_and_gains_over_seeds(make_run: MakeRun) -> None:
    runs = [load_run(make_run(f"r{seed}", seed=seed)) for seed in (2, 0, 1)]
    comparison = compare(runs)
    (group,) = comparison.groups
    assert [run.summary.seed for run in group.runs] == [0, 1, 2]
    student = [np.mean(r.predictions["student"].true == r.predictions["student"].predicted)
               for r in group.runs]  # fmt: skip
    alone = [r.summary.stages["student_alone"].test.accuracy for r in group.runs]
    assert group.student.accuracy.mean == pytest.approx(np.mean(student))
    assert group.student.accuracy.sd == pytest.approx(np.std(student, ddof=1))
    assert group.gain is not None
    assert group.gain.difference.values == pytest.approx(np.subtract(student, alone))
    for pair, gain in zip(group.gain.pairs, group.gain.difference.values, strict=True):
        assert (pair.won - pair.lost) / 192 == pytest.approx(gain)
    f1 = [r.summary.stages["student"].test.per_class["wave"].f1 for r in runs]
    assert group.student.per_class["wave"] == pytest.approx(np.mean(f1))
    s4 = [r.summary.stages["fused"].test.per_subject["s4"] for r in runs]
    assert group.stage("fused").per_subject["s4"] == pytest.approx(np.mean(s4))


def test_pairs_go_by_recording_whatever_the_order(make_run: MakeRun) -> None:
    path = make_run()
    before = compare([load_run(path)]).groups[0].gain
    table = path / "predictions" / "student_alone.csv"
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *rows[::-1]]) + "\n")
    assert compare([load_run(path)]).groups[0].gain == before


def test_student_and_alone_must_share_their_clips(make_run: MakeRun) -> None:
    path = make_run()
    table = path / "predictions" / "student_alone.csv"
    table.write_text(table.read_text().replace("a1_s2_t1", "a1_s2_t9"))
    with pytest.raises(CheckpointError, match="not tested on the same recordings"):
        compare([load_run(path)])


def test_recipes_of_one_name_are_told_apart_by_their_settings(make_run: MakeRun) -> None:
    paths = [
        make_run("a", settings={"distill": {"selection": "acs"}}),
        make_run("b", settings={"distill": {"selection": "average"}}),
        make_run("c", seed=1, settings={"distill": {"selection": "acs"}, "compute": {"t": 2}}),
        make_run("d", recipe="other", seed=1),
    ]  # fmt: skip
    groups = compare([load_run(path) for path in paths]).groups
    assert [(g.label, len(g.runs)) for g in groups] == [
        ("utd_mhad (distill.selection=acs)", 2),
        ("utd_mhad (distill.selection=average)", 1),
        ("other", 1),
    ]


def student(*losses: dict[str, Any]) -> dict[str, Any]:
    stage = {"name": "student", "model": {"name": "temporal_cnn"}, "distill": {"losses": losses}}
    return {"chain": [stage]}


def test_losses_of_one_name_are_told_apart(make_run: MakeRun) -> None:
    """Two runs with KD from two teachers each, of which one weight differs."""
    second = {"name": "kd", "weight": 2.0}
    first = make_run("a", settings=student({"name": "kd", "weight": 1.0}, second))
    other = make_run("b", seed=1, settings=student({"name": "kd", "weight": 9.0}, second))
    assert len(compare([load_run(first), load_run(other)]).groups) == 2


def test_a_run_older_than_some_keys_is_of_the_same_recipe(make_run: MakeRun) -> None:
    stage = {"name": "student", "model": {"name": "temporal_cnn"}}
    new = {**stage, "start": None, "fit": {"quantise": False}}
    old = make_run("a", settings={"chain": [stage]})
    young = make_run("b", seed=1, settings={"chain": [new], "train_share": 1.0})
    assert len(compare([load_run(old), load_run(young)]).groups) == 1


def test_what_is_said_of_the_data_does_not_hang_on_the_order(make_run: MakeRun) -> None:
    said = "Subjects s1 train; noise of 0.5 g added to the test side"
    noisy = make_run("a", settings={"test": {"noise": 0.5}}, changes={"protocol.note": said})
    clean = make_run("b", changes={"protocol.note": "Subjects s1 train"})
    for paths in ([noisy, clean], [clean, noisy]):
        found = compare([load_run(path) for path in paths])
        assert found.protocol.note == "Subjects s1 train"
    assert compare([load_run(noisy)]).protocol.note == said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset.name": "simulated"}, "dataset simulated against utd_mhad"),
        ({"protocol.name": "trial_split"}, "protocol trial_split against cross_subject"),
        ({"protocol.subjects": {"train": ["s1"]}}, "subjects"),
        ({"protocol.sides": {"train": 1, "test": 192}}, "sides"),
    ],
)
def test_different_tables_are_refused(
    make_run: MakeRun, changes: dict[str, Any], message: str
) -> None:
    runs = [load_run(make_run("a")), load_run(make_run("b", seed=1, changes=changes))]
    with pytest.raises(UsageError, match=f"b: cannot share a table with .*a: {message}"):
        compare(runs)


def test_other_test_recordings_are_refused(make_run: MakeRun) -> None:
    changes = {"protocol.subjects": {}}
    people = ("s1", "s4", "s6", "s8")
    runs = [
        load_run(make_run("a", changes=changes)),
        load_run(make_run("b", seed=1, changes=changes, subjects=people)),
    ]
    with pytest.raises(UsageError, match="96 test recordings are in only one of them"):
        compare(runs)


def test_runs_on_other_clips_are_refused(make_run: MakeRun) -> None:
    paths = [make_run(f"r{seed}", seed=seed) for seed in range(2)]
    environment = json.loads((paths[1] / "environment.json").read_text())
    environment["data"] = {"clips": 2}
    (paths[1] / "environment.json").write_text(json.dumps(environment))
    with pytest.raises(UsageError, match=r"r1: .*version of clips 2 against unrecorded"):
        compare([load_run(path) for path in paths])


def test_a_seed_counts_once(make_run: MakeRun) -> None:
    runs = [load_run(make_run("a")), load_run(make_run("b"))]
    with pytest.raises(UsageError, match=r"seed 0 of recipe 'utd_mhad' is also in .*a"):
        compare(runs)


def test_no_runs_and_no_student_alone(make_run: MakeRun) -> None:
    with pytest.raises(UsageError, match="no runs"):
        compare([])
    (group,) = compare([load_run(make_run(stages=("skeleton", "student")))]).groups
    assert group.gain is None and group.alone is None
