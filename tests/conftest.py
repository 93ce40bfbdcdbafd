"""Fixtures for all tests."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import settings

from pskd.distill.losses import LOSSES
from pskd.models import MODELS
from pskd.recipe import Recipe, load_recipe
from pskd.train.run import train

_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Path of a real recording's file or folder; skips the test where it is not there."""
    root = Path(os.environ.get("PSKD_TEST_DATA", _DATA))

    def find(name: str) -> Path:
        path = root / name
        if not path.exists():
            pytest.skip(f"real data {name} not in {root} (set PSKD_TEST_DATA)")
        return path

    return find


# A shell that starts tests in the background has them, and all that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("pskd", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("pskd")


@pytest.fixture(scope="session", autouse=True)
def read_in_this_process() -> Iterator[None]:
    """Small data are read faster without worker processes; their own tests ask for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PSKD_WORKERS", "0")
        yield


@pytest.fixture(autouse=True)
def tables_as_shipped() -> Iterator[None]:
    """Models and losses that a test enters into the tables leave with it."""
    with patch.dict(MODELS), patch.dict(LOSSES):
        yield


TINY = [
    "dataset.options={subjects: 4, trials: 1}",
    "protocol.options={train: [1, 3], test: [2, 4]}",
    "clips={samples: 32, frames: 16}",
    "labelled=1.0",
    "compute={threads: 1}",
    "chain.skeleton.model.options={graph: [[8, 2]], widths: [16], strides: [1], squeeze: 4}",
    "chain.skeleton.fit={epochs: 2, batch_size: 8}",
    "chain.fused.model.options={skeleton: {graph: [[8, 2]], widths: [16], strides: [1]}}",
    "chain.fused.fit={epochs: 2, batch_size: 8, averaging: 0.9}",
    "chain.sensor.model.options={widths: [16, 16], strides: [2, 1], stem: 8}",
    "chain.sensor.fit={epochs: 2, batch_size: 8}",
    "chain.student.model.options={widths: [8, 8], strides: [2, 1], stem: 8}",
    "chain.student.fit={epochs: 3, batch_size: 8, averaging: 0.9}",
]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of stores, shared by the tests of a session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """Four simulated people, small models, two or three epochs a stage."""
    return load_recipe("demo", TINY)


@pytest.fixture(scope="session")
def run(tiny: Recipe, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of `tiny`; tests leave it as it was."""
    return train(tiny, data_root=None, out=tmp_path_factory.mktemp("runs") / "tiny", cache=cache)
