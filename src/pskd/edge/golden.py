"""Golden windows: recordings and edge cases that every export must answer as PyTorch does.

There is no NaN or infinity among them: what runtimes make of those differs and is not compared.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pskd.edge.material import Material, Windows
from pskd.errors import CheckpointError
from pskd.files import write_atomic

FILE = "golden.npz"

RANGES = (2, 4, 8, 16)
"""Ranges of the accelerometers that watches have, in g."""

BEYOND = 100.0
"""More than any watch measures, in g."""

_RECORDED = "test window"


class Golden(NamedTuple):
    """Windows by name."""

    names: tuple[str, ...]
    windows: Windows


def golden_windows(material: Material) -> Golden:
    """One test window of every class, and edge cases; the same student and data give the same."""
    found = [*_recorded(material), *_edge_cases(material.config.samples)]
    shape = (3, material.config.samples)
    windows = [np.broadcast_to(window, shape).astype(np.float32) for _, window in found]
    return Golden(tuple(name for name, _ in found), np.stack(windows))


def _recorded(material: Material) -> Iterator[tuple[str, NDArray[np.floating]]]:
    for k, name in enumerate(material.config.classes):
        of_class = np.flatnonzero(material.labels == k)
        if len(of_class):  # the k-th of class k: people and trials in turn
            index = int(of_class[k % len(of_class)])
            yield f"{name}, {_RECORDED} {index}", material.test[index]


def is_recorded(name: str) -> bool:
    """Whether a golden window of this name was recorded."""
    return f", {_RECORDED} " in name


def _edge_cases(samples: int) -> Iterator[tuple[str, NDArray[np.floating]]]:
    time = np.linspace(0, 1, samples, endpoint=False)
    draw = np.random.default_rng(0)
    yield "silence", np.zeros((3, 1))
    for axis, name in enumerate("xyz"):
        for sign, word in ((1, ""), (-1, "minus ")):
            yield f"gravity along {word}{name}", sign * np.eye(3)[:, axis, None]
    swing = np.stack([np.sin(2 * np.pi * (f * time + f / 10)) for f in (3, 5, 2)])
    for limit in RANGES:
        yield f"saturated at {limit} g", np.clip(3 * limit * swing, -limit, limit)
    yield "one impulse of 16 g", 16 * (np.arange(samples) == samples // 2) * np.eye(3)[:, :1]
    for size in (0.001, 0.1, 1, 4):
        yield f"noise of {size:g} g", np.clip(draw.normal(0, size, (3, samples)), -16, 16)
    yield "ramp from -16 to 16 g", np.linspace(-16, 16, samples) * np.array([[1], [-1], [0.5]])
    smallest = np.finfo(np.float32).smallest_subnormal
    yield "smallest numbers there are", smallest * np.sign(swing)
    yield f"saturated at {BEYOND:g} g", np.clip(3 * BEYOND * swing, -BEYOND, BEYOND)
    yield f"noise of {BEYOND:g} g", draw.normal(0, BEYOND, (3, samples))


def save_golden(folder: Path, golden: Golden, logits: NDArray[np.float32]) -> None:
    """Write golden.npz: arrays `names` [N], `windows` [N, 3, S] in g, PyTorch's `logits` [N, K].

    Raises:
        PskdError: It cannot be written.
    """
    content = io.BytesIO()
    np.savez(content, names=np.array(golden.names), windows=golden.windows, logits=logits)
    write_atomic(folder / FILE, content.getvalue(), remedy="Free some space")


def load_golden(folder: Path) -> tuple[Golden, NDArray[np.float32]]:
    """Read golden.npz and PyTorch's logits in it.

    Raises:
        CheckpointError: It is missing, torn or foreign.
    """
    path = folder / FILE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            names, windows, logits = (arrays[name] for name in ("names", "windows", "logits"))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise CheckpointError(
            f"golden windows cannot be read ({error})",
            where=path,
            remedy="`pskd certify` writes them again",
        ) from error
    return Golden(tuple(map(str, names)), windows), logits
