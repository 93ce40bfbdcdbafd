"""The index of a store: what is known of its recordings without touching their signals.

`index.json` begins with the sha256 of all its bytes that follow. Recordings stand in columns, which
are read faster than an object for each.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pskd.data.recording import Recording


@dataclass(frozen=True)
class RecordingInfo:
    """What is known of a recording without touching its signals."""

    id: str
    label: int
    subject: str
    trial: str
    session: str
    rate: float
    samples: int
    frames: int
    scene: str = ""
    view: str = ""
    take: str = ""
    start: float = 0.0
    side: str = ""
    aligned: bool = True

    @property
    def seconds(self) -> float:
        """Duration of the accelerometer signal."""
        return self.samples / self.rate

    @property
    def has_skeleton(self) -> bool:
        """Whether there is a skeleton."""
        return self.frames > 0


_NAMES = tuple(field.name for field in fields(RecordingInfo))
_HEAD = b'{"sha256": "%s", '
_HEAD_BYTES = len(_HEAD) - len("%s") + 64


def describe(recording: Recording) -> RecordingInfo:
    """Return what is to be known of a recording, in types that JSON has."""
    return RecordingInfo(
        id=recording.id,
        label=int(recording.label),
        subject=str(recording.subject),
        trial=str(recording.trial),
        session=str(recording.session),
        scene=str(recording.scene),
        view=str(recording.view),
        take=str(recording.take),
        start=float(recording.start),
        side=recording.side,
        aligned=bool(recording.aligned),
        rate=float(recording.rate),
        samples=len(recording.acceleration),
        frames=0 if recording.skeleton is None else len(recording.skeleton),
    )


def write_index(path: Path, content: Mapping[str, Any], infos: Iterable[RecordingInfo]) -> None:
    """Write an index to disk; OSError if it cannot be written."""
    rows = [vars(info) for info in infos]
    columns = {name: [row[name] for row in rows] for name in _NAMES}
    rest = json.dumps({**content, "recordings": columns}).encode().removeprefix(b"{")
    with path.open("wb") as stream:
        stream.write(_HEAD % hashlib.sha256(rest).hexdigest().encode() + rest)
        stream.flush()
        os.fsync(stream.fileno())


def read_index(path: Path) -> tuple[dict[str, Any], list[RecordingInfo]]:
    """Return the content of an index and its recordings; ValueError if it was changed."""
    data = path.read_bytes()
    head, rest = data[:_HEAD_BYTES], data[_HEAD_BYTES:]
    if head != _HEAD % hashlib.sha256(rest).hexdigest().encode():
        raise ValueError(f"{path.name} is not as it was written")
    content = json.loads(b"{" + rest)
    columns = content.pop("recordings")
    return content, list(map(RecordingInfo, *(columns[name] for name in _NAMES)))
