"""A folder as an archive."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from functools import cached_property

from pskd.data.archive.base import Archive, file_digest, text_digest, unreadable
from pskd.errors import DataError


class Folder(Archive):
    """Files of a folder and of those within it."""

    @cached_property
    def _members(self) -> dict[str, tuple[int, int]]:
        """Size and time of change of each file, bytes and ns."""
        found: dict[str, tuple[int, int]] = {}
        total, folders = 0, [""]
        try:
            while folders:
                prefix = folders.pop()
                with os.scandir(self.path / prefix) as entries:
                    for entry in entries:
                        name = prefix + entry.name
                        if entry.is_symlink():
                            raise DataError(
                                "is a symbolic link",
                                where=self.path / name,
                                remedy="Put the file itself in its place",
                            )
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(f"{name}/")
                        elif entry.is_file(follow_symlinks=False):
                            about = entry.stat(follow_symlinks=False)
                            found[name] = about.st_size, about.st_mtime_ns
                            total += about.st_size
                            self._limits.check(self.path, len(found), total)
        except OSError as error:
            raise unreadable(self.path, error) from error
        return found

    def only(self, names: Collection[str]) -> Folder:
        """The folder with no other files than these."""
        some = Folder(self.path, self._limits)
        some._members = {name: about for name, about in self._members.items() if name in names}
        return some

    def read(self, name: str, at_most: int) -> bytes:
        """Return the bytes of one file."""
        file = self.path / name
        try:
            with file.open("rb") as stream:
                data = stream.read(at_most + 1)
        except OSError as error:
            raise unreadable(file, error) from error
        if len(data) > at_most:
            raise self._too_large(name, at_most)
        return data

    def _identity(self) -> tuple[str, int]:
        files = [f"{name}\0{size}\0{changed}" for name, (size, changed) in self._members.items()]
        changed = max((changed for _, changed in self._members.values()), default=0)
        return text_digest("\0".join([str(self.path.resolve()), *sorted(files)])), changed

    def _digest(self) -> str:
        total = hashlib.sha256()
        for name in self.names:
            total.update(os.fsencode(f"{name}\0{file_digest(self.path / name)}\n"))
        return total.hexdigest()
