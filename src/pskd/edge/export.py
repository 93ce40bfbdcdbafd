"""From a trained student to the files that a product ships, and the JSON beside them.

An export folder holds the files of one or more targets and `export.json` (`Export`), which says
what goes in, what comes out, how well it does, and the checksum of every file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pskd import __version__
from pskd.data.archive import file_digest
from pskd.edge.material import Material
from pskd.edge.parity import Exam, Parity, check, set_exam
from pskd.edge.targets import TARGETS, Target
from pskd.errors import CheckpointError, PskdError, UsageError, nearest, printable
from pskd.files import read_json, write_atomic
from pskd.models.student_config import Fraction, Seconds, StudentConfig

FORMAT = 1
"""Version of the export folder that this package writes."""

EXPORT = "export.json"
_BESIDE = ".export-"
MAX_BYTES = 4_000_000

INTENDED_USE = (
    "Recognition of the listed actions from an accelerometer worn as said under placement. Not for "
    "medical decisions, surveillance, or alarms that a life depends on; check it on your own "
    "wearers and device first."
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Text = Annotated[str, Field(max_length=2000), AfterValidator(printable)]
_NAME = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
RelativePath = Annotated[str, Field(pattern=f"^{_NAME}(/{_NAME})*$", max_length=200)]
"""Below the folder, and nothing hidden: the same path on every system and on the Hub."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class Input(_Strict):
    """What goes in: one window, raw.

    Attributes:
        name: Of the input, in formats that name them.
        shape: [1, channels, samples].
        channels: In their order.
        unit: Of the samples.
        rate: Samples a second.
        window_seconds: Duration of a window.
        hop_seconds: Time from one window to the next.
        normalisation: Where the samples are normalised.
        placement: Where the sensor was worn.
    """

    name: Literal["acceleration"] = "acceleration"
    shape: tuple[Literal[1], Literal[3], Annotated[int, Field(ge=2, le=65_536)]]
    channels: tuple[Literal["x"], Literal["y"], Literal["z"]] = ("x", "y", "z")
    unit: Literal["g"]
    rate: Annotated[float, Field(gt=0)]
    window_seconds: Seconds
    hop_seconds: Seconds
    normalisation: Text
    placement: Text


class ExportedFile(_Strict):
    """One export.

    Attributes:
        file: What a runtime opens, relative to the folder.
        sha256: Of every file of the export by its path, `file` among them.
        bytes: Of all of them.
        parity: How it compares with PyTorch, as it was when it was made.
        accepted: It broke a limit, and was kept because the user asked for that.
        pskd_version: Version of this package that made it.
    """

    file: RelativePath
    sha256: dict[RelativePath, Sha256]
    bytes: Count
    parity: Parity
    accepted: bool = False
    pskd_version: Text = __version__

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if EXPORT in self.sha256:
            raise ValueError(f"{EXPORT} is no export")
        if not any(f"{part}/".startswith(f"{self.file}/") for part in self.sha256):
            raise ValueError(f"{self.file} has no checksum")
        return self


class Export(_Strict):
    """What `export.json` says.

    Attributes:
        format: Version of the folder.
        student_sha256: Of the weights that were exported.
        input: What goes in.
        outputs: Names and numbers of values of what comes out.
        classes: In the order of the outputs.
        accuracy: Of the student on the test side, 0 to 1.
        macro_f1: Mean F1 of the classes on the test side, 0 to 1.
        dataset: That it was trained on.
        protocol: How test subjects were kept apart.
        protocol_note: What that means for the figures.
        parameters: Number of trained parameters.
        macs: Multiply-accumulates of a window.
        licence: Of the data that it was trained on.
        intended_use: What it is for, and what not.
        calibration: Windows of the training side that int8 ranges were measured on.
        files: The exports by target.
    """

    format: Literal[1] = 1
    student_sha256: Sha256
    input: Input
    outputs: dict[Literal["logits", "probabilities"], Count]
    classes: Annotated[tuple[Text, ...], Field(min_length=2, max_length=10_000)]
    accuracy: Fraction | None
    macro_f1: Fraction | None
    dataset: Text
    protocol: Text
    protocol_note: Text
    parameters: Count
    macs: Count
    licence: Text
    intended_use: Text = INTENDED_USE
    calibration: Count
    files: dict[Annotated[str, Field(pattern="^[a-z0-9.-]{1,40}$")], ExportedFile] = {}


def parse_targets(text: str) -> list[str]:
    """Names of targets out of a list by commas, or `all`: all but PyTorch itself.

    Raises:
        UsageError: One that is not known.
    """
    names = [name.strip() for name in text.split(",")]
    if names == ["all"]:
        return [name for name in TARGETS if name != "torch"]
    for name in names:
        if name not in TARGETS:
            raise UsageError(f"unknown target {name!r} in --to", remedy=nearest(name, TARGETS))
    return list(dict.fromkeys(names))


