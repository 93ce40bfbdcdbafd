"""Budgets: the widest student that fits, written down; what does not fit is named."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pskd.errors import UsageError
from pskd.models import Signal, build, count_parameters
from pskd.recipe import Recipe, load_recipe, parse_recipe
from pskd.train.budget import FAMILY, Size, int8_bytes, within_budget
from pskd.train.run import train
from pskd.train.stages import find_stage, stage_key, stages

SIGNAL = Signal(classes=27)


def student(*overrides: str) -> dict[str, object]:
    """Options of the student that a budget gives UTD-MHAD's recipe."""
    return within_budget(load_recipe("utd-mhad", overrides), SIGNAL).student.model.options


@pytest.mark.parametrize("model", ["temporal_cnn", "gaf_cnn"])
def test_the_family_grows_from_5_000_to_200_000_parameters(model: str):
    sizes = [count_parameters(build(model, SIGNAL, width=width)) for width in FAMILY]
    assert sizes == sorted(set(sizes))
    assert 4_000 < sizes[0] < 6_000
    assert 175_000 < sizes[-1] < 205_000


@pytest.mark.parametrize("model", ["temporal_cnn", "gaf_cnn"])
def test_width_1_is_the_student_as_it_was(model: str):
    states = []
    for options in ({}, {"width": 1.0}):
        torch.manual_seed(0)
        states.append(build(model, SIGNAL, **options).state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("width", FAMILY)
def test_all_channels_are_multiples_of_8(width: float):
    model = build("temporal_cnn", SIGNAL, width=width)
    assert all(m.out_channels % 8 == 0 for m in model.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize("width", [0, -1.0])
def test_a_width_that_is_none(width: float):
    with pytest.raises(UsageError, match="not above 0"):
        build("temporal_cnn", SIGNAL, width=width)


@pytest.mark.parametrize(
    ("key", "limit"), [("parameters", 20_000), ("macs", 1_000_000), ("int8_kb", 64)]
)
def test_the_widest_that_fits(key: str, limit: int):
    chosen = student(f"budget.{key}={limit}")["width"]
    fits = {w: getattr(Size.of(build("temporal_cnn", SIGNAL, width=w), SIGNAL), key) <= limit
            for w in FAMILY}  # fmt: skip
    assert chosen == max(w for w, ok in fits.items() if ok)
    assert not all(fits.values())


def test_all_limits_count():
    both = student("budget={parameters: 100000, macs: 300000}")
    assert both == student("budget.macs=300000") != student("budget.parameters=100000")


def test_int8_bytes_are_counted_layer_by_layer():
    model = build("temporal_cnn", SIGNAL, width=0.55)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    weights = sum(m.weight.numel() for m in layers)
    outputs = sum(m.weight.shape[0] for m in layers)
    assert int8_bytes(model) == weights + 4 * outputs + 4 * outputs


def test_other_options_stay():
    options = student("budget.parameters=20000", "chain.student.model.options={dropout: 0.1}")
    assert options == {"dropout": 0.1, "width": 0.55}


def test_what_the_student_starts_from_gets_its_width():
    tree = load_recipe("utd-mhad", ["budget.parameters=20000"]).model_dump()
    tree["chain"] = [*tree["chain"], {**tree["chain"][-1], "name": "more", "start": "student"}]
    found = within_budget(parse_recipe(tree, "mine.yaml"), SIGNAL)
    assert [s.model.options.get("width") for s in found.chain] == [None, None, None, 0.55, 0.55]
    assert parse_recipe(found.model_dump(), "again").same_as(found)


def test_what_was_resolved_stays_as_it_is():
    once = within_budget(load_recipe("utd-mhad", ["budget.parameters=20000"]), SIGNAL)
    assert within_budget(once, SIGNAL) == once
    assert parse_recipe({**once.model_dump()}, "again").same_as(once)


def test_without_a_budget_nothing_changes():
    recipe = load_recipe("utd-mhad")
    assert within_budget(recipe, SIGNAL) is recipe


def test_a_stage_is_known_by_its_width_and_not_by_its_budget():
    plain = load_recipe("utd-mhad", ["chain.student.model.options={width: 0.55}"])
    budgeted = within_budget(load_recipe("utd-mhad", ["budget.parameters=20000"]), SIGNAL)
    for stage in stages(plain):
        other = find_stage(budgeted, stage.name)
        assert stage_key(plain, stage) == stage_key(budgeted, other)


def test_checkpoints_of_earlier_versions_are_found_again():
    model = {"name": "temporal_cnn"}
    tree = {
        "name": "two", "dataset": {"name": "simulated"}, "protocol": {"name": "cross_subject"},
        "chain": [{"name": "sensor", "model": model},
                  {"name": "student", "model": model, "teachers": ["sensor"]}],
    }  # fmt: skip
    recipe = parse_recipe(tree, "two")
    assert [stage_key(recipe, stage)[:12] for stage in stages(recipe)] == KEYS


KEYS = ["086b56d6b4eb", "568d3851c9e8", "1cb6a3556b8e"]
"""As commit bed0ba9 has them, before there were budgets."""


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["budget.parameters=1000"],
            r"width=0.15, has 4,419 parameters, budget.parameters is 1,000",
        ),
        (
            ["budget.macs=500000", "chain.student.model.options.stem=48"],
            r"has 1,624,768 MACs, budget.macs is 500,000. Leave out stem: width=0.4 has 13,963",
        ),
        (
            ["budget.parameters=20000", "chain.student.model.options.width=1.0"],
            r"has 49,243 parameters.*Leave out width: width=0.55 has 19,763",
        ),
        (
            ["budget.int8_kb=1", "chain.student.model.name=tinyhar"],
            r"tinyhar of the recipe has .* KB int8, budget.int8_kb is 1.*one width",
        ),
        (["budget.parameters=1000", "chain.student.model.name=tinyha"], "Did you mean 'tinyhar'"),
    ],
)
def test_what_does_not_fit(overrides: list[str], words: str):
    with pytest.raises(UsageError, match=words):
        student(*overrides)


@pytest.mark.parametrize(
    "options", [["chain.student.model.name=tinyhar"], ["chain.student.model.options.width=0.8"]]
)
def test_what_fits_by_hand_is_left_alone(options: list[str]):
    recipe = load_recipe("utd-mhad", [*options, "budget.parameters=60000"])
    assert within_budget(recipe, SIGNAL) is recipe


@pytest.mark.parametrize("value", ["budget.parameters=0", "budget.int8_kb=-1", "budget.flash=3"])
def test_a_budget_that_is_none(value: str):
    with pytest.raises(UsageError, match="budget"):
        load_recipe("utd-mhad", [value])


def test_a_run_writes_down_its_width_and_is_taken_up(tiny: Recipe, cache: Path, tmp_path: Path):
    tree = tiny.model_dump()
    tree["chain"] = [tree["chain"][-1] | {"teachers": (), "distill": {"selection": "label"}}]
    tree["chain"][0]["model"] = {"name": "temporal_cnn", "options": {"kernel": 5}}
    asked = parse_recipe(tree | {"budget": {"parameters": 15_000}}, "tiny")
    out = train(asked, data_root=None, out=tmp_path / "run", cache=cache)
    written = load_recipe(out / "recipe.yaml")
    assert written.student.model.options == {"kernel": 5, "width": 0.4}
    assert written.budget == asked.budget
    train(asked, data_root=None, out=out, cache=cache)  # the same command again
    train(written, data_root=None, out=out, cache=cache)
    with pytest.raises(UsageError, match="another recipe"):
        train(asked.model_copy(update={"seed": 7}), data_root=None, out=out, cache=cache)
