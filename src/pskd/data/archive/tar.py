"""A tar, gzipped or not, as an archive."""

from __future__ import annotations

import gzip
import os
import posixpath
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from pskd.data.archive.base import MIB, Archive, points_outside, unreadable
from pskd.data.archive.headers import tar_files
from pskd.errors import DataError

GZIP = b"\x1f\x8b"
_shared: ContextVar[Path | None] = ContextVar("shared", default=None)


@contextmanager
def unpacked_into(folder: Path | None) -> Iterator[None]:
    """Unpack gzipped tars into a folder that processes may share, if any; the caller deletes it."""
    token = _shared.set(folder)
    try:
        yield
    finally:
        _shared.reset(token)


class Tar(Archive):
    """Members of a tar, read where they lie."""

    @cached_property
    def _file(self) -> int:
        """Descriptor of the tar, plain."""
        try:
            file = self._plain()
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"cannot be unpacked ({error})",
                where=self.path,
                remedy="Download it again, or free some space for temporary files",
            ) from error
        self._closing = weakref.finalize(self, os.close, file)
        return file

    def _plain(self) -> int:
        with self.path.open("rb") as start:
            if start.read(len(GZIP)) != GZIP:
                return os.dup(start.fileno())
        folder = _shared.get()
        if folder is None:
            with tempfile.TemporaryFile() as file:
                self._unpack(file)
                return os.dup(file.fileno())
        plain = folder / f"{self._identity()[0]}.tar"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(plain.with_suffix(".lock")):
            if not plain.exists():
                part = plain.with_suffix(".part")
                try:
                    with part.open("wb") as file:
                        self._unpack(file)
                    part.replace(plain)
                finally:
                    part.unlink(missing_ok=True)
        return os.open(plain, os.O_RDONLY)

    def _unpack(self, file: BinaryIO) -> None:
        most, size, written = self._limits, self.path.stat().st_size, 0
        with gzip.open(self.path) as stream:
            while block := stream.read(MIB):
                written += len(block)
                if written > MIB and written > most.ratio * size:
                    raise self._refused(f"{size} bytes unpack to more than {written}")
                if written > most.total + MIB + 4096 * most.members:  # headers and padding
                    raise DataError(f"holds more than {most.total} bytes", where=self.path)
                file.write(block)
        file.flush()

    @cached_property
    def _members(self) -> dict[str, tuple[int, int]]:
        """Offset and size of each file."""
        members: dict[str, tuple[int, int]] = {}
        total = 0
        try:
            for name, start, size in tar_files(self._file):
                if points_outside(name):
                    raise self._refused(f"member {name!r} points outside the archive")
                name = posixpath.normpath(name)
                if name in members:
                    raise self._refused(f"member {name!r} is there twice")
                members[name] = (start, size)
                total += size
                self._limits.check(self.path, len(members), total)
        except (ValueError, OSError) as error:
            raise self._refused(str(error)) from error
        return members

    def read(self, name: str, at_most: int) -> bytes:
        """Return the bytes of one file."""
        start, size = self._members[name]
        if size > at_most:
            raise self._too_large(name, at_most)
        try:
            data = os.pread(self._file, size, start)
        except OSError as error:
            raise unreadable(f"{self.path.name}/{name}", error) from error
        if len(data) < size:
            raise self._refused("has become shorter")
        return data

    def close(self) -> None:
        """Close the file."""
        if "_file" in vars(self):
            self._closing()
