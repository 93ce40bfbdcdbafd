"""A whole run on a few simulated people: what it leaves, and that it leaves the same again."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pskd.errors import CheckpointError, DataError, ProtocolError, UsageError
from pskd.models.student_folder import load_student
from pskd.recipe import Recipe, load_recipe, parse_recipe
from pskd.train.checkpoint import load_checkpoint
from pskd.train.fit import predict
from pskd.train.outputs import _data_note
from pskd.train.prepare import prepare
from pskd.train.run import evaluate, train
from pskd.train.stages import stages
from pskd.train.stream import draw_labelled, draw_share, epoch_order

STAGES = ["skeleton", "fused", "sensor", "student", "student_alone"]


def weights(run: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {s: load_checkpoint(run / "checkpoints" / f"{s}.ckpt")[0] for s in STAGES}


def same_results(one: Path, other: Path) -> None:
    """Weights of every stage and all predictions agree to the byte."""
    for (stage, a), b in zip(weights(one).items(), weights(other).values(), strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a), stage
    files = [f"predictions/{s}.csv" for s in STAGES] + ["student/model.safetensors", "recipe.yaml"]
    for file in files:
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


def test_a_run_leaves_everything_that_a_report_needs(run: Path, tiny: Recipe) -> None:
    summary = json.loads((run / "summary.json").read_text())
    assert list(summary["stages"]) == STAGES
    assert [b["role"] for b in summary["stages"].values()] == ["teacher"] * 3 + ["student", "alone"]
    subjects = {"train": ["1", "3"], "validation": [], "test": ["2", "4"]}
    assert summary["protocol"]["subjects"] == subjects
    assert load_recipe(run / "recipe.yaml") == tiny
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(r["stage"], r["epoch"]) for r in rows] == [
        (stage.name, e + 1) for stage in stages(tiny) for e in range(stage.fit.epochs)
    ]
    follows = {r["stage"] for r in rows if "choices" in r}
    assert follows == {"fused", "sensor", "student"}
    for row in rows:
        assert sum(row.get("choices", {"label": 1.0}).values()) == pytest.approx(1.0)
    environment = json.loads((run / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["data"]["store"]
    assert "<html" in (run / "report.html").read_text()


def test_the_summary_agrees_with_the_predictions(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    for stage, block in summary["stages"].items():
        with (run / "predictions" / f"{stage}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert {r["subject"] for r in rows} == {"2", "4"}
        right = [r["true"] == r["predicted"] for r in rows]
        assert block["test"]["accuracy"] == pytest.approx(np.mean(right))
        assert len(np.load(run / "embeddings" / f"{stage}.npy")) == len(rows)
        for row in rows:
            p = [float(v) for k, v in row.items() if k.startswith("p_")]
            assert sum(p) == pytest.approx(1.0, abs=1e-4)
            assert int(np.argmax(p)) == int(row["predicted"])


def test_the_same_recipe_gives_the_same_bytes(
    run: Path, tiny: Recipe, cache: Path, tmp_path: Path
) -> None:
    same_results(run, train(tiny, data_root=None, out=tmp_path / "again", cache=cache))


KILLED = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from pskd.recipe import load_recipe
from pskd.train import fit
from pskd.train.run import train

recipe, out, cache, moment = sys.argv[1:]
fit.CHECKPOINT_SECONDS = 0.0
epochs = 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def told(done):
    global epochs
    epochs += 1
    if moment == f"epoch {epochs}":
        die()

@contextmanager
def progress():
    yield told

fsync = os.fsync
writes = 0

def half_written(descriptor):
    global writes
    fsync(descriptor)
    writes += 1
    if moment == f"write {writes}":
        die()

os.fsync = half_written
train(load_recipe(recipe), data_root=None, out=Path(out), cache=Path(cache), progress=progress)
"""


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(
    run: Path, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    for moment in ("write 1", "epoch 1", "write 3", "epoch 2", "epoch 4", "write 12", "never"):
        command = [sys.executable, "-c", KILLED, run / "recipe.yaml", out, cache, moment]
        done = subprocess.run([str(c) for c in command], capture_output=True, check=False)
        assert done.returncode == (0 if moment == "never" else -9), done.stderr.decode()
    same_results(run, out)
    assert not list(out.rglob("*.part")), "parts of killed writes are left"


def test_a_student_that_nobody_teaches_is_trained_once(
    tiny: Recipe, cache: Path, tmp_path: Path
) -> None:
    tree = tiny.model_dump(mode="json")
    tree["chain"] = [tree["chain"][-1] | {"teachers": []}]
    out = train(parse_recipe(tree, "test"), data_root=None, out=tmp_path / "run", cache=cache)
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["stages"]) == ["student"] and summary["alone"] is None
    assert summary["stages"]["student"]["role"] == "student"
    assert "no teachers" not in (out / "report.html").read_text()
    assert (out / "student" / "config.json").exists()


