"""Folders of a cache: made beside their place by one process, and moved there when whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from pskd.errors import DataError


class CacheError(DataError):
    """The cache cannot be written."""


@contextmanager
def writing(cache: Path) -> Iterator[None]:
    """Turn an error of the file system into one that says what to do."""
    try:
        yield
    except OSError as error:
        raise CacheError(
            f"the cache cannot be written ({error})",
            where=cache,
            remedy="Free some space there, or choose a cache folder that can be written",
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder: one process makes it, the others wait; the cache is made."""
    with writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock").acquire()
    with lock:
        yield


def part_of(folder: Path) -> Path:
    """Return where a folder is made."""
    return folder.with_name(f".{folder.name}.part")


def put_in_place(folder: Path) -> None:
    """Move what was made to its place, instead of a damaged folder that may be there.

    Raises:
        CacheError: It cannot be moved.
    """
    old = folder.with_name(f".{folder.name}.old")
    with writing(folder.parent):
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        part_of(folder).rename(folder)
        shutil.rmtree(old, ignore_errors=True)
