"""The commands as a user types them: output, exit codes, messages."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from pskd import __version__
from pskd.cli import main
from pskd.datasets import DATASETS
from pskd.models import MODELS
from pskd.recipe import Recipe

COMMANDS = ["demo", "train", "compare", "evaluate", "report", "predict", "recipes", "grids"]
COMMANDS += ["export", "certify", "bench", "finetune", "frontier", "push", "pull"]
COMMANDS += ["live", "serve", "calibrate", "stream-eval", "stream-windows"]
COMMANDS += [f"data {c}" for c in ["list", "info", "fetch", "verify", "simulate", "check", "audit"]]


@pytest.fixture
def pskd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache: Path):
    """Run a command line; give back (exit code, stdout, stderr)."""
    monkeypatch.setenv("PSKD_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pskd", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    """Four seconds of a slow wave at 50 Hz, in g."""
    t = np.arange(200) / 50
    rows = np.column_stack([t, np.sin(t), np.cos(t), 0.1 * t])
    path = tmp_path / "watch.csv"
    np.savetxt(path, rows, delimiter=",", header="t,x,y,z", comments="", fmt="%.5f")
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(pskd, command: str) -> None:
    code, printed, _ = pskd(*command.split(), "--help")
    assert code == 0
    assert f"Example: pskd {command}" in printed


def test_version_and_no_arguments(pskd) -> None:
    assert pskd("--version")[:2] == (0, f"{__version__}\n")
    assert pskd()[0] == 2


def test_recipes_are_listed_with_what_they_are_about(pskd) -> None:
    code, printed, _ = pskd("recipes", "--json")
    assert code == 0
    assert {"demo", "utd-mhad"} <= json.loads(printed).keys()
    assert "utd-mhad" in pskd("recipes")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "utd-mad"], "'utd-mhad'"),
        (["train", "demo", "sed=1"], "'seed'"),
        (["train", "demo", "dataset.name=utd"], "'utd_mhad'"),
        (["train", "demo", "protocol.options.train=[9]"], "'9'"),
        (["train", "demo", "chain.student.model.name=temporal_cn"], "'temporal_cnn'"),
        (["train", "demo", "chain.student.model.options={widht: 2}"], "'width'"),
        (["train"], "Missing argument"),
        (["predict", "nowhere", "nothing.csv", "--unit", "feet"], "--unit"),
        (["fly"], "fly"),
    ],
)
def test_wrong_use_exits_with_2_and_names_the_nearest(
    pskd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, complaint = pskd(*words)
    assert code == 2
    assert message in complaint
    assert not list(tmp_path.iterdir()), "something was written"


def test_data_that_are_not_there_exit_with_1_and_say_where_to_get_them(
    pskd, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    code, _, complaint = pskd("train", "utd-mhad", "--data-root", tmp_path, "--out", out)
    assert code == 1
    assert "Inertial" in complaint and "--data-root" in complaint
    assert not out.exists()


def test_train_takes_up_a_finished_run_and_prints_its_table(pskd, run: Path) -> None:
    code, printed, _ = pskd("train", run / "recipe.yaml", "--out", run)
    assert code == 0
    assert "student" in printed and "report.html" in printed
    code, printed, _ = pskd("train", run / "recipe.yaml", "--out", run, "--json")
    assert json.loads(printed)


def test_report_of_one_run(pskd, run: Path, tmp_path: Path) -> None:
    code, printed, _ = pskd("report", run, "--out", tmp_path / "page.html")
    assert code == 0
    assert (tmp_path / "page.html").is_file() and "student" in printed
    assert "| Stage | Role |" in pskd("report", run, "--markdown")[1]


@pytest.mark.parametrize("command", ["report", "evaluate", "predict"])
def test_a_run_that_is_not_there_is_named(pskd, tmp_path: Path, command: str) -> None:
    more = ["x.csv"] if command == "predict" else []
    code, _, complaint = pskd(command, tmp_path / "none", *more)
    assert code == 2
    assert "none" in complaint and "pskd train" in complaint


def test_evaluate(pskd, run: Path) -> None:
    code, printed, _ = pskd("evaluate", run, "--json")
    assert code == 0 and json.loads(printed)


def test_predict_gives_windows_with_times_classes_and_probabilities(
    pskd, run: Path, csv_file: Path, tiny: Recipe
) -> None:
    code, printed, _ = pskd("predict", run, csv_file, "--json")
    assert code == 0
    windows = json.loads(printed)["windows"]
    assert windows and windows[0]["start_s"] == 0
    for window in windows:
        assert window["end_s"] > window["start_s"]
        assert max(window["probabilities"]) == pytest.approx(window["probability"])
    assert windows[0]["class_name"] in pskd("predict", run / "student", csv_file)[1]


def test_predict_tells_a_wrong_unit(pskd, run: Path, csv_file: Path) -> None:
    code, _, complaint = pskd("predict", run, csv_file, "--unit", "m/s2")
    assert code == 1
    assert "looks like g" in complaint and "watch.csv" in complaint


def test_interrupted_training_says_how_to_go_on(
    pskd, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pskd.train.run.train", interrupted)
    code, _, complaint = pskd("train", run / "recipe.yaml", "--out", run)
    assert code == 1 and "same command goes on" in complaint


def test_datasets_are_listed_and_told_about(pskd) -> None:
    listed = json.loads(pskd("data", "list", "--json")[1])
    assert [d["name"] for d in listed] == list(DATASETS)
    code, printed, _ = pskd("data", "info", "utd-mhad")
    assert code == 0
    for words in ("licence: free for research", "please cite: C. Chen", "Inertial.zip (required)"):
        assert words in printed
    code, printed, _ = pskd("data", "info", "mmact")
    assert "on request" in printed.lower() or "ask" in printed.lower()
    code, _, said = pskd("data", "info", "utd_mhd")
    assert (code, "Did you mean 'utd_mhad'" in said) == (2, True)


def test_a_dataset_on_request_is_not_fetched(pskd, tmp_path: Path) -> None:
    code, _, said = pskd("data", "fetch", "mmact", tmp_path)
    assert code == 2 and "mmact19.github.io/2019" in said
    assert not list(tmp_path.iterdir())


def test_a_twin_goes_through_audit_and_verify(pskd, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    words = ("--subjects", 4, "--trials", 1, "--classes", 3)
    code, printed, _ = pskd("data", "simulate", "utd-mhad", twin, *words)
    assert (code, printed.startswith("12 recordings of simulated people")) == (0, True)
    code, _, said = pskd("data", "simulate", "utd-mhad", twin, *words)
    assert code == 2 and "no empty folder" in said
    sides = ("train=[1, 2]", "test=[3, 4]")
    code, printed, _ = pskd("data", "audit", "utd_mhad", "--data-root", twin, *sides)
    assert code == 0 and "(6 train, 6 test)" in printed and "leak" not in printed
    found = pskd("data", "audit", "utd_mhad", "--data-root", twin, *sides, "--json")
    assert json.loads(found[1])["recordings"] == {"train": 6, "validation": 0, "test": 6}
    code, printed, _ = pskd("data", "verify", "utd_mhad", "--data-root", twin)
    assert code == 1 and "Inertial.zip: wrong" in printed
    code, printed, _ = pskd("data", "verify", "utd_mhad", "--data-root", twin, "--json")
    found = json.loads(printed)
    assert (code, found["passed"], found["root"]) == (1, False, str(twin))
    for setting in ("train", "train=2024-99-99", "=1", "train=[", "train=" + "[" * 5000):
        code, _, said = pskd("data", "audit", "utd_mhad", "--data-root", twin, setting)
        assert code == 2 and "is no setting" in said


def test_a_leak_stops_the_training_and_the_audit(pskd, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert pskd("data", "simulate", "folder", folder, "--subjects", 4, "--trials", 1)[0] == 0
    manifest = (folder / "manifest.csv").read_text().splitlines()
    head = manifest[0].split(",")
    rows = [dict(zip(head, line.split(","), strict=True)) for line in manifest[1:]]
    source, target = (next(r for r in rows if r["subject"] == s) for s in ("p1", "p3"))
    files = [next(folder.rglob(f"{r['recording']}.csv")) for r in (source, target)]
    files[1].write_bytes(files[0].read_bytes())
    sides = ("train=[p1, p2]", "test=[p3, p4]")
    code, printed, _ = pskd("data", "audit", "folder", "--data-root", folder, *sides)
    assert code == 1 and f"{source['recording']} / {target['recording']}" in printed
    protocol = "protocol={name: cross_subject, options: {train: [p1, p2], test: [p3, p4]}}"
    out = tmp_path / "run"
    code, _, said = pskd("train", "folder", protocol, "--data-root", folder, "--out", out)
    assert code == 1 and "pskd data audit" in said and "cross_subject" in said
    assert not out.exists()


def test_check_says_what_is_wrong_and_draws_a_pair(pskd, tmp_path: Path) -> None:
    folder, picture = tmp_path / "mine", tmp_path / "pair.png"
    pskd("data", "simulate", "folder", folder, "--subjects", 4, "--trials", 1)
    code, printed, _ = pskd("data", "check", folder, "--picture", picture)
    assert code == 0 and "Nothing looks wrong" in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    victim = next((folder / "accelerometer").glob("*.csv"))
    victim.write_text("t,x,y,z\n0,1,2,oops\n")
    code, printed, _ = pskd("data", "check", folder, "--picture", picture)
    assert code == 1 and victim.name in printed and "oops" in printed
    code, printed, _ = pskd("data", "check", folder, "--picture", picture, "--json")
    assert code == 1 and json.loads(printed)["usable"] == json.loads(printed)["recordings"] - 1
    code, _, said = pskd("data", "check", tmp_path / "nowhere")
    assert code == 1 and "no such folder" in said


@pytest.fixture
def grid_file(tiny: Recipe, tmp_path: Path) -> Path:
    """Two methods of the tiny recipe, two seeds."""
    (tmp_path / "tiny.yaml").write_text(tiny.to_yaml())
    alone = {"chain.student.teachers": [], "chain.student.distill": {"selection": "label"}}
    wild = alone | {"chain.student.fit.learning_rate": 1e30}
    tree = {
        "name": "mine",
        "recipe": "tiny.yaml",
        "seeds": [0, 1],
        "baseline": "alone",
        "set": {"chain.student.fit.epochs": 1},
        "tables": {"people": {}},
        "methods": {"alone": {"set": alone}, "wild": {"set": wild}},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_compare_lists_trains_and_tells_what_failed(pskd, grid_file: Path) -> None:
    out = grid_file.parent / "out"
    words = ["compare", grid_file, "--out", out, "--jobs", 1]
    code, printed, _ = pskd(*words, "--dry-run")
    assert code == 0 and printed.split() == [
        f"cells/people/{method}/seed{seed}" for method in ("alone", "wild") for seed in (0, 1)
    ]
    assert not out.exists()
    code, printed, told = pskd(*words)
    assert code == 1
    assert "2 of 4 cells failed: cell people/wild/seed0, cell people/wild/seed1" in told
    assert "the loss of stage 'student' is nan" in told
    assert {"report.html", "people.md", "people.tex", "grid.json", "grid.yaml"} <= {
        path.name for path in out.iterdir()
    }
    code, printed, told = pskd(*words, "--methods", "alone", "--json")
    assert code == 0 and not told  # both are there
    (table,) = json.loads(printed)["tables"]
    assert [method["name"] for method in table["methods"]] == ["alone"]
    again = ["compare", out / "grid.yaml", "--out", out, "--dry-run"]
    assert pskd(*again)[1].split("\n")[:2] == [
        f"cells/people/alone/seed{seed}  done" for seed in (0, 1)
    ]
    code, printed, _ = pskd(*words, "chain.student.fit.epochs=7", "--methods", "alone", "--dry-run")
    assert code == 0 and printed.count("another recipe") == 2
    code, _, told = pskd(*words, "--tables", "people", "--seeds", "7", "--dry-run")
    assert code == 2 and "no table has seed 7" in told
    torn = out / "cells/people/alone/seed1/summary.json"
    whole = torn.read_bytes()
    torn.write_text("{")
    for flags in ((), ("--json",), ("--markdown",)):
        code, printed, told = pskd("report", out, *flags)
        assert code == 1 and "alone" in printed and "a finished cell cannot be read" in told
    torn.write_bytes(whole)
    pskd("report", out)
    before = (out / "people.md").read_text()
    (out / "people.md").unlink()
    code, printed, _ = pskd("report", out)
    assert code == 0 and "alone" in printed and "report.html" in printed
    assert (out / "people.md").read_text() == before
    assert pskd("report", out, "--markdown")[1].strip() == before.strip()
    code, printed, _ = pskd("report", out, "--json", "--out", out.parent / "page.html")
    assert json.loads(printed)["tables"][0]["name"] == "people"
    assert "alone" in (out.parent / "page.html").read_text()
    (out / "people.md").unlink()
    assert pskd("report", out, "--out", out.parent / "page.html")[0] == 0
    assert not (out / "people.md").exists()  # another page leaves the folder as it is
    code, _, told = pskd("report", out, out)
    assert code == 2 and "the folder of a grid among others" in told
    for flags in ((), ("--markdown",), ("--json",)):
        code, _, told = pskd("report", out, "--against", "nobody", *flags)
        assert code == 2 and "no method 'nobody'" in told and "alone" in told
    cell = out / "cells/people/alone/seed0"
    code, _, told = pskd("report", cell, "--against", "alone")
    assert code == 2 and "--against is for the folder of a grid" in told


def test_a_model_of_ones_own_is_trained_evaluated_and_asked(
    pskd, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin, run = tmp_path / "mine.py", tmp_path / "run"
    plugin.write_text(
        "from pskd.models import register\n"
        "from pskd.models.sensor import TemporalCNN\n"
        "@register('mine')\n"
        "class Mine(TemporalCNN):\n"
        "    pass\n"
    )
    (tmp_path / "tiny.yaml").write_text(tiny.to_yaml())
    words = ["chain.student.model={name: mine}", "--out", run, "--plugin", plugin]
    assert pskd("train", tmp_path / "tiny.yaml", *words)[0] == 0
    (tmp_path / "watch.csv").write_text("x,y,z\n" + "0,0,1\n" * 500)
    asked = ["predict", run, tmp_path / "watch.csv", "--rate", "50"]
    for command in (["evaluate", run], asked):
        MODELS.pop("mine", None)  # as in another process
        for name in [name for name in sys.modules if name.startswith("pskd_plugin_mine")]:
            monkeypatch.delitem(sys.modules, name)
        code, _, told = pskd(*command)
        assert code and "unknown model 'mine'" in told, told
        assert pskd(*command, "--plugin", plugin)[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--methods", "aloen"], "unknown method 'aloen'. Did you mean 'alone'?"),
        (["--tables", "t"], "unknown table 't'"),
        (["--seeds", "0,one"], "--seeds '0,one' are not whole numbers"),
        (["--seeds", "77"], "no table has seed 77"),
        (["--data-root", "utdmhad=x"], "unknown dataset 'utdmhad' in --data-root"),
        (["--plugin", "none.py"], "none.py: no such Python file"),
        (["chain.student.fit.epoch=1"], "mine: people, alone: unknown key"),
        (["--engine", "slurm"], "'slurm' is not one of"),
        (["--jobs", "0"], "greater than or equal to 1"),
    ],
)
def test_compare_names_what_is_wrong_before_any_work(
    pskd, grid_file: Path, words: list[str], told: str
) -> None:
    out = grid_file.parent / "out"
    code, _, printed = pskd("compare", grid_file, "--out", out, *words)
    assert code == 2 and told in " ".join(printed.split())
    assert not out.exists()


def test_grids_are_listed_with_what_they_are_about(pskd) -> None:
    code, printed, _ = pskd("grids", "--json")
    assert code == 0
    assert {"demo-methods", "ablations"} <= json.loads(printed).keys()


def test_adapt_writes_a_student_that_predicts_and_says_what_is_known_of_it(
    pskd, run: Path, csv_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    code, printed, told = pskd("adapt", run, csv_file, "--out", out, "--json")
    assert code == 0 and "fewer than 27" in told
    assert json.loads(printed)["windows"] < 27
    config = json.loads((out / "config.json").read_text())
    assert config["accuracy"] is None
    assert "windows without labels" in config["protocol_note"]
    code, printed, _ = pskd("predict", out, csv_file, "--json")
    _, plain, _ = pskd("predict", run, csv_file, "--json")
    assert code == 0 and json.loads(printed)["windows"] != json.loads(plain)["windows"]


def test_adapt_writes_over_nothing_and_names_a_short_file(
    pskd, run: Path, csv_file: Path, tmp_path: Path
) -> None:
    code, _, told = pskd("adapt", run, csv_file, "--out", run)
    assert code == 2 and "is there already" in told
    code, _, told = pskd("adapt", run, csv_file, csv_file, "--out", tmp_path / "none")
    assert code == 2 and "is named twice" in told
    short = tmp_path / "short.csv"
    short.write_text("\n".join(csv_file.read_text().splitlines()[:12]))
    code, _, told = pskd("adapt", run, short, "--out", tmp_path / "none", "--unit", "m/s2")
    assert code == 1 and "short.csv" in told
    assert not (tmp_path / "none").exists()
