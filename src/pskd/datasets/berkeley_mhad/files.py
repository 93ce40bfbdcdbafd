"""Which files of Berkeley-MHAD there are, and reading the one of a trial."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pskd.data.archive import Archive
from pskd.errors import DataError

Trial = tuple[int, int, int]
"""Subject, action and trial, as numbered in the file names."""

_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip", "")

T = TypeVar("T")


def sources(folder: Path, names: str) -> list[Path]:
    """Return the archives and folders whose name, in lower case, matches a pattern.

    Of an archive and a folder of one name the archive is taken: nobody has edited it.
    """
    try:
        there = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot be listed ({error})", where=folder) from error
    found: dict[str, Path] = {}
    for suffix in _SUFFIXES:
        for path in there:
            stem = path.name.lower().removesuffix(suffix)
            fits = path.name.lower().endswith(suffix) and path.is_dir() == (not suffix)
            if fits and re.fullmatch(names, stem):
                found.setdefault(stem, path)
    return sorted(found.values())


class Files:
    """The files of one kind, by trial.

    Args:
        archives: Where to look.
        start: What their names begin with.
        suffix: What they end with.
    """

    def __init__(self, archives: Iterable[Archive], start: str, suffix: str) -> None:
        numbers = r"_s(\d{1,3})_a(\d{1,3})_r(\d{1,3})"
        pattern = re.compile(start + numbers + re.escape(suffix), re.IGNORECASE)
        self.by_trial: dict[Trial, list[tuple[Archive, str]]] = {}
        for archive in archives:
            for name in archive.names:
                if match := pattern.fullmatch(name.rpartition("/")[2]):
                    subject, action, trial = map(int, match.groups())
                    self.by_trial.setdefault((subject, action, trial), []).append((archive, name))

    def read(self, trial: Trial, at_most: int, parse: Callable[[bytes], T]) -> T:
        """Parse the one file of a trial that has any.

        Raises:
            DataError: It has several, or the one cannot be read or parsed.
        """
        places = [f"{archive.path.name}/{name}" for archive, name in self.by_trial[trial]]
        if len(places) > 1:
            raise DataError(f"has two files: {', '.join(places)}", remedy="Leave one for the trial")
        archive, name = self.by_trial[trial][0]
        try:
            return parse(archive.read(name, at_most))
        except ValueError as error:
            raise DataError(
                str(error), where=places[0], remedy="Put the official file there if this is another"
            ) from error
