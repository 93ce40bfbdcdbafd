"""The parity certificate: every export against the student, and what each costs to run."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import packages_distributions, version
from pathlib import Path

from pskd import __version__
from pskd.edge.bench import (
    CALLS,
    Entry,
    Measured,
    check_student,
    entries,
    machine,
    measure,
    open_exports,
)
from pskd.edge.golden import golden_windows, is_recorded, save_golden
from pskd.edge.material import Material
from pskd.edge.parity import LIMITS, Exam, compare, differences, finite, set_exam
from pskd.edge.targets import TARGETS
from pskd.edge.worker import SECONDS, Answers
from pskd.errors import CheckpointError, DataError, PskdError, UsageError
from pskd.evaluate.certificate.facts import (
    Certificate,
    DataFacts,
    GoldenFacts,
    Status,
    StudentFacts,
    TargetFacts,
)
from pskd.evaluate.certificate.page import write_certificate_page
from pskd.files import write_atomic
from pskd.models.student_folder import StudentConfig

FILE = "certificate.json"
PAGE = "certificate.html"

TIMED = 64
"""Test windows that calls are timed with."""


def certify(
    folder: Path,
    material: Material,
    student: Path,
    *,
    calls: int = CALLS,
    seconds: float = SECONDS,
) -> Certificate:
    """Compare and measure every export in a folder; write certificate.json, its page, golden.npz.

    An export that fails does not keep the others from being measured.

    Args:
        folder: An export folder.
        material: The student that they were made of, and its data.
        student: Its student folder, which PyTorch is measured on.
        calls: Calls that are timed of each export.
        seconds: Time that an export has for one turn.

    Raises:
        UsageError: The folder holds no export, the student folder another student, or the test side
            does not fit the student.
        DataError: These are not the windows that the student was tested on.
        CheckpointError: A file is not the one that was exported, or was made of another student.
        PskdError: The folder cannot be written.
    """
    export, config = open_exports(folder), material.config
    if export.student_sha256 != config.sha256:
        raise CheckpointError(
            "holds the exports of another student",
            where=folder,
            remedy="Name the run they are of, and by --student what `pskd adapt` made of it",
        )
    check_student(student, export)
    golden = golden_windows(material)
    exam = set_exam(material, golden)
    _check_data(exam, config)
    at, listed = machine(), entries(folder, export, student)
    timed = material.test[:: -(-len(material.test) // TIMED)]
    found = measure(listed, exam.windows, timed, calls, seconds=seconds)
    waived = {name for name, exported in export.files.items() if exported.accepted}
    targets = {
        name: _facts(
            name,
            export.files[name].file if name in export.files else student.name,
            listed[name],
            measured,
            exam,
            name in waived,
        )
        for name, measured in found.items()
    }
    certificate = Certificate(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        student=StudentFacts(
            model=config.model,
            sha256=config.sha256,
            parameters=config.parameters,
            macs=config.macs,
            classes=tuple(config.classes),
            samples=config.samples,
            window_seconds=config.window_seconds,
            placement=config.placement,
        ),
        data=DataFacts(
            dataset=config.dataset,
            protocol=config.protocol,
            note=config.protocol_note,
            test=len(material.test),
            calibration=export.calibration,
        ),
        machine=at,
        versions=_versions(targets),
        limits=LIMITS,
        targets=targets,
        golden=_golden(exam, {n: found[n].answers for n, t in targets.items() if t.parity}),
    )
    remedy = "Free some space, or make the folder writable"
    save_golden(folder, golden, exam.answers.logits[: exam.golden])
    write_atomic(
        folder / FILE, (certificate.model_dump_json(indent=2) + "\n").encode(), remedy=remedy
    )
    write_certificate_page(folder / FILE, folder / PAGE)
    return certificate


def _check_data(exam: Exam, config: StudentConfig) -> None:
    """Compare what PyTorch reaches on the windows at hand with what the student says of itself."""
    if config.accuracy is None:
        return
    found = float((exam.answers.logits[exam.golden :].argmax(1) == exam.labels).mean())
    if abs(found - config.accuracy) * len(exam.labels) > 0.5:
        raise DataError(
            "these are not the windows that the student was tested on: it reaches "
            f"{100 * found:.2f} % on them, and says {100 * config.accuracy:.2f} %",
            where=config.dataset,
            remedy="Name the data of the run with --data-root",
        )


def _facts(
    name: str, file: str, entry: Entry, measured: Measured, exam: Exam, waived: bool
) -> TargetFacts:
    error, parity = measured.error, None
    if measured.answers is not None:
        try:
            parity = compare(exam, measured.answers, name)
        except PskdError as other_classes:
            error = other_classes
    status: Status = "passed"
    if error is not None:
        status = "not measured" if isinstance(error, UsageError) else "failed"
    elif parity is not None and not parity.passed:
        status = "accepted" if waived else "failed"
    return TargetFacts(
        file=file,
        sha256=entry.sha256,
        bytes=entry.bytes,
        int8=name in TARGETS and TARGETS[name].int8,
        status=status,
        reason=str(error or ""),
        parity=parity,
        latency=measured.latency,
        memory=measured.memory,
        missing=measured.missing,
    )


def _golden(exam: Exam, answers: Mapping[str, Answers | None]) -> tuple[GoldenFacts, ...]:
    apart = {name: differences(exam, given) for name, given in answers.items() if given}
    return tuple(
        GoldenFacts(
            name=exam.names[k],
            recorded=is_recorded(exam.names[k]),
            measurable=bool(exam.measurable[k]),
            differences={name: finite(values[k]) for name, values in apart.items()},
        )
        for k in range(exam.golden)
    )


def _versions(targets: Iterable[str]) -> dict[str, str]:
    """Versions of this package, Python, and the runtimes that were asked for."""
    packages = packages_distributions()
    needs = {
        need.partition(".")[0]
        for name in targets
        if name in TARGETS
        for need in TARGETS[name].needs
    }
    names = {"torch", "numpy", *(name for need in needs for name in packages.get(need, ()))}
    return {"pskd": __version__, "python": platform.python_version()} | {
        name: version(name) for name in sorted(names)
    }