def test_without_lessons_the_student_is_the_student_alone(
    tiny: Recipe, cache: Path, tmp_path: Path
) -> None:
    """Same start, same order, same views: whatever differs in a real run comes from teachers."""
    tree = tiny.model_dump(mode="json")
    for stage in tree["chain"]:
        stage["distill"] |= {"logits": 0.0, "motion": 0.0, "semantic": 0.0}
    recipe = Recipe.model_validate(tree)
    found = weights(train(recipe, data_root=None, out=tmp_path / "run", cache=cache))
    for name, value in found["student"].items():
        assert torch.equal(value, found["student_alone"][name]), name


def test_the_student_folder_gives_the_predictions_of_the_run(
    run: Path, tiny: Recipe, cache: Path
) -> None:
    model, _ = load_student(run / "student")
    clips = prepare(tiny, None, cache).test
    logits = predict(model, clips).logits
    with (run / "predictions" / "student.csv").open() as file:
        rows = list(csv.DictReader(file))
    stored = [[float(row[f"p_{k}"]) for k in range(logits.shape[1])] for row in rows]
    np.testing.assert_allclose(logits.softmax(1), stored, atol=1e-5)


def test_evaluate_predicts_the_same_again(run: Path, cache: Path) -> None:
    before = (run / "predictions" / "student.csv").read_bytes()
    (run / "predictions" / "student.csv").unlink()
    evaluate(run, data_root=None, cache=cache)
    assert (run / "predictions" / "student.csv").read_bytes() == before


def test_a_folder_of_another_run_is_left_alone(run: Path, tiny: Recipe, cache: Path) -> None:
    other = tiny.model_copy(update={"seed": 1})
    before = sorted((p, p.stat().st_mtime_ns) for p in run.rglob("*"))
    with pytest.raises(UsageError, match="another recipe or seed"):
        train(other, data_root=None, out=run, cache=cache)
    assert sorted((p, p.stat().st_mtime_ns) for p in run.rglob("*")) == before


def test_a_folder_that_is_no_run_is_left_alone(tiny: Recipe, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(UsageError, match="no run of pskd"):
        train(tiny, data_root=None, out=tmp_path, cache=cache)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(b"something else"),
        lambda path: path.write_bytes(path.with_name("student_alone.ckpt").read_bytes()),
    ],
    ids=["torn", "foreign", "of another stage"],
)
def test_a_checkpoint_that_cannot_be_trusted_is_refused_by_name(
    run: Path, tiny: Recipe, cache: Path, spoil: Callable[[Path], int]
) -> None:
    path = run / "checkpoints" / "student.ckpt"
    whole = path.read_bytes()
    try:
        spoil(path)
        with pytest.raises(CheckpointError, match=r"student\.ckpt"):
            train(tiny, data_root=None, out=run, cache=cache)
    finally:
        path.write_bytes(whole)


