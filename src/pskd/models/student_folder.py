"""A trained student as a folder: its weights, what it expects and predicts, and a model card.

The folder holds `model.safetensors`, `config.json` (`StudentConfig`) and `README.md`. Nothing in it
is executed or unpickled.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pskd import __version__
from pskd.errors import CheckpointError, PskdError
from pskd.models import build
from pskd.models.base import Model, Signal

FORMAT = 1
"""Version of the student folder that this package writes."""

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
MAX_CONFIG_BYTES = 1_000_000

Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class StudentConfig(BaseModel):
    """What a student expects, what it predicts, and how it came to be.

    Attributes:
        format: Version of the folder.
        model: Name of the model, as in `pskd.models.MODELS`.
        options: Options of the model.
        dataset: Dataset that it was trained on.
        classes: Names of the classes, in the order of the logits.
        samples: Samples in a window, S.
        embedding: Size of the embedding, E.
        unit: Unit of the acceleration that it takes.
        rate: Nominal sampling rate in Hz, `samples / window_seconds`.
        window_seconds: Duration of a window.
        hop_seconds: Time from one window to the next, unless the user asks otherwise.
        normalisation: `none`, or where the input is normalised: `built into the model`.
        placement: Where the sensor was worn.
        protocol: Name of the protocol that split the dataset.
        protocol_note: What the split means for the figures below.
        accuracy: Accuracy on the test side, 0 to 1.
        macro_f1: Mean F1 of the classes on the test side, 0 to 1.
        parameters: Number of trained parameters.
        macs: Multiply-accumulates of one window.
        sha256: Of `model.safetensors`; `save_student` fills it in.
        licence: Licence of the data that it was trained on.
        seed: Seed of the run.
        pskd_version: Version of this package that wrote it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal[1] = 1
    model: str
    options: dict[str, Any] = {}
    dataset: str
    classes: Annotated[list[str], Field(min_length=2, max_length=10_000)]
    samples: Annotated[int, Field(ge=2, le=65_536)]
    embedding: Annotated[int, Field(ge=1, le=65_536)]
    unit: Literal["g"] = "g"
    rate: Annotated[float, Field(gt=0)]
    window_seconds: Seconds
    hop_seconds: Seconds
    normalisation: str
    placement: str
    protocol: str
    protocol_note: str
    accuracy: Fraction | None = None
    macro_f1: Fraction | None = None
    parameters: Annotated[int, Field(ge=0)]
    macs: Annotated[int, Field(ge=0)]
    sha256: str = ""
    licence: str
    seed: int
    pskd_version: str = __version__

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have the same name")
        if abs(self.rate * self.window_seconds / self.samples - 1) > 0.01:
            raise ValueError(
                f"{self.rate} Hz over {self.window_seconds} s do not give {self.samples} samples"
            )
        return self

    @property
    def signal(self) -> Signal:
        """The signal description that the model is built with."""
        return Signal(classes=len(self.classes), samples=self.samples, embedding=self.embedding)


