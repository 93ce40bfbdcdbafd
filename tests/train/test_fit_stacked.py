"""Several seeds trained as one model: what each ends with when it is trained alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from pskd.errors import PskdError
from pskd.recipe import Recipe, Stage, parse_recipe
from pskd.recipe.grid import Grid, cells
from pskd.train import fit_stacked as module
from pskd.train.checkpoint import load_checkpoint
from pskd.train.fit import Totals, predict
from pskd.train.fit_stacked import Pupil, fit_stacked
from pskd.train.grid import compare, plan
from pskd.train.prepare import Prepared, prepare
from pskd.train.run import set_up_torch
from pskd.train.stages import build_model, stage_key, stages, train_stage
from pskd.train.state import State
from pskd.train.tasks import Place, Task, work

SEEDS = (0, 1, 2)
LOSSES = [{"name": "crd", "options": {"negatives": 8}}, {"name": "fitnet"}]
"""One that draws random numbers and keeps a memory, and one that is trained itself."""


@pytest.fixture(scope="module")
def base(tiny: Recipe) -> dict[str, Any]:
    """A teacher and a student that are both quickly trained, as a tree."""
    tree = tiny.model_dump(mode="json")
    sensor, student = tree["chain"][-2:]
    alone = {"selection": "label", "semantic": 0.2}
    tree["chain"] = [
        sensor | {"teachers": [], "distill": alone},
        student | {"teachers": ["sensor"], "fit": {"epochs": 4, "batch_size": 8}},
    ]
    return tree


def of_seed(base: dict[str, Any], seed: int, **distill: Any) -> Recipe:
    sensor, student = base["chain"]
    chain = [sensor, student | {"distill": {"semantic": 0.2, **distill}}]
    return parse_recipe(base | {"seed": seed, "chain": chain}, "test")


def pupil(recipe: Recipe, data: Prepared, folder: Path) -> Pupil:
    teacher, stage = recipe.chain
    torch.manual_seed(9)
    model = build_model(teacher, data.signal)
    return Pupil(recipe, stage, data, {"sensor": model}, {}, folder / f"{recipe.seed}.ckpt")


def alone(some: Pupil, folder: Path, fabric: Fabric) -> Path:
    """The same stage as `fit` trains it."""
    path = folder / f"alone-{some.recipe.seed}.ckpt"
    train_stage(
        some.recipe, some.data, some.stage, some.teachers,
        fabric=fabric, checkpoint=path, report=lambda _: None,
    )  # fmt: skip
    return path


@pytest.fixture
def fabric() -> Fabric:
    set_up_torch(1)
    return Fabric(accelerator="cpu", devices=1)


NOTHING = ("depthwise_norm.bias", "norm.running_mean")
"""A batch norm before another one shifts what the other one centres: its bias has no gradient but
rounding, which AdamW scales up, and the mean that the other one keeps goes along."""


def largest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Largest difference of tensors of the same names."""
    assert one.keys() == other.keys()
    return max(float((one[k].double() - other[k].double()).abs().max()) for k in one)


def assert_close(one: Path, other: Path, data: Prepared, stage: Stage, tolerance: float) -> None:
    """Two finished stages agree: weights, metrics, and outputs.

    Outputs may differ a hundred times as much: the mean that a batch norm keeps lags behind a bias
    that drifts without a gradient.
    """
    (mine, my), (theirs, their) = load_checkpoint(one), load_checkpoint(other)
    assert my["identity"] == their["identity"] and my["finished"] and their["finished"]
    for a, b in zip(my["rows"], their["rows"], strict=True):
        assert a.keys() == b.keys()
        assert a["terms"] == pytest.approx(b["terms"], rel=tolerance)
        same = ("stage", "epoch", "epochs", "learning_rate", "train_accuracy", "choices")
        assert [a.get(key) for key in same] == [b.get(key) for key in same]
    learnt = [{k: v for k, v in s.items() if not k.endswith(NOTHING)} for s in (mine, theirs)]
    assert largest(*learnt) < tolerance
    logits = []
    for state in (mine, theirs):
        model = build_model(stage, data.signal)
        model.load_state_dict({k.removeprefix("model."): v for k, v in state.items()})
        logits.append(predict(model, data.test).logits)
    assert float((logits[0] - logits[1]).abs().max()) < 100 * tolerance


@pytest.fixture
def float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What asks for float32 by name gets float64 too."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def doubled(data: Prepared) -> Prepared:
    signals: Any = {k: np.asarray(v, np.float64) for k, v in data.train.signals.items()}
    train, test = (replace(clips, signals=signals) for clips in (data.train, data.test))
    return replace(data, train=train, test=test, class_vectors=data.class_vectors.double())