def test_cuda_where_there_is_none_is_refused_before_any_work(
    tiny: Recipe, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    compute = tiny.compute.model_copy(update={"accelerator": "cuda"})
    recipe = tiny.model_copy(update={"compute": compute})
    with pytest.raises(UsageError, match=r"compute\.accelerator"):
        train(recipe, data_root=None, out=tmp_path / "run", cache=cache)
    assert not (tmp_path / "run").exists()


def test_two_processes_train_one_model_and_take_it_up_again(
    tiny: Recipe, cache: Path, tmp_path: Path
) -> None:
    tree = tiny.model_dump(mode="json")
    tree["compute"]["devices"] = 2
    for stage in tree["chain"]:
        stage["distill"]["selection"] = "average"
    recipe = Recipe.model_validate(tree)
    out = train(recipe, data_root=None, out=tmp_path / "run", cache=cache)
    rows = (out / "metrics.jsonl").read_text().splitlines()
    assert len(rows) == sum(stage.fit.epochs for stage in stages(recipe))
    whole = weights(out)
    for stage_name in ("student", "student_alone"):
        (out / "checkpoints" / f"{stage_name}.ckpt").unlink()
    train(recipe, data_root=None, out=out, cache=cache)
    for stage_name, tensors in weights(out).items():
        for name, value in tensors.items():
            assert torch.equal(value, whole[stage_name][name]), (stage_name, name)


@pytest.mark.parametrize("compute", [{"devices": 5000}, {"devices": 2}])
def test_more_processes_than_fit_are_refused_before_any_work(
    tiny: Recipe, cache: Path, tmp_path: Path, compute: dict[str, int]
) -> None:
    tree = tiny.model_dump(mode="json")
    tree["compute"] |= compute
    tree["chain"][0]["fit"]["batch_size"] = 3
    with pytest.raises(UsageError, match=r"at most|too small"):
        train(Recipe.model_validate(tree), data_root=None, out=tmp_path / "run", cache=cache)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"name": "gaf_cnn", "options": {"image_size": 48}}, "GAF images of size 48 cannot"),
        ({"name": "skeleton_gcn"}, "the student sees skeleton; a watch has the accelerometer"),
        ({"name": "fused"}, "the student sees acceleration and skeleton; a watch"),
    ],
)
def test_a_student_that_cannot_be_is_refused_before_any_work(
    tiny: Recipe, cache: Path, tmp_path: Path, model: dict[str, object], words: str
) -> None:
    tree = tiny.model_dump(mode="json")
    tree["chain"][-1]["model"] = model
    with pytest.raises(UsageError, match=rf"chain\.student\.model: {words}"):
        train(Recipe.model_validate(tree), data_root=None, out=tmp_path / "run", cache=cache)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("side", "named"), [("train", "training"), ("validation", "validation"), ("test", "test")]
)
def test_a_side_without_skeletons_is_refused_before_any_work(
    tiny: Recipe,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    side: str,
    named: str,
) -> None:
    prepared = prepare(tiny, None, cache)
    blind = replace(prepared.test, has_skeleton=torch.zeros(len(prepared.test), dtype=torch.bool))
    prepared = replace(prepared, **{side: blind})
    monkeypatch.setattr("pskd.train.run.prepare", lambda *_: prepared)
    with pytest.raises(DataError, match=f"'skeleton' needs skeletons, and no {named} recording"):
        train(tiny, data_root=None, out=tmp_path / "run", cache=cache)
    assert not (tmp_path / "run").exists()


