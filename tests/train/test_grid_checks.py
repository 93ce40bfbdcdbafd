"""What a grid may not be: found before anything is trained, with what and where."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pskd.errors import CheckpointError, UsageError
from pskd.recipe import Recipe
from pskd.recipe.grid import Cell, Grid, cells, load_grid
from pskd.train.grid import compare
from pskd.train.grid_checks import state_of

ALONE = {"chain.student.teachers": [], "chain.student.distill": {"selection": "label"}}


@pytest.fixture(scope="module")
def base(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    (folder / "tiny.yaml").write_text(tiny.to_yaml())
    return folder


def make(**more: Any) -> Grid:
    tree = {
        "name": "g",
        "recipe": "tiny.yaml",
        "seeds": [0],
        "set": {"chain.student.fit.epochs": 1},
        "tables": {"t": {}},
        "methods": {"alone": {"set": ALONE}},
    }
    return Grid.model_validate(tree | more)


def go(grid: Grid, base: Path, out: Path, cache: Path, notices: list[str] | None = None) -> None:
    places: dict[str, Any] = {"out": out, "data_roots": {}, "cache": cache, "workers": 1}
    told = [] if notices is None else notices
    recipes = {"tiny.yaml": base / "tiny.yaml"}
    done = list(compare(grid, cells(grid, base), recipes=recipes, notice=told.append, **places))
    assert not [outcome.error for outcome in done if outcome.error]


@pytest.fixture(scope="module")
def done(base: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished grid of one cell; tests leave it as it was."""
    out = tmp_path_factory.mktemp("grids") / "g"
    go(make(), base, out, cache)
    return out


def the_cell(base: Path, **more: Any) -> Cell:
    return cells(make(**more), base)[0]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"train": [1, 3], "test": [2]}, r"t, fold b: a\d+_s2_t1 is tested here and in fold a"),
        ({"train": [1], "test": [99]}, r"t, fold b: .*99"),
        ({"train": [1, 2], "test": [2]}, r"t, fold b: "),
    ],
)
def test_every_fold_is_looked_at_before_anything_is_trained(
    base: Path, cache: Path, tmp_path: Path, second: dict[str, Any], words: str
) -> None:
    first = {"protocol.options": {"train": [1], "test": [2]}}
    table = {"folds": {"a": first, "b": {"protocol.options": second}}}
    with pytest.raises(Exception, match=words) as caught:
        go(make(tables={"t": table}), base, tmp_path / "g", cache)
    assert type(caught.value).__module__ == "pskd.errors"
    assert not (tmp_path / "g").exists()


def test_the_key_in_which_another_recipe_differs_is_named(
    base: Path, done: Path, cache: Path
) -> None:
    other = make(set={"chain.student.fit.epochs": 4})
    with pytest.raises(UsageError, match=r"chain\.student\.fit\.epochs is 1 there, 4 now") as error:
        go(other, base, done, cache)
    assert "delete" not in str(error.value)
    assert state_of(done, cells(other, base)[0]) == "another recipe"
    assert state_of(done, the_cell(base)) == "done"
    assert state_of(done, the_cell(base, seeds=[5])) == ""


def test_the_folder_of_a_grid_is_enough_to_go_on(base: Path, cache: Path, tmp_path: Path) -> None:
    """Overrides and the base recipe are kept with it."""
    grid = make(overrides=("chain.student.fit.epochs=2",))
    go(grid, base, tmp_path, cache)
    kept = cells(*load_grid(tmp_path / "grid.yaml"))
    assert kept == cells(grid, base)
    assert [state_of(tmp_path, cell) for cell in kept] == ["done"]


def test_another_grid_of_the_same_name_is_refused_and_tables_that_go_are_told(
    base: Path, done: Path, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"holds another grid, of t\. Choose another --out"):
        go(make(tables={"u": {}}), base, done, cache)
    assert [t["name"] for t in json.loads((done / "grid.json").read_text())["tables"]] == ["t"]
    shutil.copytree(done, tmp_path / "g")
    notices: list[str] = []
    go(make(tables={"t": {}, "u": {"seeds": [1]}}), base, tmp_path / "g", cache, notices)
    assert notices == []
    go(make(tables={"u": {"seeds": [1]}}), base, tmp_path / "g", cache, notices)
    assert notices == [f"{tmp_path / 'g'}: no longer listed are the tables t; their cells are kept"]
    assert state_of(tmp_path / "g", the_cell(base)) == "done"


@pytest.mark.parametrize("name", ["recipe.yaml", "environment.json"])
def test_a_torn_file_of_a_finished_cell_is_mended_by_the_grids_command(
    base: Path, done: Path, cache: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(done, tmp_path / "g")
    (tmp_path / "g" / the_cell(base).path / name).write_text("{")
    with pytest.raises(CheckpointError, match=rf"{name}.*Remove the cell's folder and run its"):
        go(make(seeds=[0, 1]), base, tmp_path / "g", cache)