def trained_both_ways(
    base: dict[str, Any], data: Callable[[Recipe], Prepared], tmp_path: Path, fabric: Fabric
) -> list[tuple[Pupil, Path]]:
    made = []
    for seed in SEEDS:
        recipe = of_seed(base, seed, motion=0.5, losses=LOSSES)
        made.append(pupil(recipe, data(recipe), tmp_path))
    fit_stacked(made, fabric=fabric, checkpoint=tmp_path / "stack.ckpt")
    assert not (tmp_path / "stack.ckpt").exists()
    return [(p, alone(p, tmp_path, fabric)) for p in made]


@pytest.mark.usefixtures("float64")
def test_each_seed_ends_as_it_does_alone(
    base: dict[str, Any], cache: Path, tmp_path: Path, fabric: Fabric
) -> None:
    def data(recipe: Recipe) -> Prepared:
        read = doubled(prepare(recipe, None, cache))
        return replace(read, validation=read.test)

    both = trained_both_ways(base, data, tmp_path, fabric)
    for one, path in both:
        assert_close(one.checkpoint, path, one.data, one.stage, 1e-9)
    ends = [load_checkpoint(one.checkpoint) for one, _ in both]
    weights = [tensors["model.head.embedding.weight"] for tensors, _ in ends]
    assert weights[0].dtype == torch.float64
    assert all((weights[i] - weights[j]).abs().max() > 0.01 for i, j in ((0, 1), (0, 2), (1, 2)))
    lasts = [meta["rows"][-1] for _, meta in ends]
    assert len({row["seconds"] for row in lasts}) == 1  # each an equal share of the stack's
    assert [row.keys() for row in lasts] == [
        load_checkpoint(p)[1]["rows"][-1].keys() for _, p in both
    ]
    assert "validation_accuracy" in lasts[0] and "crd" in lasts[0]["terms"]


def test_in_float32_twelve_steps_differ_by_rounding_alone(
    base: dict[str, Any], cache: Path, tmp_path: Path, fabric: Fabric
) -> None:
    shared = base | {"train_share": 0.99, "labelled": 0.5}  # which clips: each seed's own
    for one, path in trained_both_ways(
        shared, lambda recipe: prepare(recipe, None, cache), tmp_path, fabric
    ):
        assert len(load_checkpoint(path)[1]["rows"]) == 4  # epochs, of three steps
        assert_close(one.checkpoint, path, one.data, one.stage, 3e-4)


def stack_of(base: dict[str, Any], seeds: Sequence[int] = SEEDS) -> Task:
    members = tuple(Task(of_seed(base, seed), "student") for seed in seeds)
    return Task(members[0].recipe, stack=members)


def place(out: Path, cache: Path) -> Place:
    return Place(out, {}, cache, (), "now")


def contents(out: Path) -> dict[str, tuple[dict[str, Tensor], list[dict[str, Any]]]]:
    """Weights of all finished stages, and their metrics without what a clock says."""
    found = {}
    for path in sorted((out / "stages").glob("*.ckpt")):
        tensors, meta = load_checkpoint(path)
        assert meta["finished"]
        found[path.name] = (tensors, [row | {"seconds": 0} for row in meta["rows"]])
    return found


def assert_same(one: Path, other: Path) -> None:
    mine, theirs = contents(one), contents(other)
    assert mine.keys() == theirs.keys()
    for name, (tensors, rows) in mine.items():
        assert rows == theirs[name][1]
        assert largest(tensors, theirs[name][0]) == 0


class Killed(BaseException):
    """What nothing catches."""


def test_a_stack_that_is_killed_goes_on_and_ends_with_the_same_bytes(
    base: dict[str, Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = stack_of(base)
    work(place(tmp_path / "whole", cache), task)
    killed = place(tmp_path / "killed", cache)
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    save, row, trained = State.save, Totals.row, []

    def die_in_the_third_epoch(self: Totals, stage: Stage, *args: Any) -> dict[str, Any]:
        if stage.name == "student":
            trained.append(args[1])
            if args[1] == 2:
                raise Killed
        return row(self, stage, *args)

    def die_after_the_first_student(self: State, path: Path, *args: Any, **more: Any) -> None:
        if path.name in names:
            raise Killed
        save(self, path, *args, **more)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Totals, "row", die_in_the_third_epoch)
        work(killed, task)
    assert trained == [0, 0, 0, 1, 1, 1, 2]
    assert len(list((killed.out / "stages").glob("stack-*.ckpt"))) == 1
    names = {f"{stage_key(t.recipe, t.recipe.student)[:24]}.ckpt" for t in task.stack[1:]}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(State, "save", die_after_the_first_student)
        work(killed, task)
    trained.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Totals, "row", die_in_the_third_epoch)
        work(killed, task)
    assert trained == []  # it was all there
    assert_same(killed.out, tmp_path / "whole")


