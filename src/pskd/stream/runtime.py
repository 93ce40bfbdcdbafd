"""A student opened to run on a stream: in the fastest runtime that is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pskd.edge.export import EXPORT, read_export
from pskd.edge.settings import StreamSettings, read_settings
from pskd.edge.targets import TARGETS, Runner
from pskd.errors import CheckpointError, UsageError, nearest
from pskd.models.student_config import CONFIG, StudentConfig, read_config
from pskd.models.student_folder import find_student


@dataclass(frozen=True)
class Student:
    """A student at work.

    Attributes:
        runner: Takes windows [1, 3, S] in g.
        config: What it expects and predicts.
        settings: How its windows become decisions.
        runtime: Name of the target that runs it.
    """

    runner: Runner
    config: StudentConfig
    settings: StreamSettings
    runtime: str


def open_student(
    folder: Path, runtime: str = "auto", settings: StreamSettings | None = None
) -> Student:
    """Open the student of a run folder, or a student folder.

    Args:
        folder: Of the run or the student; exports are looked for in its folder `export`.
        runtime: A target. `auto`: the ONNX export where it can be run, else PyTorch.

        settings: How its windows become decisions; by default what its `stream.json` says.

    Raises:
        UsageError: There is no student; an unknown target, or one that was not exported or whose
            runtime is not installed.
        CheckpointError: The student or the export is torn, foreign, newer, or of another student.
    """
    student = find_student(folder)
    if runtime not in (*TARGETS, "auto"):
        raise UsageError(f"unknown runtime {runtime!r}", remedy=nearest(runtime, TARGETS))
    config = read_config(student / CONFIG)
    if settings is None:
        settings = read_settings(student)
    if runtime == "auto":
        runtime = "onnx" if _is_there("onnx", folder) else "torch"
    path = student if runtime == "torch" else _exported(runtime, folder, config)
    return Student(TARGETS[runtime].load(path), config, settings, runtime)


def _is_there(name: str, folder: Path) -> bool:
    """Whether an export can be run, and is the student: none that was kept with `--accept`."""
    if not (folder / "export" / EXPORT).is_file():
        return False
    exported = read_export(folder / "export").files.get(name)
    if exported is None or exported.accepted:
        return False
    try:
        TARGETS[name].require()
    except UsageError:
        return False
    return True


def find_export(run: Path, name: str, config: StudentConfig) -> Path | None:
    """The file of an export of a run, whose checksum was compared; None where there is none.

    Raises:
        CheckpointError: An export is torn, foreign, newer, or of another student.
    """
    folder = run / "export"
    if not (folder / EXPORT).is_file():
        return None
    export = read_export(folder)
    if export.student_sha256 != config.sha256:
        raise CheckpointError(
            "holds the exports of another student",
            where=folder,
            remedy=f"Delete it, then pskd export {run}",
        )
    return folder / export.files[name].file if name in export.files else None


def _exported(name: str, folder: Path, config: StudentConfig) -> Path:
    TARGETS[name].require()
    path = find_export(folder, name, config)
    if path is None:
        raise UsageError(
            f"no export for {name} here", where=folder, remedy=f"pskd export {folder} --to {name}"
        )
    return path
