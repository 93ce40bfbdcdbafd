"""Size, time and memory of exports on the machine at hand."""

from __future__ import annotations

import os
import platform
from collections.abc import Hashable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pskd.edge.cortex_m import BOARDS, CortexM
from pskd.edge.cortex_m import measure as measure_core
from pskd.edge.export import EXPORT, Export, read_export
from pskd.edge.material import Windows
from pskd.edge.targets import TARGETS
from pskd.edge.targets.c99 import workspace_bytes
from pskd.edge.worker import SECONDS, Answers, Memory, Worker
from pskd.errors import PskdError, UsageError
from pskd.evaluate.certificate.facts import Latency, MachineFacts, MemoryFacts
from pskd.models.student_folder import WEIGHTS, load_student

CALLS = 2000
"""Calls that are timed of each export."""

ROUNDS = 10
"""Turns that each export has: what else the machine does meets all of them."""

WINDOWS = 32

IN_C = ("c", "c-int8")


class Entry(NamedTuple):
    """An export on disk.

    Attributes:
        path: What its runtime opens.
        sha256: Its files by their names.
        bytes: That it takes in a product: C compiled, all else as its files are.
        workspace: Memory of a call in bytes, where the export says so: C alone.
    """

    path: Path
    sha256: dict[str, str]
    bytes: int
    workspace: int | None = None


@dataclass
class Measured:
    """What a run of one export gave.

    Attributes:
        answers: To the windows that were asked.
        latency: Of a call.
        memory: That it takes.
        error: Why it ended early; a UsageError where this machine cannot run it.
        missing: What else could not be measured, and why.
    """

    answers: Answers | None = None
    latency: Latency | None = None
    memory: MemoryFacts | None = None
    error: PskdError | None = None
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether it ended early, and not because of what this machine lacks."""
        return self.error is not None and not isinstance(self.error, UsageError)

    @property
    def reasons(self) -> dict[str, str]:
        """All that was not measured, and why."""
        what = "failed" if self.failed else "not measured"
        return self.missing | ({what: str(self.error)} if self.error else {})


@dataclass(frozen=True)
class Bench:
    """What `bench` found.

    Attributes:
        machine: Where it was measured.
        entries: What was measured, by target.
        found: What came of it, by target.
        without_torch: Why PyTorch is not among them, although there is a student folder.
    """

    machine: MachineFacts
    entries: dict[str, Entry]
    found: dict[str, Measured]
    without_torch: str = ""

    @property
    def ratios(self) -> dict[str, float]:
        """Median times as multiples of PyTorch's, where both were measured."""
        times = {name: m.latency.p50_us for name, m in self.found.items() if m.latency}
        return {name: t / times["torch"] for name, t in times.items()} if "torch" in times else {}


def on_cores(folder: Path) -> dict[tuple[str, str], CortexM | PskdError]:
    """Run the C exports of a folder on Cortex-M cores under qemu.

    Returns:
        By target and core, what was measured, or why it could not be.

    Raises:
        UsageError: The folder holds no export in C.
        CheckpointError: A file in it is not the one that was exported.
    """
    export = open_exports(folder)
    sources = {name: folder / one.file for name, one in export.files.items() if name in IN_C}
    if not sources:
        raise UsageError(
            "holds no export in C", where=folder, remedy="`pskd export RUN --to c,c-int8`"
        )
    windows, found = movements(export)[:4], dict[tuple[str, str], CortexM | PskdError]()
    for name, source in sources.items():
        for core in BOARDS:
            try:
                found[name, core] = measure_core(source.parent, windows, core)
            except PskdError as error:
                found[name, core] = error
    return found


def bench(
    folder: Path,
    *,
    student: Path | None = None,
    calls: int = CALLS,
    seconds: float = SECONDS,
) -> Bench:
    """Measure every export in a folder, on windows of the size of movements. No data are needed.

    Args:
        folder: An export folder.
        student: Student folder that PyTorch is measured on, where the exports do not hold it. One
            that is torn or of another student is left out.
        calls: Calls that are timed of each export.
        seconds: Time that an export has for one turn.

    Raises:
        UsageError: The folder holds no export.
        CheckpointError: A file in it is not the one that was exported.
    """
    export, at = open_exports(folder), machine()
    without_torch = ""
    if student is not None:
        try:
            check_student(student, export)
        except PskdError as error:
            student, without_torch = None, str(error)
    windows = movements(export)
    listed = entries(folder, export, student)
    found = measure(listed, windows, windows, calls, seconds=seconds)
    return Bench(at, listed, found, without_torch)


def movements(export: Export) -> Windows:
    """Windows of the size of movements, the same for every student of that shape."""
    draw = np.random.default_rng(0)
    steps = draw.normal(0, 0.25, (WINDOWS, *export.input.shape[1:])).cumsum(-1)
    windows: Windows = (steps - steps.mean(-1, keepdims=True)).astype(np.float32)
    return windows


