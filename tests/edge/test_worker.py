"""Exports in processes of their own: right answers, and nothing that a runtime does hurts us."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pskd.edge.material import Material
from pskd.edge.targets.torch import Torch
from pskd.edge.worker import WARM_UP, Worker
from pskd.errors import CheckpointError, PskdError, UsageError
from tests.edge import fakes


@pytest.fixture(scope="module")
def folder(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An export folder of all fakes."""
    with pytest.MonkeyPatch.context() as patch:
        fakes.enter(patch)
        path = tmp_path_factory.mktemp("export")
        Torch().export(material, path)
        yield path


@pytest.fixture(scope="module")
def sleeper(folder: Path) -> Iterator[Worker]:
    with Worker("sleeper", folder / "sleeper.bin") as worker:
        yield worker


def test_answers_are_those_of_the_runner_whatever_it_prints(
    material: Material, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pskd.edge.worker.AT_ONCE", 16)  # three times for 40 windows
    run = Torch().load(folder / "student")
    with Worker("loud", folder / "loud.bin") as worker:
        with pytest.raises(PskdError, match=r"loud, .*failed \(RuntimeError: ") as caught:
            worker.answers(material.test[:, :2])
        assert "Traceback" in caught.value.__notes__[0]
        answers = worker.answers(material.test)
    for k, window in enumerate(material.test):
        expected = run(window[None])
        np.testing.assert_allclose(answers.logits[k], expected.logits, atol=1e-6)
        np.testing.assert_allclose(answers.probabilities[k], expected.probabilities, atol=1e-6)


def test_memory_is_that_of_the_export(material: Material, folder: Path, sleeper: Worker):
    window = material.test[:1]
    without = sleeper.peak_memory(window)
    with Worker("ballast", folder / "ballast.bin") as worker:
        found = worker.peak_memory(window)
    if found is None or without is None:
        pytest.skip("no /proc that tells memory")
    assert found.export == pytest.approx(20e6, abs=2e6)
    assert found.first - without.first == pytest.approx(60e6, abs=5e6)
    assert found.process > found.first


def test_times_are_those_of_calls(material: Material, sleeper: Worker):
    start = time.perf_counter_ns()
    times = sleeper.latencies(material.test[:3], 50)
    wall = time.perf_counter_ns() - start
    assert times.shape == (50,)
    assert times.min() >= 2_000_000
    assert times.sum() <= wall - WARM_UP * 2_000_000


def test_a_crash_names_the_target_and_its_last_words(material: Material, folder: Path):
    with (
        Worker("aborts", folder / "aborts.bin") as worker,
        pytest.raises(PskdError, match=r"aborts, .*crashed \(SIGABRT\).*free\(\): invalid pointer"),
    ):
        worker.answers(material.test)


def test_what_hangs_is_ended(folder: Path):
    worker = Worker("hangs", folder / "hangs.bin", seconds=0.5)
    with pytest.raises(PskdError, match=r"hangs, .*took longer than 0.5 s"), worker:
        pass
    assert worker._process.returncode is not None


def test_an_export_that_is_refused_says_why(folder: Path):
    with pytest.raises(CheckpointError, match=r"torn.bin: is torn"):
        Worker("torn", folder / "torn.bin").__enter__()


def test_a_runtime_that_is_not_installed_is_named_before_anything_starts(folder: Path):
    with pytest.raises(UsageError, match=r"no_such_runtime.*pskd\[none-such\]"):
        Worker("absent", folder / "absent.bin")
    with pytest.raises(UsageError, match=r"unknown target 'torhc'.*'torch'"):
        Worker("torhc", folder)
