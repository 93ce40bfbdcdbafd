"""Students as graphs: tracing takes seconds, so each is traced once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from pskd.edge.c99.graph import Graph
from pskd.edge.c99.trace import trace
from pskd.edge.material import Material

ODD = {"widths": (5, 7, 7), "strides": (3, 2, 1), "stem": 3, "kernel": 3, "samples": 33}


@pytest.fixture(scope="session")
def students(
    material: Material, made: Callable[..., Material]
) -> Callable[[str], tuple[Material, Graph]]:
    """By name: the student and its graph."""

    @cache
    def student(name: str) -> tuple[Material, Graph]:
        if name == "temporal":
            found = material
        elif name == "odd":
            found = made(**ODD)
        else:
            found = made("gaf_cnn", samples=50, image_size=12, method=name)
        return found, trace(found.student, found.config)

    return student
