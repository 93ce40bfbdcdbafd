"""What the students of a grid need on this machine: bytes as int8, and time in a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from pskd.edge.bench import CALLS, in_turns, machine
from pskd.edge.export import parse_targets
from pskd.edge.material import Material, Windows
from pskd.edge.targets import TARGETS
from pskd.edge.worker import Worker
from pskd.errors import PskdError, UsageError
from pskd.evaluate.certificate.facts import Latency
from pskd.evaluate.study import Study
from pskd.evaluate.study.frontier import Cost, Costs
from pskd.files import write_atomic
from pskd.models.student_folder import StudentConfig, load_student
from pskd.train.budget import int8_bytes


def usable() -> list[str]:
    """Of the runtimes that a frontier is timed in, those that are there."""
    found = []
    for name in ("onnx", "c"):
        with suppress(UsageError):
            TARGETS[name].require()
            found.append(name)
    return found


def timeable(text: str) -> list[str]:
    """Names of runtimes to time out of a list by commas; it may be empty.

    Raises:
        UsageError: One that is unknown or not installed, or needs windows to calibrate with.
    """
    names = parse_targets(text) if text.strip() else []
    for name in names:
        TARGETS[name].require()
        if TARGETS[name].int8:
            raise UsageError(f"{name} needs windows to calibrate with", remedy="Use `pskd bench`")
    return names


def measure(study: Study, targets: Sequence[str], out: Path) -> Costs:
    """Export the students of a grid, time them in turns, and write `costs.json`.

    The time of a network does not depend on its weights or windows: the student of the first seed
    stands for the others, and the windows are noise about gravity.

    Args:
        study: The grid, some of it finished.
        targets: Runtimes, as `timeable` gives them.
        out: Folder of the grid; exports go into `exports` there.

    Raises:
        CheckpointError: A student folder is torn.
        PskdError: A runtime failed.
    """
    students = {
        (table.name, method.name): load_student(method.cells[0].path / "student")
        for table in study.tables
        for method in table.methods
    }
    at = machine()
    times: dict[tuple[str, str], dict[str, Latency]] = {key: {} for key in students}
    for name in targets:
        target, files = TARGETS[name], {}
        for key, (student, config) in students.items():
            folder = out.joinpath("exports", *key)
            folder.mkdir(parents=True, exist_ok=True)
            none = np.zeros((0, 3, config.samples), np.float32)
            labels = np.zeros(0, np.int64)
            target.export(Material(student, config, none, none, labels), folder)
            files[key] = folder / target.file
        with ExitStack() as open_:
            workers = {
                key: (open_.enter_context(Worker(name, file)), _windows(students[key][1]))
                for key, file in files.items()
            }
            for key, outcome in in_turns(workers, CALLS).items():
                if isinstance(outcome, PskdError):
                    raise outcome
                times[key][name] = outcome
    costs = Costs(
        machine=at.words,
        calls=CALLS,
        costs=tuple(
            Cost(*key, int8_kb=int8_bytes(student) / 1024, latency=times[key])
            for key, (student, _) in students.items()
        ),
    )
    text = TypeAdapter(Costs).dump_json(costs, indent=1) + b"\n"
    write_atomic(out / "costs.json", text, remedy="Free some space")
    return costs


def _windows(config: StudentConfig) -> Windows:
    draw = np.random.default_rng(0)
    return draw.normal(0, 1, (16, 3, config.samples)).astype(np.float32)
