"""What students of a grid need: counted and timed from their student folders."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pskd.edge import costs as module
from pskd.edge.bench import machine
from pskd.edge.costs import measure, timeable, usable
from pskd.edge.material import Material
from pskd.edge.targets import TARGETS
from pskd.errors import PskdError, UsageError
from pskd.evaluate.study import Study, load_study
from pskd.evaluate.study.frontier import read_costs
from pskd.models.student_folder import save_student
from tests.edge import fakes
from tests.evaluate.study.study_folder import write_study

OPTIONS = {"narrow": {"width": 0.15}, "wide": {"width": 0.8}}


@pytest.fixture
def study(tmp_path: Path, made: Callable[..., Material]) -> Study:
    folder = write_study(tmp_path, methods=tuple(OPTIONS), seeds=(3,))
    for name, options in OPTIONS.items():
        material = made(**options)
        place = folder / f"cells/main/{name}/seed3/student"
        save_student(place, material.student, material.config)
    return load_study(folder)


def test_students_are_counted_and_timed(study: Study, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CALLS", 20)
    costs = measure(study, ["torch"], study.path)
    assert read_costs(study.path / "costs.json") == costs
    assert costs.calls == 20
    narrow, wide = costs.costs
    assert (narrow.table, narrow.method, wide.method) == ("main", "narrow", "wide")
    assert 1 < narrow.int8_kb < wide.int8_kb / 4
    for cost in costs.costs:
        took = cost.latency["torch"]
        assert took.calls == 20
        assert 1 < took.p50_us <= took.p99_us
    assert costs.machine.startswith(f"{machine().cpu}, ") and "cores" in costs.machine


def test_nothing_to_time(study: Study):
    assert all(not cost.latency for cost in measure(study, [], study.path).costs)


def test_runtimes_that_are_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(type(TARGETS["onnx"]), "needs", ("no_such_module",))
    assert usable() == []


def test_runtimes_are_named_by_commas_or_not_at_all():
    assert timeable(" torch, c,torch") == ["torch", "c"]
    assert timeable("") == []


def test_a_runtime_that_nobody_knows():
    with pytest.raises(UsageError, match="Did you mean 'torch'"):
        timeable("c, troch")


def test_a_runtime_that_needs_windows():
    with pytest.raises(UsageError, match="calibrate"):
        timeable("c-int8")


def test_a_runtime_that_fails_is_told(study: Study, monkeypatch: pytest.MonkeyPatch):
    fakes.enter(monkeypatch)
    with pytest.raises(PskdError, match=r"aborts.*SIGABRT"):
        measure(study, ["aborts"], study.path)