def export_student(
    material: Material,
    names: Iterable[str],
    folder: Path,
    *,
    accept: bool = False,
    told: Callable[[str, Parity], None] = lambda name, parity: None,
    left_out: Callable[[str, UsageError], None] | None = None,
) -> Export:
    """Write a student for some targets, each one checked against PyTorch before it is kept.

    Exports of the same student that are in the folder already stay, or are replaced. A target that
    fails is left out and the rest are written.

    Args:
        material: The student and the windows that it is calibrated and checked with.
        names: Of the targets.
        folder: Where to.
        accept: Keep an export that breaks a limit, and say so in `export.json`.
        told: Called with every target that was checked.
        left_out: Called with every target that cannot be made here, such as one whose runtime is
            not installed; without it that is an error, before anything is written.

    Raises:
        UsageError: A target cannot be made here, or the folder holds another student's exports.
        PskdError: An export cannot be made, breaks a limit, or the folder cannot be written.
    """
    targets = []
    for target in map(TARGETS.__getitem__, names):
        try:
            target.require()
            targets.append(target)
        except UsageError as error:
            if not left_out:
                raise
            left_out(target.name, error)
    exam, export = set_exam(material), _claim(material, folder)
    failed: list[PskdError] = []
    for target in targets:
        try:
            exported = _make(target, material, exam, folder, accept, told)
        except PskdError as error:
            if left_out and isinstance(error, UsageError):
                left_out(target.name, error)
            else:
                failed.append(error)
            continue
        files = export.files | {target.name: exported}
        export = export.model_copy(update={"files": dict(sorted(files.items()))})
        _write(folder / EXPORT, export)
    if not any(folder.iterdir()):
        folder.rmdir()
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise PskdError(f"{len(failed)} exports failed: " + " ".join(map(str, failed)))
    if not export.files:
        raise UsageError("no target can be made here", remedy="Install a runtime: pskd[edge]")
    return export


def read_export(folder: Path) -> Export:
    """Read `export.json`, and make sure that every file is the one that it was written for.

    Raises:
        CheckpointError: A file is missing, torn, swapped, foreign or of a newer version.
    """
    export = read_listing(folder / EXPORT)
    for name, exported in export.files.items():
        for part, expected in exported.sha256.items():
            path = folder / part
            if not path.resolve().is_relative_to(folder.resolve()):
                raise CheckpointError(f"{name} lies outside of the folder", where=path)
            if not path.is_file():
                raise CheckpointError(
                    f"{name} is missing", where=path, remedy="Export the student again"
                )
            if file_digest(path) != expected:
                raise CheckpointError(
                    f"checksum is not the one in {EXPORT}",
                    where=path,
                    remedy="Copy the whole folder again, or export the student again",
                )
    return export


def _make(
    target: Target,
    material: Material,
    exam: Exam,
    folder: Path,
    accept: bool,
    told: Callable[[str, Parity], None],
) -> ExportedFile:
    """Export into a folder of its own, check it there, and move it into place."""
    try:
        beside = TemporaryDirectory(dir=folder, prefix=_BESIDE)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    with beside as temporary:
        new = Path(temporary)
        target.export(material, new)
        parity = check(new, target.name, exam)
        told(target.name, parity)
        if not parity.passed and not accept:
            raise PskdError(
                f"{target.name} is not the student: {parity.sentence}",
                remedy="--accept keeps it and says so in export.json; where int8 loses too much, "
                "`pskd finetune` trains the student for it",
            )
        paths = sorted(path for path in new.rglob("*") if path.is_file())
        exported = ExportedFile(
            file=target.file,
            sha256={path.relative_to(new).as_posix(): file_digest(path) for path in paths},
            bytes=sum(path.stat().st_size for path in paths),
            parity=parity,
            accepted=not parity.passed,
        )
        try:
            for path in paths:
                place = folder / path.relative_to(new)
                place.parent.mkdir(parents=True, exist_ok=True)
                path.replace(place)
        except OSError as error:
            raise _cannot_write(folder, error) from error
    return exported


def _claim(material: Material, folder: Path) -> Export:
    """What the folder holds of this student, made if it is not there."""
    config = material.config
    if (folder / EXPORT).exists():
        export = read_listing(folder / EXPORT)
        if export.student_sha256 != config.sha256:
            raise UsageError(
                "holds the exports of another student",
                where=folder,
                remedy="Choose another --out, or delete it",
            )
        return export
    if folder.exists() and not (folder.is_dir() and all(map(_is_left_over, folder.iterdir()))):
        raise UsageError(
            "exists and is no export of pskd", where=folder, remedy="Choose another --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return describe(config, calibration=len(material.calibration))


def _is_left_over(path: Path) -> bool:
    """Whether an export that was killed, or one that runs now, is at work there."""
    return path.name.startswith(_BESIDE)


def describe(config: StudentConfig, *, calibration: int) -> Export:
    """What is to be known of a student's exports, before there is one."""
    shared = ("accuracy", "macro_f1", "dataset", "protocol", "protocol_note", "parameters", "macs")
    return Export(
        student_sha256=config.sha256,
        input=Input(
            shape=(1, 3, config.samples),
            unit=config.unit,
            rate=config.rate,
            window_seconds=config.window_seconds,
            hop_seconds=config.hop_seconds,
            normalisation=config.normalisation,
            placement=config.placement,
        ),
        outputs={name: len(config.classes) for name in ("logits", "probabilities")},
        classes=tuple(config.classes),
        licence=config.licence,
        calibration=calibration,
        **{name: getattr(config, name) for name in shared},
    )


def read_listing(path: Path) -> Export:
    """Read `export.json` alone.

    Raises:
        CheckpointError: It is missing, torn, foreign or of a newer version.
    """
    return read_json(
        path,
        Export,
        name="list of exports",
        version=FORMAT,
        most=MAX_BYTES,
        find="Name an export folder: `pskd export` writes one",
        mend="Export the student again",
    )


def _write(path: Path, export: Export) -> None:
    content = export.model_dump_json(indent=2) + "\n"
    write_atomic(path, content.encode(), remedy="Free some space, or choose another --out")


def _cannot_write(folder: Path, error: OSError) -> PskdError:
    return PskdError(
        f"cannot be written ({error.strerror})", where=folder, remedy="Choose another --out"
    )
