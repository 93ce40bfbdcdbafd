"""The examples in the docstrings of the losses run."""

import doctest
import importlib
import pkgutil

import pytest

from pskd.distill import losses

MODULES = sorted(m.name for m in pkgutil.iter_modules(losses.__path__) if m.name != "base")


@pytest.mark.parametrize("name", MODULES)
def test_every_loss_has_an_example_that_runs(name: str) -> None:
    module = importlib.import_module(f"pskd.distill.losses.{name}")
    failed, tried = doctest.testmod(module)
    assert tried and not failed
