"""What the manifest says of a recording."""

from __future__ import annotations

from dataclasses import dataclass

from pskd.data.accelerometer_file import Unit
from pskd.datasets.folder.settings import Alignment
from pskd.errors import PskdError

MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Row:
    """One recording as the manifest has it.

    Attributes:
        line: Line in the manifest.
        recording: Its unique name.
        label: Name of its class.
        subject: Who moved.
        trial: Which repetition; counted where the manifest does not say.
        session: Recording session.
        scene: Place.
        side: `train`, `validation`, `test`, or empty.
        accelerometer: Name of the file in the folder.
        skeleton: Name of the file in the folder, None where there is none.
        start: Where it begins in the accelerometer file, in that file's own time, s.
        stop: Where it ends there.
        rate: Samples a second of an accelerometer file without time stamps.
        skeleton_rate: Frames a second of a skeleton without time stamps.
        unit: Unit of the accelerometer file.
        alignment: How the two signals go together.
    """

    line: int
    recording: str
    label: str
    subject: str
    trial: str
    session: str
    scene: str
    side: str
    accelerometer: str
    skeleton: str | None
    start: float | None
    stop: float | None
    rate: float | None
    skeleton_rate: float | None
    unit: Unit
    alignment: Alignment

    @property
    def files(self) -> tuple[str, ...]:
        """Its files."""
        return (self.accelerometer, self.skeleton) if self.skeleton else (self.accelerometer,)

    @property
    def where(self) -> str:
        """Its place, for errors."""
        return f"{MANIFEST}, line {self.line}"


@dataclass(frozen=True)
class BadRow:
    """A line that names no recording that can be used.

    Attributes:
        name: Name of the recording, or of the line where that is none of its own.
        errors: All that is wrong with it.
        files: The files that it names, so far as they are there.
    """

    name: str
    errors: tuple[PskdError, ...]
    files: tuple[str, ...]
