"""`pskd finetune`: what it makes of a finished run, and of what is none."""

import csv
import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from pskd.cli.finetune import app
from pskd.errors import UsageError
from pskd.models.student_folder import load_student
from pskd.recipe import Loss, Recipe, Schedule, Teacher, load_recipe, parse_recipe, shipped
from pskd.train import stages as train_stages
from pskd.train.checkpoint import load_checkpoint
from pskd.train.finetune import finetune, int8_recipe
from pskd.train.run import train
from pskd.train.stages import checkpoint_path, find_stage, first_student, stage_key, stages

EPOCHS = 3
NEW = "student_int8"

KEYS = {
    "berkeley-mhad-alone": "6ddbbbe1e1a4",
    "berkeley-mhad": "f202f4f10580",
    "deepconvlstm": "d9fd2488ef04",
    "demo": "b406f6f9899e",
    "folder": "57d7cd43e6a4",
    "mmact": "54dfd295a52d",
    "tinyhar": "ff8132231cc6",
    "utd-mhad-few-labels": "ac9635735ec3",
    "utd-mhad": "d5e0b6a3bf31",
    "xtinyhar": "b5b33ab804e4",
}
"""First digits of the keys of the shipped recipes' students: finished trainings go by them."""


@pytest.fixture(scope="module")
def tuned(run: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student of the tiny run, fine-tuned."""
    out = tmp_path_factory.mktemp("runs") / "tiny-int8"
    return finetune(run, data_root=None, out=out, cache=cache, epochs=EPOCHS)


def files_of(run: Path) -> dict[str, bytes]:
    """What must not differ between two runs of one recipe."""
    names = [f"predictions/{NEW}.csv", "student/model.safetensors", "recipe.yaml"]
    return {name: (run / name).read_bytes() for name in names}


def test_the_keys_of_shipped_recipes_are_what_they_were() -> None:
    found = {}
    for name in shipped():
        recipe = load_recipe(name)
        found[name] = stage_key(recipe, recipe.student)[:12]
    assert {name: found[name] for name in KEYS} == KEYS


def test_the_new_stage_has_the_teachers_and_the_weights_at_the_end_of_training(
    tiny: Recipe,
) -> None:
    falls = Schedule(start=1, end=0.25)
    teachers = (Teacher(stage="fused", weight=falls), Teacher(stage="sensor"))
    losses = tuple(Loss(name=name) for name in ("motion", "fitnet", "crd", "mst_distill"))
    losses = (Loss(name="sp", weight=falls), *losses)
    changes = {"logits": falls, "motion": 1.0, "losses": losses, "temperature": 3.0}
    distill = tiny.student.distill.model_copy(update=changes)
    changed = tiny.student.model_copy(update={"teachers": teachers, "distill": distill})
    recipe = int8_recipe(tiny.model_copy(update={"chain": (*tiny.chain[:-1], changed)}))
    stage = recipe.student
    assert stage.name == NEW and stage.start == "student" and stage.fit.quantise
    assert stage.model == changed.model
    assert [(t.stage, t.weight) for t in stage.teachers] == [("fused", 0.25), ("sensor", 1.0)]
    assert [(loss.name, loss.weight) for loss in stage.distill.losses] == [("sp", 0.25)]
    assert (stage.distill.logits, stage.distill.motion, stage.distill.temperature) == (0.25, 0, 3)
    assert parse_recipe(recipe.model_dump(mode="json"), "test") == recipe


def test_what_was_trained_is_taken_over_and_only_the_new_stage_trained(
    run: Path, tuned: Path, tiny: Recipe
) -> None:
    for stage in stages(tiny):
        old, new = checkpoint_path(run, stage), checkpoint_path(tuned, stage)
        assert old.read_bytes() == new.read_bytes()
        name = f"predictions/{stage.name}.csv"
        assert (run / name).read_bytes() == (tuned / name).read_bytes()
    rows = [json.loads(line) for line in (tuned / "metrics.jsonl").read_text().splitlines()]
    old_rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [r for r in rows if r["stage"] != NEW] == old_rows
    assert len(rows) == len(old_rows) + EPOCHS


def test_the_new_run_is_an_ordinary_one_with_a_plain_student(run: Path, tuned: Path) -> None:
    summary = json.loads((tuned / "summary.json").read_text())
    roles = {name: block["role"] for name, block in summary["stages"].items()}
    assert (summary["student"], summary["alone"]) == (NEW, "student_alone")
    assert roles[NEW] == "student" and roles["student"] == "start"
    assert roles["student_alone"] == "alone" and roles["fused"] == "teacher"
    assert "student before fine-tuning" in (tuned / "report.html").read_text()
    model, config = load_student(tuned / "student")
    saved = load_checkpoint(tuned / "checkpoints" / f"{NEW}.ckpt")[0]
    assert {f"model.{name}" for name in model.state_dict()} == set(saved)
    assert all(torch.equal(v, saved[f"model.{k}"]) for k, v in model.state_dict().items())
    with (tuned / "predictions" / f"{NEW}.csv").open() as file:
        right = [row["true"] == row["predicted"] for row in csv.DictReader(file)]
    assert config.accuracy == pytest.approx(sum(right) / len(right))
    before = load_student(run / "student")[0].state_dict()
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    parameters = {name for name, _ in model.named_parameters()}
    assert changed == parameters, "statistics of normalisations stay, all else learns"


def test_the_student_alone_is_the_one_before_fine_tuning(tiny: Recipe) -> None:
    recipe = int8_recipe(tiny)
    assert first_student(recipe) == tiny.student
    for stage in stages(tiny):
        assert stage_key(recipe, find_stage(recipe, stage.name)) == stage_key(tiny, stage)
    shorter = int8_recipe(tiny, 1)
    assert stage_key(recipe, recipe.student) != stage_key(shorter, shorter.student)


def test_it_starts_from_what_the_student_computes(
    run: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = {}
    fit = train_stages.fit

    def watched(stage, model, *args, **options):
        starts[stage.name] = deepcopy(model).eval()
        return fit(stage, model, *args, **options)

    monkeypatch.setattr(train_stages, "fit", watched)
    finetune(run, data_root=None, out=tmp_path / "again", cache=cache, epochs=1)
    student, config = load_student(run / "student")
    x = torch.randn(8, 3, config.samples, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(starts[NEW](x), student(x), rtol=1e-4, atol=1e-5)


KILLED = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from pskd.train import fit
from pskd.train.finetune import finetune

run, out, cache, epochs, last = sys.argv[1:]
fit.CHECKPOINT_SECONDS = 0.0

@contextmanager
def progress():
    def told(done):
        if done.epoch == int(last) + 1:  # the epoch after the last that is kept
            os.kill(os.getpid(), signal.SIGKILL)
    yield told

finetune(
    Path(run), data_root=None, out=Path(out), cache=Path(cache), epochs=int(epochs),
    progress=progress,
)
"""


def test_a_fine_tuning_that_was_killed_ends_with_the_same_bytes(
    run: Path, tuned: Path, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    for last in (1, 2):  # while ranges still move, and when they hold
        command = [sys.executable, "-c", KILLED, run, out, cache, EPOCHS, last]
        done = subprocess.run([str(c) for c in command], capture_output=True, check=False)
        assert done.returncode == -9, done.stderr.decode()
    finetune(run, data_root=None, out=out, cache=cache, epochs=EPOCHS)
    assert files_of(out) == files_of(tuned)


def test_a_student_without_teachers_is_fine_tuned_from_labels(
    tiny: Recipe, cache: Path, tmp_path: Path
) -> None:
    tree = tiny.model_dump(mode="json")
    tree["chain"] = [tree["chain"][-1] | {"teachers": []}]
    alone = train(parse_recipe(tree, "test"), data_root=None, out=tmp_path / "a", cache=cache)
    out = finetune(alone, data_root=None, out=tmp_path / "b", cache=cache, epochs=1)
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["stages"]) == ["student", NEW] and summary["alone"] is None


def test_what_cannot_be_fine_tuned_is_refused_before_anything_is_written(
    run: Path, tuned: Path, tiny: Recipe, cache: Path, tmp_path: Path
) -> None:
    def refused(what: str, source: Path, out: Path = tmp_path / "out") -> None:
        with pytest.raises(UsageError, match=what):
            finetune(source, data_root=None, out=out, cache=cache, epochs=EPOCHS)

    refused("no finished run here", tmp_path)
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "recipe.yaml").write_text(tiny.to_yaml())
    refused("no finished run here", begun)
    refused("is trained for int8 already", tuned)
    refused("another recipe or seed", run, run)
    transformer = tiny.model_dump(mode="json")
    options = {"model": {"name": "xtinyhar"}, "teachers": [], "fit": {"epochs": 1}}
    transformer["chain"] = [transformer["chain"][-1] | options]
    parsed = parse_recipe(transformer, "test")
    no_convolution = train(parsed, data_root=None, out=tmp_path / "x", cache=cache)
    refused("no convolution to quantise", no_convolution)
    assert not (tmp_path / "out").exists()


def test_the_command_takes_up_what_is_finished_and_prints_its_table(
    run: Path, tuned: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSKD_CACHE", str(cache))
    words = [str(run), "--out", str(tuned), "--epochs", str(EPOCHS)]
    before = files_of(tuned)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and f"Report: {tuned}" in done.output.replace("\n", "")
    assert files_of(tuned) == before
    done = CliRunner().invoke(app, [*words, "--json"])
    assert NEW in done.output and json.loads(done.output)
    missing = CliRunner().invoke(app, ["nothing-here"])
    assert isinstance(missing.exception, UsageError)


@pytest.mark.parametrize(
    ("start", "options", "what"),
    [
        ("studnet", {}, r"starts from 'studnet', which is no stage before it.*'student'"),
        ("sensor", {}, "whose model or options are others"),
        ("student", {"stem": 16}, "whose model or options are others"),
    ],
)
def test_a_start_that_does_not_fit_is_named(
    tiny: Recipe, start: str, options: dict[str, int], what: str
) -> None:
    tree = int8_recipe(tiny).model_dump(mode="json")
    tree["chain"][-1]["start"] = start
    tree["chain"][-1]["model"]["options"] |= options
    with pytest.raises(UsageError, match=what):
        parse_recipe(tree, "test")
