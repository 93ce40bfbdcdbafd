"""What folders, zips and tars have in common: names, limits, digests."""

from __future__ import annotations

import hashlib
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from pskd.errors import DataError, PskdError
from pskd.files import write_atomic

MIB = 1 << 20
_SETTLED_NS = 2_000_000_000  # after which another change of a file must show in its time stamp
_notes: ContextVar[Path | None] = ContextVar("notes", default=None)


@dataclass(frozen=True)
class Limits:
    """What an archive may hold.

    Attributes:
        members: Number of files; MMAct has 150,000.
        total: Bytes of all files together, unpacked.
        ratio: Bytes unpacked for each byte of the archive; what unpacks to 1 MiB is let off.
    """

    members: int = 200_000
    total: int = 64 << 30
    ratio: int = 100

    def check(self, path: Path, members: int, total: int) -> None:
        """Raise DataError if an archive has more members or bytes than these."""
        if members > self.members:
            raise DataError(f"holds more than {self.members} files", where=path)
        if total > self.total:
            raise DataError(f"holds more than {self.total} bytes", where=path)


class Archive(ABC):
    """Named files under one path. Use it as a context manager.

    It is judged when its names or contents are first asked for; its digest can be had without.

    Attributes:
        path: The archive or the folder.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self._limits = path, limits

    @property
    @abstractmethod
    def _members(self) -> Mapping[str, object]:
        """Where each file is found, by its name."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Relative names of the files, with forward slashes, sorted."""
        return tuple(sorted(self._members))

    @abstractmethod
    def read(self, name: str, at_most: int) -> bytes:
        """Return the bytes of one file; DataError if it is damaged or over `at_most` bytes."""

    def digest(self) -> str:
        """Return the sha256 of the contents; for a folder of all names and contents.

        Within `digests_remembered`, what has the same sizes and time stamps is not read again.

        Raises:
            DataError: They cannot be read.
        """
        notes = _notes.get()
        try:
            if notes is None:
                return self._digest()
            identity, changed = self._identity()
            with suppress(OSError, ValueError):
                known = (notes / identity).read_text(encoding="ascii")
                if re.fullmatch("[0-9a-f]{64}", known):
                    return known
            digest = self._digest()
        except OSError as error:
            raise unreadable(self.path, error) from error
        if changed < time.time_ns() - _SETTLED_NS:
            with suppress(PskdError):  # a note spares time, no more
                write_atomic(notes / identity, digest.encode(), remedy="")
        return digest

    def _digest(self) -> str:
        return file_digest(self.path)

    def _identity(self) -> tuple[str, int]:
        """Return what tells the contents from others without reading them; last change, ns."""
        about = self.path.stat()
        facts = (self.path.resolve(), about.st_size, about.st_mtime_ns, about.st_ino)
        return text_digest("\0".join(map(str, facts))), about.st_mtime_ns

    def close(self) -> None:  # noqa: B027 - a folder has nothing to close
        """Free what is held open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _too_large(self, name: str, at_most: int) -> DataError:
        return DataError(
            f"larger than the {at_most} bytes expected", where=f"{self.path.name}/{name}"
        )

    def _refused(self, what: str) -> DataError:
        return DataError(
            what, where=self.path, remedy="Download the archive again from its official home"
        )


@contextmanager
def digests_remembered(folder: Path) -> Iterator[None]:
    """Keep the digests of archives as notes in a folder, and believe those that are there."""
    token = _notes.set(folder)
    try:
        yield
    finally:
        _notes.reset(token)


def file_digest(path: Path) -> str:
    """Return the sha256 of a file; OSError if it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_digest(text: str) -> str:
    """Return the sha256 of a text that may hold any file name."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def points_outside(name: str) -> bool:
    """Whether a name is absolute, climbs, or has a drive or a zero byte, on any system."""
    parts = name.replace("\\", "/").split("/")
    return not parts[0] or name[1:2] == ":" or ".." in parts or "\0" in name


def unreadable(path: Path | str, error: Exception) -> DataError:
    """Return the error of a file that is missing, torn or not to be read."""
    return DataError(
        f"cannot be read ({error})",
        where=path,
        remedy="Download it again, or check its permissions",
    )
