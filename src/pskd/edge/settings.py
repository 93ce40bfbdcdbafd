"""How a student decides on a stream: the `stream.json` of its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pskd.errors import CheckpointError
from pskd.files import read_json, write_atomic
from pskd.models.student_config import CONFIG, Seconds, Text, read_config

FORMAT = 1
STREAM = "stream.json"
MAX_STREAM_BYTES = 100_000


class StreamSettings(BaseModel):
    """How windows become decisions.

    Attributes:
        format: Version of the file.
        student_sha256: Of the weights that it was calibrated for; empty: not calibrated.
        hop_seconds: Time from one window to the next; by default the student's.
        smoothing: How a window's probabilities are joined with those before.
        smoothing_seconds: Time constant of the exponential; mean duration of an action in the
            hidden Markov model.
        rejection: The score by which a window is unknown: the largest probability, or the
            negative free energy, logsumexp of the logits (Liu et al., NeurIPS 2020).
        threshold: A window with a lower score is unknown.
        idle_g: A window that moves less is idle, g; 0: never. See `decisions.movement`.
        agree: Windows in a row that must name an action before it is reported.
        refractory_seconds: After an action was reported, none begins for so long.
        note: What it was calibrated on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal[1] = 1
    student_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    hop_seconds: Seconds | None = None
    smoothing: Literal["none", "exponential", "hmm"] = "exponential"
    smoothing_seconds: Seconds = 1.0
    rejection: Literal["none", "probability", "energy"] = "none"
    threshold: float = 0.0
    idle_g: Annotated[float, Field(ge=0)] = 0.0
    agree: Annotated[int, Field(ge=1, le=100)] = 1
    refractory_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    note: Annotated[Text, Field(max_length=2000)] = ""


def read_settings(student: Path) -> StreamSettings:
    """Read the settings of a student folder; without a file, the defaults.

    Raises:
        CheckpointError: The file is torn, newer, or was calibrated for another student.
    """
    path = student / STREAM
    if not path.exists():
        return StreamSettings()
    settings = read_json(
        path,
        StreamSettings,
        name="stream settings",
        version=FORMAT,
        most=MAX_STREAM_BYTES,
        find="Delete it, or calibrate again",
        mend="Delete it, or calibrate again",
    )
    if settings.student_sha256 not in ("", read_config(student / CONFIG).sha256):
        raise CheckpointError(
            "was calibrated for another student", where=path, remedy="Delete it, or calibrate again"
        )
    return settings


def write_settings(student: Path, settings: StreamSettings) -> None:
    """Write the settings of a student into its folder.

    Raises:
        PskdError: The disk is full or the folder cannot be written.
    """
    content = settings.model_dump_json(indent=2) + "\n"
    write_atomic(student / STREAM, content.encode(), remedy="Free some space")
