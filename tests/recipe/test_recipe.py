"""Recipes: what ships loads, overrides land where they should, mistakes are named."""

from pathlib import Path

import pytest
import yaml

from pskd.errors import UsageError
from pskd.models import Signal, build
from pskd.recipe import Recipe, Schedule, load_recipe, parse_recipe, shipped

MINIMAL = {
    "name": "mine",
    "dataset": {"name": "simulated"},
    "protocol": {"name": "cross_subject"},
    "chain": [
        {"name": "body", "model": {"name": "skeleton_gcn"}},
        {"name": "student", "model": {"name": "temporal_cnn"}, "teachers": ["body"]},
    ],
}


def problem(**changes: object) -> str:
    with pytest.raises(UsageError) as caught:
        parse_recipe({**MINIMAL, **changes}, "mine.yaml")
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_recipe_loads_and_builds_its_models(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.about
    for stage in recipe.chain:
        build(stage.model.name, Signal(classes=5), **stage.model.options)


def test_a_resolved_recipe_reads_back_the_same(tmp_path: Path) -> None:
    recipe = load_recipe("demo", ["chain.student.distill.logits={start: 1, end: 0}"])
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    assert load_recipe(path) == recipe
    assert recipe.student.distill.logits == Schedule(start=1, end=0)


def test_overrides_reach_stages_by_name_and_new_keys() -> None:
    recipe = load_recipe(
        "demo",
        [
            "seed=7",
            "views.mixup=0.5",
            "chain.student.fit.epochs=3",
            "chain.0.name=body",
            "chain.fused.teachers=[]",
            "chain.sensor.teachers=[fused]",
            "chain.student.teachers=[{stage: body, weight: 0.5}]",
        ],
    )
    assert (recipe.seed, recipe.student.fit.epochs, recipe.views.mixup) == (7, 3, 0.5)
    assert recipe.student.teachers[0].weight == 0.5


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed", ["no override", "seed=3"]),
        ("chain.studnt.fit.epochs=3", ["'studnt'", "student"]),
        ("chain.student.fit.epoch=3", ["chain.student.fit.epoch", "'epochs'"]),
        ("sed=3", ["'sed'", "'seed'"]),
        ("Seed=3", ["'Seed'", "'seed'"]),
        ("chain.student.distill.logits={Strt: 1}", ["logits.Strt", "'start'"]),
        ("seed=2026-99-99", ["seed", "not YAML"]),
        ("chain.student.distill.selection=asc", ["selection", "'acs'"]),
        ("chain.student.fit.epochs=0", ["epochs", "not 0"]),
        ("chain.student.distill.logits={strt: 1}", ["logits.strt", "'start'"]),
        ("seed=[", ["seed", "not YAML"]),
        ("name.x=1", ["'name'", "no keys"]),
        ("clips.samples=fast", ["clips.samples", "'fast'"]),
        ("views.noise=.inf", ["views.noise", "finite"]),
        ("seed.x=3", ["seed", "=VALUE"]),
        ("name=../elsewhere", ["name", "'../elsewhere'"]),
        ("dataset=3", ["dataset", "name, options"]),
        ("chain.student.distill.logits={start: 1}", ["logits.end", "missing"]),
        ("chain.student.distill.logits={start: 1, end: -1}", ["logits.end", "not -1"]),
        ("chain.student.distill.logits={start: 1, end: 0, shape: sq}", ["logits.shape", "cosine"]),
        ("chain.student.distill.logits=fast", ["logits", "'fast'"]),
        ("chain.student.teachers=[fused, {stage: fused, weight: 0.5}]", ["fused twice", "once"]),
    ],
)
def test_a_wrong_override_names_the_key_and_the_nearest(override: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("demo", [override])
    for word in words:
        assert word in str(caught.value)


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="'utd-mhad'"):
        load_recipe("utd-mad")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml"):
        load_recipe(tmp_path / "none.yaml")


def test_a_folder_and_a_binary_file_are_no_recipes(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "r.yaml"):
        with pytest.raises(UsageError, match="cannot be read as a recipe"):
            load_recipe(path)


def test_a_folder_of_the_same_name_does_not_hide_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert load_recipe("demo").name == "demo"


@pytest.mark.parametrize(
    "text",
    ["- a\n- b\n", "a: [1\n", "!!python/object:os.system {}\n", "a: 2026-99-99\n", 600 * "["],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"r\.yaml"):
        load_recipe(path)


def test_unknown_keys_missing_keys_and_newer_formats() -> None:
    assert "'datset'" in problem(datset={}) and "'dataset'" in problem(datset={})
    assert "newer" in problem(format=99)
    without = {k: v for k, v in MINIMAL.items() if k != "protocol"}
    with pytest.raises(UsageError, match="'protocol' is missing"):
        parse_recipe(without, "mine.yaml")


def test_teachers_come_from_earlier_stages_only() -> None:
    stages = yaml.safe_load(yaml.safe_dump(MINIMAL["chain"]))
    assert "no stage before it" in problem(chain=stages[::-1])
    assert "two stages" in problem(chain=[stages[0], stages[0]])
    stages[1]["teachers"] = ["boddy"]
    assert "'body'" in problem(chain=stages)


def test_plain_teacher_names_are_enough() -> None:
    recipe = parse_recipe(MINIMAL, "mine.yaml")
    assert isinstance(recipe, Recipe)
    assert recipe.student.teachers[0].stage == "body"


def test_who_keeps_labels_has_one_spelling() -> None:
    some = [parse_recipe({**MINIMAL, "labelled_subjects": names}, "mine.yaml").labelled_subjects
            for names in ([3, "1", 1], ["1", "3"], ["03", "p 2"], ["None"], [])]  # fmt: skip
    assert some == [(1, 3), (1, 3), ("03", "p 2"), ("None",), ()]
