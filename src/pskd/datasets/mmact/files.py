"""Which files of MMAct there are, and what each is of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pskd.data.archive import Archive
from pskd.errors import DataError


class Take(NamedTuple):
    """One performance, whoever saw it."""

    subject: int
    scene: int
    session: int
    action: str
    """Name of the file in lower case, words joined by underscores."""

    @property
    def name(self) -> str:
        """Name for people, `s01_sc3_se4_carrying`."""
        return f"s{self.subject:02d}_sc{self.scene}_se{self.session}_{self.action}"


class Clip(NamedTuple):
    """A take as one camera saw it."""

    take: Take
    camera: int | None
    """None where nobody saw it."""

    @property
    def name(self) -> str:
        """Name of the trial, `s01_c2_sc3_se4_carrying`."""
        subject, _, rest = self.take.name.partition("_")
        return self.take.name if self.camera is None else f"{subject}_c{self.camera}_{rest}"


_CLIP = re.compile(r"s(\d+)(?:_c(\d+))?_sc(\d+)_se(\d+)_(.+)")
_PATH = r"(?:.*/)?subject(\d{1,4})/%sscene(\d{1,4})/session(\d{1,4})/([^/]+)\.%s"


def parse_clip(trial: str) -> Clip | None:
    """Return what the name of a trial stands for; None if it is the path of a stray file."""
    match = _CLIP.fullmatch(trial)
    if match is None:
        return None
    subject, scene, session = (int(match[i]) for i in (1, 3, 4))
    return Clip(Take(subject, scene, session, match[5]), int(match[2]) if match[2] else None)


def words(name: str) -> str:
    """The name of an action as files and classes share it: lower case, words joined by `_`."""
    return "_".join(re.findall(r"[a-z0-9]+", name.lower()))


class Files:
    """The files of one kind in an archive, by clip.

    Args:
        archive: Where they are; not looked into before there is need to.
        suffix: Their suffix, in lower case.
        seen: Whether they are of a camera, and so have `camN` in their path.
    """

    def __init__(self, archive: Archive, suffix: str, *, seen: bool) -> None:
        self.archive, self._suffix, self._seen = archive, suffix, seen

    @property
    def by_clip(self) -> dict[Clip, list[str]]:
        """Names of the files; a clip has several if they differ in case, or are copies."""
        return self._sorted[0]

    @property
    def stray(self) -> list[str]:
        """Paths of files of that kind that lie where no clip has its own."""
        return self._sorted[1]

    @cached_property
    def _sorted(self) -> tuple[dict[Clip, list[str]], list[str]]:
        camera = r"cam(\d{1,4})/" if self._seen else "()"
        path = re.compile(_PATH % (camera, self._suffix), re.IGNORECASE)
        by_clip: dict[Clip, list[str]] = {}
        stray = []
        for name in self.archive.names:
            if not name.lower().endswith(f".{self._suffix}") or _hidden(name):
                continue
            match = path.fullmatch(name)
            action = words(match[5]) if match else ""
            if match is None or not action:
                stray.append(f"{self.archive.path.name}/{name}")
                continue
            subject, scene, session = (int(match[i]) for i in (1, 3, 4))
            clip = Clip(
                Take(subject, scene, session, action), int(match[2]) if self._seen else None
            )
            by_clip.setdefault(clip, []).append(name)
        return by_clip, stray

    def read(self, clip: Clip, at_most: int) -> tuple[str, bytes]:
        """Return the place and bytes of the one file of a clip.

        Copies under several protocols, as `cross_view/` and `cross_scene/`, are one file: the
        first is taken.

        Raises:
            DataError: There is none, or several in one folder, or it cannot be read.
        """
        names = self.by_clip.get(clip, [])
        folders = [name.rpartition("/")[0].lower() for name in names]
        if len(set(folders)) < len(folders) or not names:
            what = f"has several: {', '.join(names)}" if names else "is missing"
            raise DataError(
                f"its file {what}", where=self.archive.path.name, remedy="Leave one for the trial"
            )
        return f"{self.archive.path.name}/{names[0]}", self.archive.read(names[0], at_most)


def children(folder: Path, names: Iterable[str]) -> list[Path]:
    """Return what a folder holds under some names in lower case, in the order of the names."""
    try:
        there = {path.name.lower(): path for path in sorted(folder.iterdir())}
    except OSError as error:
        raise DataError(f"cannot be listed ({error})", where=folder) from error
    return [there[name] for name in names if name in there]


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__macosx")) for part in name.lower().split("/"))
