"""Files read from a zip or from an unpacked folder alike; nothing is ever unpacked to disk.

A zip comes from anywhere, so it is judged by its directory before a byte is read, and each member
is read with a limit that holds whatever its header says.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Self

from pskd.errors import DataError

_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What an archive may hold.

    Attributes:
        members: Number of files.
        total: Bytes of all files together, unpacked.
        ratio: Bytes unpacked for each byte of the zip; zips that unpack to 1 MiB are let off.
    """

    members: int = 100_000
    total: int = 8 << 30
    ratio: int = 100


class Archive(ABC):
    """Named files under one path. Use it as a context manager.

    Attributes:
        path: The zip file or the folder.
        names: Relative names of the files, with forward slashes, sorted.
    """

    path: Path
    names: tuple[str, ...]

    @abstractmethod
    def read(self, name: str, at_most: int) -> bytes:
        """Return the bytes of one file; DataError if it is damaged or over `at_most` bytes."""

    @abstractmethod
    def digest(self) -> str:
        """Return the sha256 of the contents; for a folder of all names and contents."""

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


def open_archive(path: Path, limits: Limits | None = None) -> Archive:
    """Open a folder or a zip file after judging all that it names.

    Raises:
        DataError: It is neither; or it is damaged, encrypted, over the limits, compressed in an
            unusual way, or names a file twice, outside itself, or by a symbolic link.
    """
    limits = limits or Limits()
    return _Folder(path, limits) if path.is_dir() else _Zip(path, limits)


def file_digest(path: Path) -> str:
    """Return the sha256 of a file; OSError if it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _Folder(Archive):
    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        names, total = [], 0
        try:
            for file in path.rglob("*"):
                if file.is_symlink():
                    raise DataError(
                        "is a symbolic link", where=file, remedy="Put the file itself in its place"
                    )
                if file.is_file():
                    names.append(file.relative_to(path).as_posix())
                    total += file.stat().st_size
                    _check_size(path, len(names), total, limits)
        except OSError as error:
            raise _unreadable(path, error) from error
        self.names = tuple(sorted(names))

    def read(self, name: str, at_most: int) -> bytes:
        file = self.path / name
        try:
            with file.open("rb") as stream:
                data = stream.read(at_most + 1)
        except OSError as error:
            raise _unreadable(file, error) from error
        if len(data) > at_most:
            raise self._too_large(name, at_most)
        return data

    def digest(self) -> str:
        total = hashlib.sha256()
        try:
            for name in self.names:
                total.update(os.fsencode(f"{name}\0{file_digest(self.path / name)}\n"))
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return total.hexdigest()


class _Zip(Archive):
    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise _unreadable(path, error) from error
        try:
            self._members = self._judge(limits)
        except BaseException:
            self.close()
            raise
        self.names = tuple(sorted(self._members))

    def _judge(self, limits: Limits) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        total = 0
        for info in self._zip.infolist():
            if fault := _fault(info):
                raise self._refused(f"member {info.filename!r} {fault}")
            if info.is_dir():
                continue
            if info.filename in members:
                raise self._refused(f"member {info.filename!r} is there twice")
            members[info.filename] = info
            total += info.file_size
            _check_size(self.path, len(members), total, limits)
        # Against the size of the file itself: a hostile zip may let its members overlap.
        size = self.path.stat().st_size
        if total > _MIB and total > limits.ratio * size:
            raise self._refused(f"{size} bytes claim to unpack to {total}")
        return members

    def _refused(self, what: str) -> DataError:
        return DataError(
            what, where=self.path, remedy="Download the archive again from its official home"
        )

    def read(self, name: str, at_most: int) -> bytes:
        try:
            with self._zip.open(self._members[name]) as stream:
                data = stream.read(at_most + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
            raise _unreadable(f"{self.path.name}/{name}", error) from error
        if len(data) > at_most:
            raise self._too_large(name, at_most)
        return data

    def digest(self) -> str:
        try:
            return file_digest(self.path)
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def close(self) -> None:
        self._zip.close()


def _fault(info: zipfile.ZipInfo) -> str | None:
    """Say why a member is refused, if it is."""
    name = info.orig_filename  # as written: zipfile shortens it at a zero byte
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts or "\0" in name:
        return "points outside the archive"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link"
    # Only these two are unpacked piece by piece, so that a limit on their size can hold.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is compressed by method {info.compress_type}, neither stored nor deflated"
    return None


def _check_size(path: Path, members: int, total: int, limits: Limits) -> None:
    if members > limits.members:
        raise DataError(f"holds more than {limits.members} files", where=path)
    if total > limits.total:
        raise DataError(f"holds more than {limits.total} bytes", where=path)


def _unreadable(path: Path | str, error: Exception) -> DataError:
    return DataError(
        f"cannot be read ({error})",
        where=path,
        remedy="Download it again, or check its permissions",
    )
