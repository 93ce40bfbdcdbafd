"""What the students of a grid need on this machine: bytes as int8, and time in a runtime."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pskd.edge.material import Material, Windows
from pskd.edge.targets import TARGETS
from pskd.edge.targets.c99 import compiler
from pskd.edge.worker import Worker
from pskd.errors import UsageError, nearest
from pskd.evaluate.study import Study
from pskd.evaluate.study.frontier import Cost, Costs, Latency
from pskd.files import write_atomic
from pskd.models.student_folder import StudentConfig, load_student
from pskd.train.budget import int8_bytes

ROUNDS = 20
"""Turns that every student has."""

CALLS = 100
"""Windows a turn."""


def usable() -> list[str]:
    """Of the runtimes that a frontier is timed in, those that are there."""
    found = []
    for name, require in (("onnx", TARGETS["onnx"].require), ("c", compiler)):
        with suppress(UsageError):
            require()
            found.append(name)
    return found


def measure(study: Study, targets: Sequence[str], out: Path) -> Costs:
    """Export the students of a grid, time them in turns, and write `costs.json`.

    The time of a network does not depend on its weights or windows: the student of the first seed
    stands for the others, and the windows are noise about gravity.

    Args:
        study: The grid, some of it finished.
        targets: Runtimes, none of which needs windows to calibrate ranges with.
        out: Folder of the grid; exports go into `exports` there.

    Raises:
        UsageError: A runtime that is unknown or not installed, or one that needs calibration.
        CheckpointError: A student folder is torn.
        PskdError: A runtime failed.
    """
    students = {
        (table.name, method.name): load_student(method.cells[0].path / "student")
        for table in study.tables
        for method in table.methods
    }
    times: dict[tuple[str, str], dict[str, Latency]] = {key: {} for key in students}
    for name in targets:
        if name not in TARGETS:
            raise UsageError(f"unknown target {name!r}", remedy=nearest(name, TARGETS))
        target = TARGETS[name]
        target.require()
        if target.int8:
            raise UsageError(f"{name} needs windows to calibrate with", remedy="Use `pskd bench`")
        files = {}
        for key, (student, config) in students.items():
            folder = out.joinpath("exports", *key)
            folder.mkdir(parents=True, exist_ok=True)
            none = np.zeros((0, 3, config.samples), np.float32)
            labels = np.zeros(0, np.int64)
            target.export(Material(student, config, none, none, labels), folder)
            files[key] = folder / target.file
        with ExitStack() as open_:
            workers = {key: open_.enter_context(Worker(name, f)) for key, f in files.items()}
            took: dict[tuple[str, str], list[NDArray[np.int64]]] = {key: [] for key in files}
            for _ in range(ROUNDS):
                for key, worker in workers.items():
                    took[key].append(worker.latencies(_windows(students[key][1]), CALLS))
        for key, parts in took.items():
            p50, p99 = np.percentile(np.concatenate(parts), [50, 99]) / 1000
            times[key][name] = Latency(float(p50), float(p99), _bytes(files[key]))
    costs = Costs(
        machine=f"{platform.machine()}, {platform.system()}",
        calls=ROUNDS * CALLS,
        costs=tuple(
            Cost(*key, int8_kb=int8_bytes(student) / 1024, latency=times[key])
            for key, (student, _) in students.items()
        ),
    )
    text = json.dumps(asdict(costs), indent=1) + "\n"
    write_atomic(out / "costs.json", text.encode(), remedy="Free some space")
    return costs


def _windows(config: StudentConfig) -> Windows:
    draw = np.random.default_rng(0)
    return draw.normal(0, 1, (16, 3, config.samples)).astype(np.float32)


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files)
