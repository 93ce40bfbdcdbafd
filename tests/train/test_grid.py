"""Many runs: shared, skipped, taken up, and failing one by one."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pskd.cli.grids import write_study
from pskd.distill.losses import LOSSES
from pskd.errors import CheckpointError, UsageError
from pskd.evaluate.study import load_study, study_markdown
from pskd.recipe import Recipe, parse_recipe
from pskd.recipe.grid import Cell, Grid, cells, select
from pskd.train import checkpoint
from pskd.train import grid as grid_module
from pskd.train.grid import Outcome, compare, plan
from pskd.train.plugins import load_plugins
from pskd.train.run import train
from pskd.train.stages import stage_key, stages
from pskd.train.tasks import is_finished

METHODS = {
    "alone": {"chain.student.teachers": [], "chain.student.distill": {"selection": "label"}},
    "kd": {"chain.student.teachers": ["fused"], "chain.student.distill": {"selection": "average"}},
    "at": {
        "chain.student.teachers": ["fused"],
        "chain.student.distill": {"selection": "label", "losses": [{"name": "at"}]},
    },
}


@pytest.fixture(scope="module")
def base(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny recipe without its longest link, as a file."""
    chain = [stage for stage in tiny.model_dump(mode="json")["chain"] if stage["name"] != "sensor"]
    chain[-1]["teachers"] = ["skeleton", "fused"]
    path = tmp_path_factory.mktemp("base") / "tiny.yaml"
    path.write_text(parse_recipe(tiny.model_dump() | {"chain": chain}, "tiny").to_yaml())
    return path


def make(base: Path, methods: dict[str, Any], seeds: Sequence[int] = (0,), **more: Any) -> Grid:
    tree = {"name": "g", "recipe": str(base), "seeds": list(seeds), "tables": {"t": {}}}
    named = {name: {"set": changes} for name, changes in methods.items()}
    return Grid.model_validate(tree | {"methods": named} | more)


def go(grid: Grid, out: Path, cache: Path, **more: Any) -> list[Outcome]:
    every = cells(grid)
    wanted = select(grid, every, methods=more.pop("methods", None))
    places: dict[str, Any] = {"out": out, "data_roots": {}, "cache": cache}
    return list(compare(grid, every, wanted=wanted, **places, workers=1, **more))


