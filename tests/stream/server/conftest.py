"""Servers for tests, and the student that they serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pskd.edge.settings import StreamSettings
from pskd.stream.runtime import Student, open_student

if TYPE_CHECKING:
    from tests.stream.server.serving import Served


@pytest.fixture(scope="session")
def student(run: Path) -> Student:
    """The student of the tiny run, which predicts five times a second."""
    return replace(open_student(run, "torch"), settings=StreamSettings(hop_seconds=0.2))


@pytest.fixture
def serve(student: Student) -> Iterator[Callable[..., Served]]:
    """Start a server; see `serving`."""
    from tests.stream.server.serving import serving

    with ExitStack() as stack:

        def start(**how: Any) -> Served:
            return stack.enter_context(serving(student, **how))

        yield start
