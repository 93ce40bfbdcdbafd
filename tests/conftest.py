"""Fixtures for all tests."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

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