@pytest.fixture(scope="module")
def done(base: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished grid; tests leave it as it was."""
    out = tmp_path_factory.mktemp("grids") / "g"
    assert not [o.error for o in go(make(base, METHODS), out, cache) if o.error]
    return out


def state(out: Path) -> dict[str, tuple[str, str]]:
    tree = json.loads((out / "grid.json").read_text())
    return {cell["method"]: (cell["state"], cell["error"]) for cell in tree["cells"]}


def test_a_cell_has_the_very_predictions_of_its_recipe_trained_by_itself(
    base: Path, done: Path, cache: Path, tmp_path: Path
) -> None:
    for cell in cells(make(base, METHODS)):
        alone = train(cell.recipe, data_root=None, out=tmp_path / cell.method, cache=cache)
        files = sorted(p.name for p in (alone / "predictions").iterdir())
        assert files == sorted(p.name for p in (done / cell.path / "predictions").iterdir())
        for name in files:
            mine, theirs = (folder / "predictions" / name for folder in (alone, done / cell.path))
            assert mine.read_bytes() == theirs.read_bytes(), (cell.method, name)


def test_every_stage_is_trained_once(base: Path, done: Path) -> None:
    wanted = cells(make(base, METHODS))
    keys = {stage_key(c.recipe, stage) for c in wanted for stage in stages(c.recipe)}
    assert (
        len(list((done / "stages").glob("*.ckpt")))
        == len(keys)
        < sum(len(stages(c.recipe)) for c in wanted)
    )
    assert not (done / "lessons").exists()  # nobody needs them any more


def test_the_plan_has_each_thing_once_and_after_what_it_needs(base: Path) -> None:
    tasks = plan(cells(make(base, METHODS, seeds=(0, 1))))
    names = [str(task) for task in tasks]
    assert len(set(names)) == len(names)
    for seed in (0, 1):
        own = [n for n in names if f"seed {seed}," in n]
        assert own.index(f"skeleton, seed {seed}, cross_subject") < own.index(
            f"fused, seed {seed}, cross_subject"
        )
        assert f"lessons of fused for student, seed {seed}, cross_subject" in own
        assert not any("lessons of skeleton" in n for n in own)  # only the fused teacher hears it
    assert [str(t) for t in tasks[-6:]] == [f"cell t/{m}/seed{s}" for m in METHODS for s in (0, 1)]
    features = [task.features for task in tasks if task.teacher]
    assert features == [True, True]  # attention transfer looks at them


def test_finished_cells_are_skipped_and_one_that_is_missing_is_made_from_its_stages(
    base: Path, done: Path, cache: Path
) -> None:
    grid = make(base, METHODS)
    assert go(grid, done, cache) == []
    stages_before = {p: p.stat().st_mtime_ns for p in (done / "stages").glob("*.ckpt")}
    kd = next(cell for cell in cells(grid) if cell.method == "kd")
    before = (done / kd.path / "predictions" / "student.csv").read_bytes()
    (done / kd.path / "report.html").unlink()
    again = go(grid, done, cache)
    assert [str(o.task) for o in again if o.task.cell] == ["cell t/kd/seed0"]
    assert is_finished(done, kd)
    assert (done / kd.path / "predictions" / "student.csv").read_bytes() == before
    assert {p: p.stat().st_mtime_ns for p in (done / "stages").glob("*.ckpt")} == stages_before


def test_a_table_is_not_gone_on_with_on_other_clips(
    base: Path, done: Path, cache: Path, tmp_path: Path
) -> None:
    shutil.copytree(done, out := tmp_path / "g")
    alone, kd, _ = cells(make(base, METHODS))
    (out / kd.path / "report.html").unlink()  # it is to be trained
    environment = json.loads((out / alone.path / "environment.json").read_text())
    assert environment["data"].pop("clips") == 2
    (out / alone.path / "environment.json").write_text(json.dumps(environment))
    words = r"alone/seed0: .*another version of clips \(unrecorded\) than .* \(2\)"
    with pytest.raises(UsageError, match=words):
        go(make(base, METHODS), out, cache)


def test_a_cell_that_was_unpacked_in_part_is_not_finished(
    base: Path, done: Path, tmp_path: Path
) -> None:
    shutil.copytree(done, tmp_path / "g")
    cell = cells(make(base, METHODS))[0]
    folder = tmp_path / "g" / cell.path
    (folder / "report.html").unlink()
    shutil.rmtree(folder / "checkpoints")
    assert is_finished(tmp_path / "g", cell)
    shutil.rmtree(folder / "predictions")
    assert not is_finished(tmp_path / "g", cell)


KEPT = ("summary.json", "recipe.yaml", "environment.json", "metrics.jsonl")


def test_cells_that_were_kept_without_their_weights_are_finished_and_need_no_data(
    base: Path, done: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(done, tmp_path / "g")
    shutil.rmtree(tmp_path / "g" / "stages")
    for path in (tmp_path / "g" / "cells").rglob("*"):
        if path.is_file() and path.name not in KEPT and path.parent.name != "predictions":
            path.unlink()
    for path in (tmp_path / "g" / "cells").rglob("checkpoints"):
        path.rmdir()
    monkeypatch.setattr(grid_module, "data_of", None)
    assert go(make(base, METHODS), tmp_path / "g", cache) == []
    assert {word for word, _ in state(tmp_path / "g").values()} == {"done"}
    before, after = (study_markdown(load_study(out).tables[0]) for out in (done, tmp_path / "g"))
    assert after == before
    write_study(tmp_path / "g")
    for cell in cells(make(base, METHODS)):  # the pages are made again
        assert (tmp_path / "g" / cell.path / "report.html").stat().st_size > 10_000


def test_a_cell_that_fails_is_told_of_and_the_rest_finish(
    base: Path, cache: Path, tmp_path: Path
) -> None:
    bad = METHODS | {"wild": METHODS["kd"] | {"chain.student.fit.learning_rate": 1e30}}
    outcomes = go(make(base, bad), tmp_path / "g", cache)
    (failed,) = [o for o in outcomes if o.error]
    assert str(failed.task) == "cell t/wild/seed0"
    assert "loss of stage 'student' is nan" in str(failed.error)
    assert "learning_rate" in str(failed.error)
    states = state(tmp_path / "g")
    assert [states[name][0] for name in bad] == ["done", "done", "done", "failed"]
    assert states["wild"][1] == failed.error
    again = go(make(base, bad), tmp_path / "g", cache)
    assert [str(o.task) for o in again if o.task.cell] == ["cell t/wild/seed0"]  # and only it


def test_a_teacher_that_fails_fails_those_that_need_it_without_being_tried_twice(
    base: Path, cache: Path, tmp_path: Path
) -> None:
    grid = make(base, METHODS, set={"chain.fused.fit.learning_rate": 1e30})
    outcomes = go(grid, tmp_path / "g", cache)
    assert {name: word for name, (word, _) in state(tmp_path / "g").items()} == {
        "alone": "done",
        "kd": "failed",
        "at": "failed",
    }
    for outcome in outcomes:
        if outcome.error:
            assert "stage 'fused'" in outcome.error and outcome.error.count("Lower") == 1


def test_a_folder_of_another_recipe_is_refused_before_any_work(
    base: Path, done: Path, cache: Path
) -> None:
    other = make(base, METHODS, set={"chain.student.fit.epochs": 4})
    with pytest.raises(UsageError, match=r"cells/t/alone/seed0.*another recipe.*--out"):
        go(other, done, cache)
    assert {word for word, _ in state(done).values()} == {"done"}


def test_cells_of_another_recipe_that_are_left_alone_are_not_the_grids(
    base: Path, done: Path, cache: Path, tmp_path: Path
) -> None:
    """Asked for one method, with other epochs than those of the cells that lie there."""
    shutil.copytree(done, tmp_path / "g")
    shutil.rmtree(tmp_path / "g" / "cells" / "t" / "alone")
    other = make(base, METHODS, set={"chain.student.fit.epochs": 2})
    assert not [o.error for o in go(other, tmp_path / "g", cache, methods=["alone"]) if o.error]
    states = state(tmp_path / "g")
    assert states["alone"] == ("done", "")
    for name in ("kd", "at"):
        assert states[name][0] != "done" and "another recipe" in states[name][1]


def test_other_words_about_a_method_make_no_other_recipe(
    base: Path, done: Path, cache: Path
) -> None:
    grid = make(base, METHODS)
    named = {name: m.model_copy(update={"about": "new"}) for name, m in grid.methods.items()}
    assert go(grid.model_copy(update={"methods": named}), done, cache) == []


def test_a_folder_that_is_no_grid_is_left_alone(base: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"no grid.*--out"):
        go(make(base, METHODS), tmp_path, cache)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_teacher_of_other_settings_is_named_and_only_its_cells_fail(
    base: Path, done: Path, cache: Path, tmp_path: Path
) -> None:
    grid = make(base, METHODS, seeds=(5,))
    by_name = {cell.method: cell.recipe for cell in cells(grid)}
    key = {s.name: stage_key(by_name["kd"], s) for s in stages(by_name["kd"])}["fused"]
    place = tmp_path / "g" / "stages" / f"{key[:24]}.ckpt"
    place.parent.mkdir(parents=True)
    (tmp_path / "g" / "grid.yaml").write_text("")
    foreign = next(iter((done / "stages").glob("*.ckpt")))
    place.write_bytes(foreign.read_bytes())
    go(grid, tmp_path / "g", cache)
    states = state(tmp_path / "g")
    assert states["alone"] == ("done", "")
    for name in ("kd", "at"):
        word, error = states[name]
        assert word == "failed" and place.name in error and "same settings" in error


def test_what_finished_before_the_disk_was_full_stays(
    base: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = checkpoint.write_atomic

    def full(path: Path, content: bytes, **more: Any) -> None:
        if "/kd/" in str(path):
            reason = os.strerror(errno.ENOSPC)
            raise CheckpointError(f"cannot be written ({reason})", where=path, remedy="Free some")
        whole(path, content, **more)

    monkeypatch.setattr(checkpoint, "write_atomic", full)
    go(make(base, METHODS), tmp_path / "g", cache)
    states = state(tmp_path / "g")
    assert states["alone"][0] == states["at"][0] == "done"
    assert states["kd"][0] == "failed" and "No space left" in states["kd"][1]
    monkeypatch.undo()
    go(make(base, METHODS), tmp_path / "g", cache)
    assert {word for word, _ in state(tmp_path / "g").values()} == {"done"}


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ({"name": "rkdd"}, r"t, bad: chain.student.distill.losses.0: unknown loss 'rkdd'.*rkd"),
        ({"name": "kd", "options": {"temprature": 2}}, r"no option 'temprature'.*'temperature'"),
        ({"name": "cc", "options": {"gamma": "x"}}, r"t, bad: .*distill: the loss does not run"),
        ({"name": "cc", "options": {"gamma": 1e40}}, r"distill: the loss 'cc' is (nan|inf)"),
    ],
)
def test_a_loss_that_cannot_be_is_refused_before_any_work(
    base: Path, cache: Path, tmp_path: Path, loss: dict[str, Any], words: str
) -> None:
    changes = METHODS["kd"] | {"chain.student.distill": {"losses": [loss]}}
    with pytest.raises(UsageError, match=words):
        go(make(base, {"alone": METHODS["alone"], "bad": changes}), tmp_path / "g", cache)
    assert not (tmp_path / "g").exists()


def test_what_one_command_leaves_out_stays_in_the_list(
    base: Path, cache: Path, tmp_path: Path
) -> None:
    bad = METHODS | {"wild": METHODS["kd"] | {"chain.student.fit.learning_rate": 1e30}}
    grid, out = make(base, bad), tmp_path / "g"
    go(grid, out, cache, methods=["wild"])
    go(grid, out, cache, methods=["alone"])
    states = state(out)
    assert {name: word for name, (word, _) in states.items()} == {
        "alone": "done",
        "kd": "missing",
        "at": "missing",
        "wild": "failed",
    }
    assert "loss of stage" in states["wild"][1]  # what the first command found
    with pytest.raises(UsageError, match=r"no cell is left.*--methods"):
        go(grid, out, cache, methods=[])


def test_what_another_command_finds_meanwhile_stays_in_the_list(
    base: Path, cache: Path, tmp_path: Path
) -> None:
    bad = METHODS | {"wild": METHODS["kd"] | {"chain.student.fit.learning_rate": 1e30}}
    grid, out = make(base, bad), tmp_path / "g"
    places: dict[str, Any] = {"out": out, "data_roots": {}, "cache": cache, "workers": 1}
    every = cells(grid)
    slow = compare(grid, every, wanted=select(grid, every, methods=["alone", "at"]), **places)
    next(slow)  # it has begun
    go(grid, out, cache, methods=["wild"])
    list(slow)
    states = state(out)
    assert states["alone"][0] == states["at"][0] == "done"
    assert "loss of stage" in states["wild"][1]


def test_a_book_without_features_does_not_hinder_a_loss_that_asks_for_them(
    base: Path, cache: Path, tmp_path: Path
) -> None:
    two = {"kd": METHODS["kd"], "kd2": METHODS["kd"] | {"chain.student.distill.temperature": 3.0}}
    grid, out = make(base, two | {"at": METHODS["at"]}), tmp_path / "g"
    outcomes = go(grid, out, cache, methods=["kd", "kd2"])
    assert any(o.task.teacher and not o.task.features for o in outcomes)
    assert not [o.error for o in go(grid, out, cache, methods=["at"]) if o.error]


def test_two_commands_on_one_folder_share_the_work(base: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "g"
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(subprocess.run, _command(base, out, cache)) for _ in range(2)]
    assert [done.result().returncode for done in both] == [0, 0]
    assert {word for word, _ in state(out).values()} == {"done"}


def _command(base: Path, out: Path, cache: Path) -> list[str]:
    (out.parent / "g.yaml").write_text(make(base, METHODS).to_yaml())
    code = (
        f"import os; os.environ['PSKD_CACHE'] = {str(cache)!r}; from pskd.cli import main; main()"
    )
    words = ["compare", str(out.parent / "g.yaml"), "--out", str(out), "--jobs", "1"]
    return [sys.executable, "-c", code, *words]


PLUGIN = """
from torch import Tensor, nn

from pskd.distill.losses import register


@register("my_hint")
class MyHint(nn.Module):
    def __init__(self, power: float = 2.0) -> None:
        super().__init__()
        self.power = power

    def forward(self, student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
        return (student_embedding - teacher_embedding).abs().pow(self.power).mean(1)
"""


def test_a_method_of_ones_own_is_one_file(base: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    losses = [{"name": "my_hint", "weight": 0.5, "options": {"power": 1.0}}]
    changes = METHODS["kd"] | {"chain.student.distill": {"selection": "label", "losses": losses}}
    grid = make(base, {"mine": changes})
    outcomes = go(grid, tmp_path / "g", cache, plugins=[tmp_path / "mine.py"])
    assert not [o.error for o in outcomes if o.error]
    (cell,) = cells(grid)
    rows = _rows(tmp_path / "g", [cell])
    terms = [row["terms"]["my_hint"] for row in rows if row["stage"] == "student"]
    assert len(terms) == 3 and min(terms) > 0


def test_a_plugin_does_not_take_the_name_of_another(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine.py", tmp_path / "theirs.py"
    mine.write_text(PLUGIN)
    load_plugins([mine])
    mine.write_text(PLUGIN + "# changed\n")
    load_plugins([mine])
    hint, kd = LOSSES["my_hint"], LOSSES["kd"]
    for name, whose in (("my_hint", "pskd_plugin_mine_"), ("kd", r"pskd\.distill\.losses\.kd")):
        theirs.write_text(PLUGIN.replace("my_hint", name))
        with pytest.raises(UsageError, match=rf"theirs\.py: registers '{name}', which {whose}"):
            load_plugins([theirs])
    assert (LOSSES["my_hint"], LOSSES["kd"]) == (hint, kd)


def _rows(out: Path, some: Iterable[Cell]) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for cell in some
        for line in (out / cell.path / "metrics.jsonl").read_text().splitlines()
    ]