def save_student(folder: Path, model: Model, config: StudentConfig) -> None:
    """Write a trained student to a folder, over an earlier student if there is one.

    The files are written beside the folder and moved into it, `config.json` last: where that was
    cut short, the checksum does not match and `load_student` refuses the folder.

    Raises:
        CheckpointError: `config` does not describe `model`, or the folder cannot be written.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    _check_tensors(tensors, config, where=folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            new = Path(temporary)
            save_file(tensors, new / WEIGHTS)
            config = config.model_copy(update={"sha256": _sha256(new / WEIGHTS)})
            text = config.model_dump_json(indent=2) + "\n"
            (new / CONFIG).write_text(text, encoding="utf-8")
            (new / CARD).write_text(model_card(config), encoding="utf-8")
            for name in (WEIGHTS, CARD, CONFIG):
                (new / name).replace(folder / name)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"student cannot be written ({error})",
            where=folder,
            remedy="Free space on the disk or choose another folder",
        ) from error


def load_student(folder: Path) -> tuple[Model, StudentConfig]:
    """Read a student that `save_student` wrote, ready to predict (in evaluation mode, on the CPU).

    Raises:
        CheckpointError: A file is missing, torn, foreign or of a newer version.
    """
    config = _read_config(folder / CONFIG)
    weights = folder / WEIGHTS
    try:
        if _sha256(weights) != config.sha256:
            raise CheckpointError(
                f"checksum is not the one in {CONFIG}", where=weights, remedy=_COPY_AGAIN
            )
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"weights cannot be read ({error})", where=weights, remedy=_COPY_AGAIN
        ) from error
    _check_tensors(tensors, config, where=weights)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        model = build(config.model, config.signal, **config.options)
    model.load_state_dict(tensors)
    return model.eval(), config


_COPY_AGAIN = "Copy the whole folder again, or train the student again"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_config(path: Path) -> StudentConfig:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
        if len(raw) > MAX_CONFIG_BYTES:
            raise CheckpointError(
                f"is larger than {MAX_CONFIG_BYTES} bytes, so no student configuration", where=path
            )
        data = json.loads(raw)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"student configuration cannot be read ({error})",
            where=path,
            remedy=f"Name a student folder, one with {CONFIG} and {WEIGHTS}",
        ) from error
    found = data.get("format") if isinstance(data, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise CheckpointError(
            f"has format {found}, this version of pskd reads up to {FORMAT}",
            where=path,
            remedy="Install a newer pskd",
        )
    try:
        return StudentConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise CheckpointError(
            f"is no student configuration: {key}: {first['msg']}", where=path, remedy=_COPY_AGAIN
        ) from error


def _check_tensors(tensors: dict[str, Tensor], config: StudentConfig, where: Path) -> None:
    """Compare tensors with those of the model in `config`, which is built without memory."""
    try:
        with torch.device("meta"):
            expected = build(config.model, config.signal, **config.options).state_dict()
    except PskdError as error:
        raise CheckpointError(
            f"this version of pskd cannot build the student ({error})",
            where=where,
            remedy=f"Use pskd {config.pskd_version}, which wrote it",
        ) from error
    wrong = [
        f"{name} (has {_describe(tensors.get(name))}, needs {_describe(expected.get(name))})"
        for name in sorted(tensors.keys() | expected.keys())
        if _describe(tensors.get(name)) != _describe(expected.get(name))
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(
            f"weights are not those of model {config.model!r}: {', '.join(wrong[:3])}{more}",
            where=where,
            remedy=_COPY_AGAIN,
        )


def _describe(tensor: Tensor | None) -> str:
    if tensor is None:
        return "nothing"
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def model_card(config: StudentConfig) -> str:
    """Model card of a student, in Markdown."""
    accuracy, macro_f1 = (
        "not measured" if value is None else f"{100 * value:.1f} %"
        for value in (config.accuracy, config.macro_f1)
    )
    return f"""# Student `{config.model}`, trained on {config.dataset}

Recognises {len(config.classes)} actions from the accelerometer of a watch alone. Trained by pskd
{config.pskd_version}, an independent implementation of PSKD (progressive cross-modal knowledge
distillation); skeletons were used while training only.

| | |
|---|---|
| Input | acceleration with gravity, x, y, z in {config.unit}, {config.samples} samples over \
{config.window_seconds:g} s ({config.rate:.2f} Hz) |
| Normalisation | {config.normalisation} |
| Sensor worn | {config.placement} |
| Size | {config.parameters:,} parameters, {config.macs:,} multiply-accumulates a window |
| Test accuracy | {accuracy} |
| Test macro-F1 | {macro_f1} |
| Protocol | {config.protocol}: {config.protocol_note} |
| Seed | {config.seed} |
| Licence of the training data | {config.licence} |

Classes: {", ".join(config.classes)}.

## Use

    pskd predict FOLDER recording.csv --unit g

`recording.csv` has the columns t,x,y,z, t in seconds. Windows of {config.window_seconds:g} s are
predicted every {config.hop_seconds:g} s.

## Limits

The student knows no other action than its classes: it names one of them for whatever it is given,
and was trained on clips that hold one whole action each. A sensor worn elsewhere or turned
otherwise than in training lowers the accuracy. It is for research, not for medical or safety use.
"""
