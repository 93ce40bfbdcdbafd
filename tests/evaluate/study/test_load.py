"""A grid's folder as tables: pooling, what is missing, and what must not stand side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pskd.errors import CheckpointError, UsageError
from pskd.evaluate import score
from pskd.evaluate.statistics import McNemar, spread
from pskd.evaluate.study import (
    Difference,
    StudyTable,
    load_study,
    study_latex,
    study_markdown,
    write_study_report,
)
from pskd.evaluate.study.statistics import holm
from tests.evaluate.study.study_folder import CLASSES, RECIPE, SUBJECTS, write_study


def table(out: Path, **options: Any) -> StudyTable:
    (found,) = load_study(write_study(out, **options)).tables
    return found


def test_methods_are_measured_against_the_student_alone(tmp_path: Path) -> None:
    found = table(tmp_path)
    assert [m.name for m in found.methods] == ["pskd", "kd"] and found.clips == 24
    assert found.alone is not None and found.alone.accuracy.values
    for method in found.methods:
        assert method.difference is not None and method.seeds == (0, 1, 2)
        runs = [cell.run for cell in method.cells]
        accuracies = [run.summary.stages["student"].test.accuracy for run in runs]
        alone = [run.summary.stages["student_alone"].test.accuracy for run in runs]
        assert method.accuracy.values == pytest.approx(accuracies)
        assert method.difference.values == pytest.approx(np.subtract(accuracies, alone))
        assert method.difference.baseline.values == pytest.approx(found.alone.accuracy.values)
        assert method.seconds.mean == 60 and found.alone.seconds.mean == 20
        assert method.about == f"about {method.name}" and method.missing == 0
    differences = [m.difference for m in found.methods if m.difference]
    assert [d.p_corrected for d in differences] == pytest.approx(holm([d.p for d in differences]))


def test_a_method_can_be_the_baseline(tmp_path: Path) -> None:
    found = table(tmp_path, baseline="kd")
    pskd, kd = found.methods
    assert kd.difference is None and found.alone is None and pskd.difference is not None
    assert pskd.difference.values == pytest.approx(
        np.subtract(pskd.accuracy.values, kd.accuracy.values)
    )
    assert pskd.difference.p == pskd.difference.p_corrected


def test_folds_are_pooled_before_anything_is_scored(tmp_path: Path) -> None:
    found = table(tmp_path, folds=SUBJECTS, methods=["pskd"], seeds=[0, 1])
    (method,) = found.methods
    assert len(method.cells) == 8 and found.clips == 24
    assert found.protocol.sides == {"test": 24}
    assert found.protocol.note == "4 folds pooled"
    for k, seed in enumerate((0, 1)):
        said = [c.run.predictions["student"] for c in method.cells if c.seed == seed]
        whole = score(
            np.concatenate([p.true for p in said]),
            np.concatenate([p.predicted for p in said]),
            [s for p in said for s in p.subjects],
            CLASSES,
        )
        assert method.macro_f1.values[k] == pytest.approx(whole.macro_f1)
        assert method.accuracy.values[k] == pytest.approx(whole.accuracy)
    assert method.seconds.mean == 240
    assert method.difference is not None and set(method.difference.by_subject) == set(SUBJECTS)


def test_only_whole_seeds_count(tmp_path: Path) -> None:
    found = table(tmp_path, folds=SUBJECTS, absent=[("kd", 1, "4")])
    kd = found.methods[1]
    assert kd.seeds == (0, 2) and kd.missing == 1 and len(kd.accuracy.values) == 2
    assert kd.difference is not None and kd.difference.seeds == (0, 2)
    (lost,) = found.missing_cells
    assert (lost.method, lost.seed, lost.fold, lost.state) == ("kd", 1, "4", "failed")
    assert lost.error == "disk full"


def test_missing_methods_and_tables_are_named(tmp_path: Path) -> None:
    lost = [("kd", seed, "") for seed in range(3)]
    found = table(tmp_path / "a", absent=lost, baseline="kd")
    assert found.untrained == ("kd",) and [m.name for m in found.methods] == ["pskd"]
    assert found.methods[0].difference is None
    everything = [*lost, *(("pskd", seed, "") for seed in range(3))]
    study = load_study(write_study(tmp_path / "b", absent=everything))
    assert study.tables == () and study.empty == ("main",)


def test_seeds_without_a_pair_leave_the_difference_out(tmp_path: Path) -> None:
    found = table(tmp_path, absent=[("kd", 1, "")], baseline="kd")
    assert found.methods[0].difference is not None
    assert found.methods[0].difference.seeds == (0, 2) and found.methods[0].seeds == (0, 1, 2)


def test_students_that_differ_alone_have_a_baseline_each(tmp_path: Path) -> None:
    def cell(method: str, seed: int, fold: str) -> dict[str, Any]:
        return {"parameters": 1} if method == "kd" else {}

    found = table(tmp_path, cell=cell)
    assert found.alone is None
    assert all(method.difference is not None for method in found.methods)


def test_an_untaught_method_is_measured_against_the_student_alone_of_the_others(
    tmp_path: Path,
) -> None:
    def cell(method: str, seed: int, fold: str) -> dict[str, Any]:
        right = np.random.default_rng(seed).random(24) < 0.9
        return {"right": {"student": right}} if method == "kd" else {}

    found = table(tmp_path, cell=cell)
    kd = found.methods[1]
    assert found.alone is not None and kd.difference is not None
    assert kd.difference.values == pytest.approx(
        np.subtract(kd.accuracy.values, found.alone.accuracy.values)
    )


def test_only_what_is_so_of_all_methods_is_said_of_their_data(tmp_path: Path) -> None:
    def cell(method: str, seed: int, fold: str) -> dict[str, Any]:
        note = f"1, 3 train, 2, 4 test; {'half' if method == 'kd' else 'all'} labelled; noise"
        return {"summary": {"protocol": {"note": note}}}

    assert table(tmp_path, cell=cell).protocol.note == "1, 3 train, 2, 4 test; noise"


DATASET, PROTOCOL = RECIPE["dataset"], RECIPE["protocol"]


@pytest.mark.parametrize(
    ("change", "key", "values", "varies"),
    [
        ({"recipe": {"clips": {"samples": 64, "frames": 64}}},
         "clips.samples", "64 against 128", "clips"),
        ({"recipe": {"labelled": 0.25}}, "labelled", "0.25 against 1.0", "labelled"),
        ({"recipe": {"train_share": 0.5}}, "train_share", "0.5 against 1.0", "train_share"),
        ({"recipe": {"test": {"noise": 0.1, "rate": None}}},
         "test.noise", "0.1 against 0.0", "test.noise"),
        ({"recipe": {"test": {"noise": 0.0, "rate": None, "adapt": 8}}},  # others are older
         "test.adapt", "8 against 0", "test.adapt"),
        ({"recipe": {"labelled_subjects": [1]}},
         "labelled_subjects.0", "1 against absent", "labelled_subjects"),
        ({"recipe": {"dataset": {**DATASET, "options": {"placement": "hip"}}}},
         "dataset.options.placement", "hip against wrist", "dataset.options"),
        ({"recipe": {"protocol": {**PROTOCOL, "options": {"train": [1], "test": [2, 4]}}}},
         "protocol.options.train.1", "absent against 3", "protocol.options.train"),
        ({"summary": {"protocol": {"name": "trial_split"}}},
         "protocol.name", "trial_split against cross_subject", "protocol"),
        ({"summary": {"dataset": {"recordings": 40}}},
         "dataset.recordings", "40 against 48", "dataset"),
        ({"subjects": ("2", "4", "6", "9")},
         "protocol.subjects", "train 1 3; validation ; test 2 4 6 9 against", "protocol"),
    ],
)  # fmt: skip
def test_cells_of_other_data_are_refused_unless_the_table_is_about_it(
    tmp_path: Path, change: dict[str, Any], key: str, values: str, varies: str
) -> None:
    def cell(method: str, seed: int, fold: str) -> dict[str, Any]:
        return change if method == "kd" else {}

    with pytest.raises(UsageError) as caught:
        load_study(write_study(tmp_path / "refused", cell=cell, seeds=[0]))
    said = str(caught.value)
    assert f"kd, seed 0 and pskd, seed 0 differ in {key}: {values}" in said
    assert "cells/main/kd/seed0" in said
    found = table(tmp_path / "varies", cell=cell, seeds=[0], varies=[varies])
    assert len(found.methods) == 2


def test_how_a_method_learns_may_differ(tmp_path: Path) -> None:
    def cell(method: str, seed: int, fold: str) -> dict[str, Any]:
        return {"recipe": {"chain": [{"name": "student", "distill": method}], "views": {"m": seed}}}

    assert len(table(tmp_path, cell=cell).methods) == 2


def test_seeds_with_other_test_recordings_are_refused(tmp_path: Path) -> None:
    def cell(method: str, seed: int, fold: str) -> dict[str, Any]:
        if seed == 0:
            return {}
        right = {"student": [True] * 12, "student_alone": [True] * 12}
        sides = {"sides": {"train": 24, "validation": 0, "test": 24}}
        return {"clips": 3, "right": right, "summary": {"protocol": sides}}

    with pytest.raises(UsageError, match=r"seed 1 and pskd, seed 0 differ in test recordings: 12"):
        load_study(write_study(tmp_path, cell=cell, methods=["pskd"]))


def test_folds_must_hold_other_recordings_and_the_same_data(tmp_path: Path) -> None:
    def twice(method: str, seed: int, fold: str) -> dict[str, Any]:
        return {"subjects": ("2",)}

    with pytest.raises(UsageError, match=r"recording s2_t0 is tested here and in .*2-seed0"):
        load_study(write_study(tmp_path / "a", folds=("2", "4"), cell=twice))

    def shorter(method: str, seed: int, fold: str) -> dict[str, Any]:
        protocol = {"name": "leave_one_subject_out", "options": {"held_out": fold}}
        return {"recipe": {"protocol": protocol, "labelled": 0.5 if fold == "4" else 1.0}}

    with pytest.raises(UsageError, match=r"differ in labelled: 0\.5 against 1\.0"):
        load_study(write_study(tmp_path / "b", folds=("2", "4"), cell=shorter))


def rewritten(out: Path, **changes: Any) -> Path:
    path = write_study(out, seeds=[0]) / "grid.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return out


def test_what_is_no_grid_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        load_study(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"grid\.json: missing"):
        load_study(tmp_path)
    (tmp_path / "grid.json").write_text("{")
    with pytest.raises(CheckpointError, match="not JSON"):
        load_study(tmp_path)
    (tmp_path / "grid.json").write_text("[]")
    with pytest.raises(CheckpointError):
        load_study(tmp_path)
    with pytest.raises(CheckpointError, match="grid of format 2, this version reads up to 1"):
        load_study(rewritten(tmp_path / "a", format=2))
    with pytest.raises(CheckpointError, match=r"tables: Input should be"):
        load_study(rewritten(tmp_path / "b", tables=3))
    with pytest.raises(CheckpointError, match="baseline 'dgkd' of 'main' is no method of it"):
        load_study(write_study(tmp_path / "c", seeds=[0], baseline="dgkd"))


@pytest.mark.parametrize("name", ["../victim", "/tmp/victim", "a/b", ""])
def test_names_of_tables_stay_inside_the_folder(tmp_path: Path, name: str) -> None:
    out = write_study(tmp_path / "a", seeds=[0])
    tables = json.loads((out / "grid.json").read_text())["tables"]
    tables[0]["name"] = name
    with pytest.raises(CheckpointError, match=r"grid\.json: tables\.0\.name"):
        load_study(rewritten(tmp_path / "b", tables=tables))


@pytest.mark.parametrize("path", ["../cells/a", "/etc", "cells/../../a"])
def test_cells_stay_inside_the_folder(tmp_path: Path, path: str) -> None:
    out = write_study(tmp_path / "a", seeds=[0])
    cells = json.loads((out / "grid.json").read_text())["cells"]
    cells[0]["path"] = path
    with pytest.raises(CheckpointError, match="lies outside the folder of the grid"):
        load_study(rewritten(tmp_path / "b", cells=cells))


def test_a_cell_that_links_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    out, cell = write_study(tmp_path / "g", seeds=[0]), Path("cells/main/kd/seed0")
    (out / cell).rename(tmp_path / "elsewhere")
    (out / cell).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"kd/seed0: lies outside the folder of the grid"):
        load_study(out)


@pytest.mark.parametrize(
    ("data", "words"),
    [({"clips": 2}, "version of clips: 2"), ({"store": "a9"}, "prepared data: a9")],
)
def test_other_data_is_refused(tmp_path: Path, data: dict[str, Any], words: str) -> None:
    out = write_study(tmp_path, seeds=[0])
    path = out / "cells/main/kd/seed0/environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data": data}))
    with pytest.raises(UsageError, match=f"differ in {words} against unrecorded"):
        load_study(out)


def test_nothing_is_claimed_where_interval_and_p_point_apart() -> None:
    """Macro-F1 may rise while fewer clips are right, which is what p is about."""
    lost = McNemar(won=14, lost=62, p=1e-8)
    for pair, clear in ((lost, False), (McNemar(won=62, lost=14, p=1e-8), True)):
        found = Difference(
            mean=0.16, values=(0.16,), seeds=(0,), by_subject={"2": 0.1}, interval=(0.01, 0.3),
            seed_interval=None, subject_interval=None, mcnemar=(pair,), p=1e-8, p_corrected=1e-8,
            per_class={}, per_class_interval={}, baseline=spread([0.5]),
        )  # fmt: skip
        assert found.clear is clear


def test_another_baseline_may_be_asked_for(tmp_path: Path) -> None:
    out = write_study(tmp_path)
    (usual,), (found,) = load_study(out).tables, load_study(out, "kd").tables
    assert (usual.baseline, found.baseline) == ("student_alone", "kd") and found.alone is None
    before = {method.name: method.accuracy.values for method in usual.methods}
    pskd, kd = found.methods
    assert kd.difference is None and pskd.difference is not None
    assert pskd.difference.values == pytest.approx(np.subtract(before["pskd"], before["kd"]))
    (again,) = load_study(out, "student_alone").tables
    assert study_markdown(again) == study_markdown(usual) != study_markdown(found)
    with pytest.raises(UsageError, match=r"no method 'takd'.*There are: pskd, kd, student_alone"):
        load_study(out, "takd")


def test_a_baseline_without_a_seed_is_no_baseline(tmp_path: Path) -> None:
    out = write_study(tmp_path, seeds=[0], absent=[("kd", 0, "")])
    with pytest.raises(UsageError, match="no method has a seed in common with 'kd'"):
        load_study(out, "kd")


def test_cells_that_cannot_be_read_are_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    out = write_study(
        tmp_path,
        seeds=[0, 1, 2, 3],
        cell=lambda m, s, f: {"seed": 5} if (m, s) == ("kd", 3) else {},
    )
    (out / "cells/main/kd/seed0/summary.json").unlink()
    (out / "cells/main/kd/seed1/predictions/student.csv").write_text("recording")
    shutil.rmtree(out / "cells/main/kd/seed2")
    study = load_study(out)
    (found,) = study.tables
    assert [m.name for m in found.methods] == ["pskd"] and found.untrained == ("kd",)
    assert [cell.seed for cell in study.torn] == [0, 1, 2, 3]
    for cell, words in zip(
        study.torn,
        (
            "summary.json: missing",
            "student.csv: ",
            "no such run folder",
            "seed 5, grid.json says 3",
        ),
        strict=True,
    ):
        assert words in cell.error and "Remove the cell's folder" in cell.error
    page = write_study_report(study, tmp_path / "page.html").read_text()
    assert "4 cells without a finished run, 4 torn" in page


def test_a_difference_over_fewer_seeds_says_so(tmp_path: Path) -> None:
    out = write_study(tmp_path, seeds=[0, 1, 2], baseline="kd", absent=[("kd", 1, "")])
    study = load_study(out)
    (found,) = study.tables
    ours = next(m for m in found.methods if m.name == "pskd")
    assert ours.difference is not None and ours.difference.seeds == (0, 2)
    assert "(2 of 3 seeds) |" in study_markdown(found)
    assert "(2 of 3 seeds)" in study_latex(found)
    assert "(2 of 3 seeds)" in write_study_report(study, tmp_path / "page.html").read_text()
    whole = table(tmp_path / "whole", seeds=[0, 1, 2], baseline="kd")
    assert "of 3 seeds" not in study_markdown(whole)
