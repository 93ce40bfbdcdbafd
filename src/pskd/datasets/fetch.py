"""Downloading the files of a dataset, in pieces if need be.

A file comes into `.partial` beside its place and is moved there when it is whole and right. What
has come stays there, so that another attempt, or another day, goes on from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pooch
from filelock import FileLock, Timeout

from pskd.datasets.catalogue import DatasetInfo, SourceFile, info
from pskd.datasets.download import Patience, Resuming
from pskd.datasets.verify import fault
from pskd.errors import DataError, UsageError, nearest

_MIRROR = "PSKD_MIRROR"

Progress = Callable[[str, int, int | None], None]
"""Called with the name of a file, its bytes so far, and all of them where they are known."""


@dataclass(frozen=True)
class FetchReport:
    """What `fetch` did.

    Attributes:
        info: The dataset, from the catalogue.
        folder: Where its files are.
        fetched: Names of the files that were downloaded.
        there: Names of those that were there already.
    """

    info: DatasetInfo
    folder: Path
    fetched: tuple[str, ...]
    there: tuple[str, ...]


def fetch(
    name: str,
    folder: Path,
    *,
    files: Sequence[str] | None = None,
    mirror: str | None = None,
    announce: Callable[[DatasetInfo], None] | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> FetchReport:
    """Download what is missing of a dataset.

    Args:
        name: The dataset.
        folder: The folder of all datasets; that of this one is made in it.
        files: Names of the files that are wanted; those that are required, if None.
        mirror: Where to download instead: `<mirror>/<folder of the dataset>/<file>`; by default
            what the environment variable PSKD_MIRROR says.
        announce: Called with licence and citation, before anything is downloaded.
        progress: Called as bytes come in.
        patience: With the server.

    Raises:
        UsageError: An unknown dataset or file, or one that is not to be had from any server.
        DataError: The server, the network or the disk failed; what has come is kept. Or another
            process is fetching the same.
    """
    entry = info(name)
    if announce:
        announce(entry)
    mirror = mirror or os.environ.get(_MIRROR)
    place = folder / entry.directory
    fetched: list[str] = []
    there: list[str] = []
    for file in _wanted(entry, files):
        target = place / file.name
        if target.exists() and fault(target, file) is None:
            there.append(file.name)
            continue
        url = f"{mirror.rstrip('/')}/{entry.directory}/{file.name}" if mirror else file.url
        if url is None:
            raise UsageError(
                f"{file.name} of {entry.title} is not to be had by fetch", remedy=entry.how
            )
        try:
            place.mkdir(parents=True, exist_ok=True)
            with FileLock(place / ".lock", timeout=0):
                _fetch(url, target, file, entry, progress or _silent, patience or Patience())
        except Timeout:
            raise DataError(
                "another process is fetching into it", where=place, remedy="Wait until it is done"
            ) from None
        except OSError as error:
            raise DataError(
                f"cannot be written ({error.strerror or error})",
                where=target,
                remedy="Free some space there and fetch again: it goes on from what has come",
            ) from error
        fetched.append(file.name)
    return FetchReport(entry, place, tuple(fetched), tuple(there))


def _wanted(entry: DatasetInfo, files: Sequence[str] | None) -> list[SourceFile]:
    if not entry.files:
        raise UsageError(f"{entry.title} has no files to fetch", remedy=entry.how)
    if files is None:
        return [file for file in entry.files if file.required]
    known = {file.name: file for file in entry.files}
    for name in files:
        if name not in known:
            raise UsageError(f"{entry.title} has no file {name!r}", remedy=nearest(name, known))
    return [known[name] for name in files]


def _fetch(
    url: str,
    target: Path,
    file: SourceFile,
    entry: DatasetInfo,
    progress: Progress,
    patience: Patience,
) -> None:
    """Download one file; if it was put together from parts and is wrong, begin anew once."""
    work = target.parent / ".partial"
    new = work / file.name
    known = f"sha256:{file.sha256}" if file.sha256 else None
    pooch.get_logger().setLevel("WARNING")
    for last in (False, True):
        download = Resuming(
            work / f"{file.name}.part",
            file.at_most,
            patience,
            entry.how,
            lambda done, total: progress(file.name, done, total),
        )
        new.unlink(missing_ok=True)
        try:
            pooch.retrieve(url, known, fname=file.name, path=work, downloader=download)
            why = fault(new, file)
        except ValueError as error:  # pooch found another sha256
            why = str(error).partition(". ")[0]
        if why is None:
            break
        new.unlink(missing_ok=True)
        if last or not download.resumed:
            raise DataError(
                f"gives another file than {file.name}: {why}", where=url, remedy=entry.how
            )
    new.replace(target)
    with suppress(OSError):
        work.rmdir()


def _silent(name: str, done: int, total: int | None) -> None:
    pass
