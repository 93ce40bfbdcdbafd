"""What a student expects and predicts, and how it came to be: the `config.json` of its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from pskd import __version__
from pskd.errors import printable
from pskd.files import read_json
from pskd.models.base import Signal

FORMAT = 1
"""Version of the student folder that this package writes."""

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
MAX_CONFIG_BYTES = 1_000_000
MAX_OPTIONS = 2000
"""Characters that the options of a model may take; a layer takes some of them."""

COPY_AGAIN = "Copy the whole folder again, or train the student again"


Text = Annotated[str, AfterValidator(printable)]
Name = Annotated[Text, Field(max_length=100)]

Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class StudentConfig(BaseModel):
    """What a student expects, what it predicts, and how it came to be.

    Its texts can be printed: what is no plain text in them is written out.

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
    model: Name
    options: dict[str, Any] = {}
    dataset: Text
    classes: Annotated[list[Text], Field(min_length=2, max_length=10_000)]
    samples: Annotated[int, Field(ge=2, le=65_536)]
    embedding: Annotated[int, Field(ge=1, le=65_536)]
    unit: Literal["g"] = "g"
    rate: Annotated[float, Field(gt=0)]
    window_seconds: Seconds
    hop_seconds: Seconds
    normalisation: Text
    placement: Text
    protocol: Text
    protocol_note: Text
    accuracy: Fraction | None = None
    macro_f1: Fraction | None = None
    parameters: Annotated[int, Field(ge=0)]
    macs: Annotated[int, Field(ge=0)]
    sha256: Name = ""
    licence: Text
    seed: int
    pskd_version: Name = __version__

    @field_validator("options")
    @classmethod
    def _short(cls, options: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(options, allow_nan=False)) > MAX_OPTIONS:
            raise ValueError(f"they take more than {MAX_OPTIONS} characters")
        return options

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


def read_config(path: Path) -> StudentConfig:
    """Read a `config.json`.

    Raises:
        CheckpointError: It is missing, torn, foreign, too large or of a newer version.
    """
    return read_json(
        path,
        StudentConfig,
        name="student configuration",
        version=FORMAT,
        most=MAX_CONFIG_BYTES,
        find=f"Name a student folder, one with {CONFIG} and {WEIGHTS}",
        mend=COPY_AGAIN,
    )