def test_only_those_that_nobody_has_begun_are_trained(
    base: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    three, two = (place(tmp_path / name, cache) for name in ("three", "two"))
    work(three, Task(of_seed(base, 0), "student"))
    work(three, stack_of(base))
    work(two, stack_of(base, SEEDS[1:]))
    for seed in (1, 2):
        recipe = of_seed(base, seed)
        name = f"{stage_key(recipe, recipe.student)[:24]}.ckpt"
        assert largest(contents(three.out)[name][0], contents(two.out)[name][0]) == 0
    first = place(tmp_path / "first", cache)
    work(first, Task(of_seed(base, 0), "student"))
    for name, (tensors, _) in contents(first.out).items():
        assert largest(contents(three.out)[name][0], tensors) == 0


GRID: dict[str, Any] = {
    "name": "g",
    "seeds": [0, 1],
    "tables": {"t": {}},
    "methods": {
        "kd": {"set": {"chain.student.distill": {"selection": "average"}}},
        "at": {"set": {"chain.student.distill": {"losses": [{"name": "at"}]}}},
    },
}


def grid(base: dict[str, Any], folder: Path, **more: Any) -> Grid:
    path = folder / "base.yaml"
    path.write_text(parse_recipe(base, "test").to_yaml())
    return Grid.model_validate(GRID | {"recipe": str(path)} | more)


def test_a_grid_of_stacks_has_the_same_students(
    base: dict[str, Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = grid(base, tmp_path)
    sizes: list[int] = []

    def counted(pupils: Sequence[Pupil], **more: Any) -> None:
        assert all("sensor" in pupil.books or not pupil.teachers for pupil in pupils)
        sizes.append(len(pupils))
        fit_stacked(pupils, **more)

    monkeypatch.setattr("pskd.train.tasks.fit_stacked", counted)
    for name in ("separate", "stacked"):
        ended = compare(
            asked, cells(asked), out=tmp_path / name, data_roots={}, cache=cache, workers=1,
            stack=name == "stacked",
        )  # fmt: skip
        assert [outcome.error for outcome in ended if outcome.error] == []
    assert sizes == [2, 2, 2]  # kd, at, and the student alone that both have
    assert contents(tmp_path / "separate").keys() == contents(tmp_path / "stacked").keys()
    for cell in cells(asked):
        data = prepare(cell.recipe, None, cache)
        for stage in stages(cell.recipe):
            name = f"{stage_key(cell.recipe, stage)[:24]}.ckpt"
            one, other = (tmp_path / way / "stages" / name for way in ("separate", "stacked"))
            assert_close(one, other, data, stage, 3e-4)


def test_a_stack_that_fails_is_trained_one_by_one(
    base: dict[str, Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **more: Any) -> None:
        raise PskdError("no room for a stack")

    monkeypatch.setattr("pskd.train.tasks.fit_stacked", full)
    methods = {"kd": GRID["methods"]["kd"]}
    asked = grid(base, tmp_path, methods=methods)
    ended = compare(
        asked, cells(asked), out=tmp_path / "g", data_roots={}, cache=cache, workers=1, stack=True
    )
    told = {str(outcome.task): outcome.error for outcome in ended}
    assert "no room" in str(told["student, seeds 0, 1, cross_subject"])
    assert {name: told[name] for name in told if name.startswith("cell")} == {
        "cell t/kd/seed0": None,
        "cell t/kd/seed1": None,
    }


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({}, [2, 2, 2]),
        ({"chain.student.fit.averaging": 0.9}, []),
        ({"compute.precision": "bf16-mixed"}, []),
        ({"chain.student.model": {"name": "fused"}}, []),
    ],
)
def test_what_cannot_be_stacked_is_planned_as_before(
    base: dict[str, Any], tmp_path: Path, changes: dict[str, Any], sizes: list[int]
) -> None:
    wanted = cells(grid(base, tmp_path, set=changes))
    tasks = plan(wanted, stack=True)
    assert [len(task.stack) for task in tasks if task.stack] == sizes
    if not sizes:
        assert tasks == plan(wanted)


def test_stacks_have_at_most_eight_seeds_and_come_between_teachers_and_cells(
    base: dict[str, Any], tmp_path: Path
) -> None:
    methods = {"kd": GRID["methods"]["kd"]}
    wanted = cells(grid(base, tmp_path, methods=methods, seeds=range(17)))
    names = [str(task) for task in plan(wanted, stack=True)]
    kinds = [
        "cell" if n.startswith("cell") else "stack" if "seeds" in n else "teacher" for n in names
    ]
    assert kinds == ["teacher"] * 17 + ["stack"] * 6 + ["cell"] * 17
    seeds = [name.split(", ")[1:-1] for name in names[17:23]]
    assert [len(some) for some in seeds] == [6, 6, 5] * 2