def open_exports(folder: Path) -> Export:
    """Read an export folder that holds something.

    Raises:
        UsageError: There is none, or it holds no export.
        CheckpointError: A file in it is not the one that was exported.
    """
    remedy = "`pskd export RUN --to onnx,c` writes exports"
    if not (folder / EXPORT).is_file() and (folder / "export" / EXPORT).is_file():
        raise UsageError("no export folder", where=folder, remedy=f"Name {folder / 'export'}")
    if not folder.is_dir():
        raise UsageError("no such export folder", where=folder, remedy=remedy)
    export = read_export(folder)
    if not export.files:
        raise UsageError("holds no export", where=folder, remedy=remedy)
    return export


def check_student(folder: Path, export: Export) -> None:
    """Make sure that a student folder holds the student that was exported.

    Raises:
        UsageError: It holds another, or one that takes other windows than `export.json` says.
        CheckpointError: It is torn.
    """
    _, config = load_student(folder)
    if config.sha256 != export.student_sha256:
        raise UsageError(
            "is not the student that was exported",
            where=folder,
            remedy="Name the run that the exports are of, or export its student again",
        )
    given, taken = list(export.input.shape[1:]), [3, config.samples]
    if given != taken:
        raise UsageError(
            f"windows are {given}, the student takes {taken}",
            where=EXPORT,
            remedy="Export the student again",
        )


def entries(folder: Path, export: Export, student: Path | None) -> dict[str, Entry]:
    """What there is to measure, by target: PyTorch first, on a student folder if need be."""
    exported = {}
    for name, one in export.files.items():
        path, compiled, workspace = folder / one.file, None, None
        with suppress(PskdError):  # what cannot be compiled is told when it is measured
            compiled = TARGETS[name].product_bytes(path) if name in TARGETS else None
            workspace = workspace_bytes(path) if name in IN_C else None
        exported[name] = Entry(path, one.sha256, compiled or one.bytes, workspace)
    if "torch" in exported or student is None:
        return exported
    size = (student / WEIGHTS).stat().st_size
    return {"torch": Entry(student, {WEIGHTS: export.student_sha256}, size)} | exported


def measure(
    exports: Mapping[str, Entry],
    asked: Windows,
    timed: Windows,
    calls: int,
    *,
    seconds: float = SECONDS,
) -> dict[str, Measured]:
    """Run exports, each in a process of its own, all of them in turns.

    Args:
        exports: By target.
        asked: Windows to answer.
        timed: Windows to time calls with.
        calls: Calls that are timed of each export.
        seconds: Time that an export has for one turn.
    """
    found = {name: Measured() for name in exports}
    with ExitStack() as running:
        workers: dict[str, Worker] = {}
        for name, entry in exports.items():
            try:
                worker = running.enter_context(Worker(name, entry.path, seconds=seconds))
                _note_memory(found[name], worker.peak_memory(asked[:1]))
                found[name].answers = worker.answers(asked)
                workers[name] = worker
            except PskdError as error:
                found[name].error = error
        took = in_turns({name: (worker, timed) for name, worker in workers.items()}, calls)
    for name, outcome in took.items():
        if isinstance(outcome, Latency):
            found[name].latency = outcome
        else:
            found[name].error = outcome
    return found


Key = TypeVar("Key", bound=Hashable)


def in_turns(
    workers: Mapping[Key, tuple[Worker, Windows]], calls: int
) -> dict[Key, Latency | PskdError]:
    """Time calls of several workers, each on windows of its own; one that fails is out."""
    times: dict[Key, list[NDArray[np.int64]]] = {key: [] for key in workers}
    failed: dict[Key, PskdError] = {}
    for _ in range(ROUNDS):
        for key, (worker, windows) in workers.items():
            if key in failed:
                continue
            try:
                times[key].append(worker.latencies(windows, -(-calls // ROUNDS)))
            except PskdError as error:
                failed[key] = error
    return {key: failed.get(key) or _latency(np.concatenate(times[key])) for key in workers}


def _note_memory(measured: Measured, memory: Memory | None) -> None:
    if memory is None:
        measured.missing["memory"] = "this system does not tell it"
    else:
        measured.memory = MemoryFacts(**memory._asdict())


def _latency(times: NDArray[np.int64]) -> Latency:
    p50, p99 = np.percentile(times, [50, 99]) / 1000
    return Latency(calls=len(times), p50_us=p50, p99_us=p99)


def machine() -> MachineFacts:
    """The machine that this runs on, and how busy it is."""
    return MachineFacts(
        cpu=_cpu() or platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        platform=platform.platform(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def _cpu() -> str:
    """Name of the processor, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "")
