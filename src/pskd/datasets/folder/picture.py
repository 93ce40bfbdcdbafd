"""A picture of one pair: both signals over time, and whether they look aligned."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pskd.data.recording import SetAside
from pskd.datasets.folder.alignment import make_trace, score_pair
from pskd.datasets.folder.drawing import draw
from pskd.datasets.folder.reader import Folder
from pskd.errors import DataError, UsageError
from pskd.files import write_atomic

_COMPARED = 80


def picture(root: Path, recording: str, path: Path | None = None) -> Path:
    """Draw a pair of a folder.

    Args:
        root: The folder, or an archive of it.
        recording: Name of the recording.
        path: PNG to write; by default one with the name of the recording, in the working directory.

    Returns:
        The file, 1200 pixels wide.

    Raises:
        UsageError: No such recording.
        DataError: The recording cannot be used, has no skeleton or is too short to be judged; there
            is no other pair; the picture cannot be written.
    """
    folder = Folder(root)
    names = folder.trials()
    if recording not in names:
        raise UsageError(
            f"no recording {recording!r}", where=root, remedy="Name one of the manifest"
        )
    drawn = folder.load(recording)
    if isinstance(drawn, SetAside):
        raise DataError(f"{recording!r} cannot be drawn: {drawn.reason}", where=root)
    own = drawn.skeleton is not None and make_trace(drawn, folder.layout)
    traces, found = ([own] if own else []), [drawn]
    for name in np.random.default_rng(0).permutation([name for name in names if name != recording]):
        if len(traces) > _COMPARED:
            break
        other = folder.load(str(name))
        if isinstance(other, SetAside) or other.skeleton is None:
            continue
        if trace := make_trace(other, folder.layout):
            traces.append(trace)
            found.append(other)
    if not own or len(traces) < 2:
        raise DataError(
            f"{recording!r} is {'the only pair' if own else 'no pair of a second or more'}",
            where=root,
            remedy="Draw a recording with a skeleton, beside which there are others",
        )
    score = score_pair(0, [r.id for r in found], [r.label for r in found], traces)
    title = f"{folder.title}: {recording}, {folder.classes[drawn.label]}, subject {drawn.subject}"
    image = draw(drawn, folder.layout, own, score, title)
    path = path or Path(re.sub(r"[^\w.-]+", "_", recording) + ".png")
    write_atomic(path, image, remedy="Name another file", error=DataError)
    return path