def test_evaluate_refuses_weights_of_another_run(
    run: Path, tiny: Recipe, cache: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    recipe = (copy / "recipe.yaml").read_text()
    (copy / "recipe.yaml").write_text(recipe.replace("seed: 0\ndataset", "seed: 1\ndataset"))
    with pytest.raises(CheckpointError, match=r"same settings.*environment\.json"):
        evaluate(copy, data_root=None, cache=cache)


def test_the_motion_head_teaches_and_stays_behind(run: Path) -> None:
    assert all("motion" not in name for name in weights(run)["student"])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert not any("motion" in r["terms"] for r in rows if r["stage"] == "student_alone")


def test_with_few_labels_a_stage_without_teachers_sees_only_those(
    tiny: Recipe, cache: Path, tmp_path: Path
) -> None:
    clips = prepare(tiny, None, cache).train
    draw = torch.Generator().manual_seed(0)
    kept = draw_share(clips, 0.5, draw)
    counts = torch.bincount(clips.labels[kept], minlength=14)
    assert counts.tolist() == [1] * 14  # one of the two recordings of each class
    pool = kept.nonzero().flatten()
    order = epoch_order(pool, 32, draw)
    assert set(order.tolist()) == set(pool.tolist())
    often = torch.bincount(order)[pool]
    assert often.min() >= 2 and often.max() <= 3

    recipe = tiny.model_copy(update={"labelled": 0.5})
    out = train(recipe, data_root=None, out=tmp_path / "run", cache=cache)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    label = {r["stage"]: r["terms"]["label"] for r in rows if r["epoch"] == 1}
    # Untrained, a labelled clip costs about log 14; half of the student's clips cost nothing.
    assert label["student_alone"] == pytest.approx(np.log(14), rel=0.15)
    assert label["student"] == pytest.approx(np.log(14) / 2, rel=0.3)
    summary = json.loads((out / "summary.json").read_text())
    assert "50% of the training recordings keep their label" in summary["protocol"]["note"]


def test_only_some_subjects_keep_their_labels(tiny: Recipe, cache: Path, tmp_path: Path) -> None:
    recipe = tiny.model_copy(update={"labelled_subjects": (3,)})
    clips = prepare(recipe, None, cache).train
    kept = draw_labelled(recipe, clips)
    assert kept.tolist() == [subject == "3" for subject in clips.subjects]
    halved = draw_labelled(recipe.model_copy(update={"labelled": 0.5}), clips)
    assert torch.bincount(clips.labels[halved], minlength=14).tolist() == [1] * 14
    assert not bool((halved & ~kept).any())

    out = train(recipe, data_root=None, out=tmp_path / "run", cache=cache)
    note = json.loads((out / "summary.json").read_text())["protocol"]["note"]
    assert note.endswith("; only recordings of subject 3 keep their label")


def test_who_keeps_labels_must_train_and_show_every_class(tiny: Recipe, cache: Path) -> None:
    both = tiny.model_copy(update={"labelled_subjects": (3,), "labelled": 0.5})
    assert "50% of the recordings of subject 3" in _data_note(both)
    with pytest.raises(
        UsageError, match=r"labelled_subjects: subject '2' does not train. Known: 1, 3"
    ):
        prepare(tiny.model_copy(update={"labelled_subjects": (2,)}), None, cache)
    few = {"labelled_subjects": (1,), "train_share": 0.5, "seed": 1}
    with pytest.raises(ProtocolError, match=r"labelled_subjects: no labelled recording of class"):
        prepare(tiny.model_copy(update=few), None, cache)


def test_half_precision_trains_to_finite_weights(tiny: Recipe, cache: Path, tmp_path: Path) -> None:
    compute = tiny.compute.model_copy(update={"precision": "bf16-mixed"})
    recipe = tiny.model_copy(update={"compute": compute})
    out = train(recipe, data_root=None, out=tmp_path / "run", cache=cache)
    assert all(t.isfinite().all() for stage in weights(out).values() for t in stage.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_trains_and_its_student_runs_on_a_cpu(
    tiny: Recipe, cache: Path, tmp_path: Path
) -> None:
    compute = tiny.compute.model_copy(update={"accelerator": "cuda", "precision": "bf16-mixed"})
    recipe = tiny.model_copy(update={"compute": compute})
    out = train(recipe, data_root=None, out=tmp_path / "run", cache=cache)
    model, _ = load_student(out / "student")
    assert predict(model, prepare(tiny, None, cache).test).logits.isfinite().all()
