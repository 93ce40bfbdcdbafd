"""Folds of leave_one_subject_out in a comparison of runs: pooled, every recording once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pskd.errors import UsageError
from pskd.evaluate import Run, compare, load_run, markdown_table, score, write_report

MakeRun = Callable[..., Path]
PEOPLE = ("s1", "s2", "s3")


def fold(make_run: MakeRun, subject: str, seed: int, name: str = "", validation: str = "") -> Path:
    options = {"held_out": subject, "validation": [validation]}
    return make_run(
        name or f"{subject}-{seed}",
        seed=seed,
        subjects=(subject,),
        epochs=1,
        changes={
            "protocol.note": f"subject {subject} held out; 25% of the recordings keep their label",
            "protocol.name": "leave_one_subject_out",
            "protocol.subjects": {"train": [], "validation": [], "test": [subject]},
        },
        settings={"protocol": {"name": "leave_one_subject_out", "options": options}},
    )


def test_folds_of_a_seed_are_one_run(make_run: MakeRun, tmp_path: Path) -> None:
    paths = [fold(make_run, s, seed, validation=s) for s in PEOPLE for seed in (0, 1)]
    comparison = compare([load_run(path) for path in paths])
    (group,) = comparison.groups
    assert [run.summary.seed for run in group.runs] == [0, 1]
    assert comparison.protocol.subjects == {"test": PEOPLE}
    assert comparison.protocol.sides == {"test": 3 * 48}
    for k, seed in enumerate((0, 1)):
        folds: list[Run] = [load_run(tmp_path / f"{s}-{seed}") for s in PEOPLE]
        said = [run.predictions["student"] for run in folds]
        whole = score(
            np.concatenate([p.true for p in said]),
            np.concatenate([p.predicted for p in said]),
            [s for p in said for s in p.subjects],
            folds[0].summary.dataset.classes,
        )
        assert group.student.accuracy.values[k] == pytest.approx(whole.accuracy)
        assert group.student.macro_f1.values[k] == pytest.approx(whole.macro_f1)
        seconds = sum(run.summary.stages["student"].seconds for run in folds)
        assert group.student.seconds.values[k] == pytest.approx(seconds)
        assert group.gain is not None
        pair, clips = group.gain.pairs[k], 3 * 48
        assert (pair.won - pair.lost) / clips == pytest.approx(group.gain.difference.values[k])
    assert set(group.student.per_subject) == set(PEOPLE)


def test_one_seed_of_pooled_folds_has_a_table_and_a_page(make_run: MakeRun, tmp_path: Path) -> None:
    paths = [fold(make_run, s, 0) for s in PEOPLE]
    assert "leave_one_subject_out, 144 test clips, seed 0" in markdown_table(paths)
    assert compare([load_run(path) for path in paths]).protocol.note == (
        "3 folds pooled; 25% of the recordings keep their label"
    )
    page = write_report(paths, tmp_path / "page.html").read_text()
    assert "3 folds pooled" in page and 'id="subjects"' in page


def test_seeds_of_one_fold_stay_as_they_are(make_run: MakeRun) -> None:
    runs = [load_run(fold(make_run, "s1", seed)) for seed in (0, 1)]
    assert compare(runs).groups[0].runs == tuple(runs)


def test_a_fold_named_twice_is_refused(make_run: MakeRun) -> None:
    paths = [fold(make_run, "s1", 0), fold(make_run, "s1", 0, name="again")]
    with pytest.raises(UsageError, match=r"again: recording a1_s1_t1 is tested here and in .*s1-0"):
        compare([load_run(path) for path in paths])


def test_seeds_that_lack_a_fold_are_refused(make_run: MakeRun) -> None:
    paths = [fold(make_run, s, seed) for s in PEOPLE for seed in (0, 1)][:-1]
    with pytest.raises(UsageError, match="cannot share a table"):
        compare([load_run(path) for path in paths])


def test_folds_by_relative_and_absolute_paths(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (fold(make_run, s, 0) for s in PEOPLE[:2])
    monkeypatch.chdir(tmp_path)
    found = compare([load_run(first), load_run(second.relative_to(tmp_path))])
    assert found.runs[0].path == tmp_path
