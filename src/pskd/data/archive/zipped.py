"""A zip as an archive."""

from __future__ import annotations

import stat
import zipfile
import zlib
from functools import cached_property

from pskd.data.archive.base import MIB, Archive, points_outside, unreadable


class Zip(Archive):
    """Members of a zip."""

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise unreadable(self.path, error) from error

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
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
            self._limits.check(self.path, len(members), total)
        # Against the size of the file itself: a hostile zip may let its members overlap.
        size = self.path.stat().st_size
        if total > MIB and total > self._limits.ratio * size:
            raise self._refused(f"{size} bytes claim to unpack to {total}")
        return members

    def read(self, name: str, at_most: int) -> bytes:
        """Return the bytes of one file."""
        try:
            with self._zip.open(self._members[name]) as stream:
                data = stream.read(at_most + 1)
        except (
            zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError,
            UnicodeDecodeError,  # a header may call text what is none
        ) as error:  # fmt: skip
            raise unreadable(f"{self.path.name}/{name}", error) from error
        if len(data) > at_most:
            raise self._too_large(name, at_most)
        return data

    def close(self) -> None:
        """Close the file."""
        if "_zip" in vars(self):
            self._zip.close()


def _fault(info: zipfile.ZipInfo) -> str | None:
    """Say why a member is refused, if it is."""
    if points_outside(info.orig_filename):  # as written: zipfile shortens it at a zero byte
        return "points outside the archive"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link"
    # Only these two are unpacked piece by piece, so that a limit on their size can hold.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is compressed by method {info.compress_type}, neither stored nor deflated"
    return None
