"""A grid: which cells it has, what each changes, and what is wrong with one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pskd.errors import UsageError
from pskd.recipe import Schedule, load_recipe, shipped
from pskd.recipe.grid import Grid, cells, load_grid, select

TREE: dict[str, Any] = {
    "format": 1,
    "name": "mine",
    "recipe": "demo",
    "set": {"clips.samples": 32, "chain.student.fit.epochs": 3},
    "seeds": [0, 7],
    "baseline": "alone",
    "tables": {
        "plain": {},
        "folds": {
            "set": {"clips.samples": 48},
            "folds": {
                "s1": {"protocol": {"name": "leave_one_subject_out", "options": {"held_out": 1}}},
                "s2": {"protocol": {"name": "leave_one_subject_out", "options": {"held_out": 2}}},
            },
            "seeds": [3],
            "methods": ["kd", "alone"],
        },
    },
    "methods": {
        "alone": {"set": {"chain.student.teachers": []}},
        "kd": {"about": "one teacher", "set": {"chain.student.teachers": ["fused"]}},
        "long": {"set": {"chain.student.fit.epochs": 9}},
    },
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(TREE | changes, sort_keys=False))
    return path


def load(folder: Path, **changes: Any) -> Grid:
    return load_grid(write(folder, **changes))[0]


@pytest.mark.parametrize("name", shipped("grid"))
def test_every_shipped_grid_has_cells_whose_recipes_hold(name: str) -> None:
    grid, _ = load_grid(name)
    made = cells(grid)
    assert grid.name == name and grid.about
    assert len({cell.path for cell in made}) == len(made) > 1
    said = [
        (c.table, c.recipe.model_dump_json(exclude={"name", "about"}))
        for c in made
        if c.seed == made[0].seed
    ]
    assert len(set(said)) == len(said)  # no method twice under two names


def test_cells_are_tables_times_methods_times_folds_times_seeds(tmp_path: Path) -> None:
    made = cells(load(tmp_path))
    names = [(c.table, c.method, c.fold, c.seed) for c in made]
    assert names == [
        *(("plain", m, "", s) for m in ("alone", "kd", "long") for s in (0, 7)),
        *(("folds", m, f, 3) for m in ("kd", "alone") for f in ("s1", "s2")),
    ]
    assert [c.path.as_posix() for c in made if c.method == "kd"] == [
        "cells/plain/kd/seed0",
        "cells/plain/kd/seed7",
        "cells/folds/kd/s1-seed3",
        "cells/folds/kd/s2-seed3",
    ]


def test_later_changes_win_and_the_base_stays_as_it_is(tmp_path: Path) -> None:
    by_name = {(c.table, c.method, c.seed): c.recipe for c in cells(load(tmp_path))}
    assert by_name["plain", "kd", 7].seed == 7
    assert by_name["plain", "kd", 0].clips.samples == 32
    assert by_name["folds", "kd", 3].clips.samples == 48
    assert by_name["plain", "kd", 0].student.fit.epochs == 3
    assert by_name["plain", "long", 0].student.fit.epochs == 9
    assert by_name["plain", "kd", 0].name == "kd"
    write(tmp_path, seeds=[1], overrides=["chain.student.fit.epochs=1", "clips.frames=16"])
    grid, _ = load_grid(tmp_path / "grid.yaml", ["chain.student.fit.epochs=2"])
    every = cells(grid)
    (changed,) = select(grid, every, methods=["long"], tables=["plain"])
    assert changed.recipe.student.fit.epochs == 2 and changed.recipe.clips.frames == 16
    (tmp_path / "again.yaml").write_text(grid.to_yaml())
    assert cells(load_grid(tmp_path / "again.yaml")[0]) == every
    assert load_recipe("demo").student.fit.epochs == 60


def test_a_table_may_leave_methods_out(tmp_path: Path) -> None:
    made = cells(load(tmp_path, tables={"plain": {"without": ["kd"]}}))
    assert list(dict.fromkeys(cell.method for cell in made)) == ["alone", "long"]


def test_null_takes_a_teacher_out_and_leaves_the_others_as_the_recipe_has_them(
    tmp_path: Path,
) -> None:
    fades = [{"stage": "skeleton", "weight": {"start": 1, "end": 0}}, "fused", "sensor"]
    methods = TREE["methods"] | {"two": {"set": {"chain.student.teachers.fused": None}}}
    changes = {"methods": methods, "set": {"chain.student.teachers": fades}}
    made = cells(load(tmp_path, **changes))
    (two,) = (c.recipe for c in made if c.method == "two" and c.seed == 0)
    assert [t.stage for t in two.student.teachers] == ["skeleton", "sensor"]
    assert two.student.teachers[0].weight == Schedule(start=1, end=0)
    twice = {"chain.student.teachers.fused": None, "chain.student.teachers.2": None}
    with pytest.raises(UsageError, match=r"mine: plain, two.*nothing is called '2'"):
        cells(load(tmp_path, **changes | {"methods": methods | {"two": {"set": twice}}}))


def test_cells_have_one_thread_unless_the_grid_says_otherwise(tmp_path: Path) -> None:
    assert load_recipe("demo").compute.threads == 2
    for more, threads in (({}, 1), ({"set": {"compute.threads": 3}}, 3)):
        grid = load(tmp_path, recipe="demo", **more)
        assert {cell.recipe.compute.threads for cell in cells(grid)} == {threads}


def test_cells_of_some_seeds(tmp_path: Path) -> None:
    grid = load(tmp_path)
    some = select(grid, cells(grid), tables=["plain"], seeds=[7])
    assert {cell.seed for cell in some} == {7}
    assert {cell.method for cell in some} == {"alone", "kd", "long"}


def test_stages_that_do_not_reach_the_student_are_left_out(tmp_path: Path) -> None:
    chains = {c.method: [s.name for s in c.recipe.chain] for c in cells(load(tmp_path))}
    assert chains == {
        "alone": ["student"],
        "kd": ["skeleton", "fused", "student"],  # the fused teacher has learnt from the skeleton's
        "long": ["skeleton", "fused", "sensor", "student"],
    }


def test_a_recipe_beside_the_grid_is_found(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(load_recipe("demo", ["embedding=17"]).to_yaml())
    grid, beside = load_grid(write(tmp_path, recipe="own.yaml"))
    assert {c.recipe.embedding for c in cells(grid, beside)} == {17}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"baseline": "alon"}, r"baseline 'alon'.*table 'plain'.*'alone'"),
        ({"tables": {"t": {"methods": ["kdd"]}}}, r"table 't' has an unknown method 'kdd'.*'kd'"),
        ({"tables": {"t": {"without": ["kdd"]}}}, r"table 't' has an unknown method 'kdd'.*'kd'"),
        ({"tables": {"t": {"without": ["alone", "kd", "long"]}}}, r"table 't' has no method left"),
        ({"tables": {"t": {"without": ["alone"]}}}, r"baseline 'alone' is no method of table 't'"),
        ({"format": 2}, r"format 2 is newer.*update pskd"),
        ({"seedz": [1]}, r"unknown key 'seedz'.*'seeds'"),
        ({"methods": {"kd": {"sett": {}}}}, r"unknown key 'methods.kd.sett'.*'set'"),
        ({"tables": {"t": {"fold": {}}}}, r"unknown key 'tables.t.fold'.*'folds'"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [0, 0]}, r"table 'plain' names one of its seeds twice"),
        ({"tables": {"t": {"methods": ["kd", "kd"]}}}, r"table 't' names one of its methods twice"),
        ({"methods": {"a/b": {}}}, "methods"),
    ],
)
def test_a_grid_that_does_not_hold_names_what_and_the_nearest(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        load(tmp_path, **changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chain.studnt.fit": {}}, r"mine: plain, kd: chain.studnt.fit.*'student'"),
        ({"chain.student.fit.epoch": 1}, r"mine: plain, kd: unknown key.*epoch.*'epochs'"),
        ({"chain.student.teachers": ["fusd"]}, r"mine: plain, kd:.*'fusd'.*'fused'"),
        (
            {"chain.student.distill": {"losses": [{"name": "sp", "teachers": ["skeleton"]}]},
             "chain.student.teachers": ["fused"]},
            r"loss 'sp'.*'skeleton', which does not teach it.*fused",
        ),
    ],
)  # fmt: skip
def test_a_change_that_leads_nowhere_names_its_cell(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    methods = TREE["methods"] | {"kd": {"set": change}}
    with pytest.raises(UsageError, match=words):
        cells(load(tmp_path, methods=methods))


def test_unknown_methods_and_tables_and_grids_name_the_nearest(tmp_path: Path) -> None:
    grid = load(tmp_path)
    with pytest.raises(UsageError, match=r"unknown method 'lng'.*'long'"):
        select(grid, cells(grid), methods=["lng"])
    with pytest.raises(UsageError, match=r"unknown table 'fold'.*'folds'"):
        select(grid, cells(grid), tables=["fold"])
    with pytest.raises(UsageError, match=r"no table has seed 9.*Choose from 0, "):
        select(grid, cells(grid), seeds=[0, 9])
    with pytest.raises(UsageError, match=r"unknown grid 'demo-method'.*'demo-methods'"):
        load_grid("demo-method")


@pytest.mark.parametrize("key", ["seed", "name", "about"])
def test_what_the_grid_says_is_not_a_recipes_to_say(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match=rf"mine: plain, alone: '{key}' is not a method's to set"):
        cells(load_grid(write(tmp_path), [f"{key}=7"])[0])


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"labelled": 1.0}, r"labelled is 1.0 against 0.25"),
        ({"test.noise": 0.1}, r"test.noise is 0.1 against 0.0"),
        ({"clips.frames": 16}, r"clips.frames is 16 against 32"),
        ({"protocol.options.train": [1]}, r"protocol.options.train is \[1\] against"),
    ],
)
def test_a_table_does_not_mix_what_is_trained_on_or_tested(
    tmp_path: Path, change: dict[str, Any], key: str
) -> None:
    methods = TREE["methods"] | {"other": {"set": change}}
    with pytest.raises(UsageError, match=rf"other and alone cannot share table 'plain': {key}"):
        cells(load(tmp_path, methods=methods))
    free = {"plain": {"varies": [next(iter(change))]}}
    assert len(cells(load(tmp_path, methods=methods, tables=free))) == 8


LEFT_OUT = {"name": "leave_one_subject_out"}


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"protocol.options": {"held_out": 1}}, "folds a and b of table 'f' are the same"),
        (
            {"protocol.options": {"held_out": 2}, "labelled": 0.5},
            r"folds a and b of table 'f' cannot be pooled: labelled is 0.5 against 0.25",
        ),
        (
            {"protocol.options": {"held_out": 2}, "chain.student.fit.epochs": 9},
            r"cannot be pooled: chain.student.fit.epochs is 9 against 3",
        ),
        ({"protocol": {"name": "trial_split"}}, r"cannot be pooled: protocol.name is trial_split"),
        (
            {"protocol.options": {"held_out": 2}, "dataset.options": {"subjects": 6}},
            r"cannot be pooled: dataset.options.subjects is 6 against absent",
        ),
    ],
)
def test_folds_that_cannot_be_pooled_are_refused_before_anything_is_trained(
    tmp_path: Path, second: dict[str, Any], words: str
) -> None:
    table = {
        "set": {"protocol": LEFT_OUT},
        "folds": {"a": {"protocol.options": {"held_out": 1}}, "b": second},
    }
    with pytest.raises(UsageError, match=words):
        cells(load(tmp_path, tables={"f": table}))


def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path)
    text = path.read_text()
    path.write_text(text.replace("  kd:\n    about", "  alone:\n    about"))
    line = path.read_text().splitlines().index("  alone:", text.splitlines().index("methods:") + 2)
    with pytest.raises(UsageError, match=rf"line {line + 1}: the key 'alone' is there twice"):
        load_grid(path)


def test_a_choice_that_leaves_no_cell_is_refused(tmp_path: Path) -> None:
    grid = load(tmp_path)
    with pytest.raises(UsageError, match="no cell is left"):
        select(grid, cells(grid), tables=["folds"], seeds=[7])
