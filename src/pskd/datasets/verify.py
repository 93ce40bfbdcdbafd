"""Whether the files of a dataset are those that its authors gave out.

An archive differs by how it was packed, so UTD-MHAD and the accelerometers of Berkeley-MHAD are
compared number by number: `hashes/` has the first digits of a sha256 for each file of a recording,
over its numbers as little-endian float64. This makes such a table again, from files to be trusted:

    python -m pskd.datasets.verify utd_mhad ~/data > hashes/utd_mhad.csv
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pskd.data.archive import file_digest, open_archive
from pskd.data.matfile import read_matrix
from pskd.data.rows import read_rows
from pskd.datasets.catalogue import DatasetInfo, SourceFile, info
from pskd.errors import DataError, UsageError

_HASHES = Path(__file__).with_name("hashes")
_DIGITS = 12
_FILE_BYTES, _ROWS = 1 << 20, 50_000
_MEMBER_BYTES = 256 << 20  # of any other file
_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip", "")  # an archive first: nobody has edited it
_PAGE = re.compile(rb"\s*<(!doctype html|html|head)", re.IGNORECASE)

Key = tuple[str, str]
"""A recording, and which of its files: a column of the table."""


class Fingerprint(NamedTuple):
    """The hash of one file of a recording, or why it has none."""

    key: Key
    value: str
    fault: str = ""


class _Contents(NamedTuple):
    pattern: re.Pattern[str]
    """Of file names; the groups `recording` and `column` are the key."""
    parse: Callable[[str, bytes], NDArray[np.floating[Any]]]
    """From the column and the bytes; ValueError if they cannot be read."""


_CONTENTS = {
    "utd_mhad": _Contents(
        re.compile(r"(?P<recording>a\d+_s\d+_t\d+)_(?P<column>inertial|skeleton)\.mat", re.I),
        lambda column, data: read_matrix(
            data, {"inertial": "d_iner", "skeleton": "d_skel"}[column], _FILE_BYTES
        ),
    ),
    "berkeley_mhad": _Contents(
        re.compile(r"acc_(?P<column>h\d\d)_(?P<recording>s\d\d_a\d\d_r\d\d)\.txt", re.I),
        lambda _, data: read_rows(data, 4, _ROWS),
    ),
}


@dataclass(frozen=True)
class FileState:
    """What is to be said of one file of a dataset.

    Attributes:
        file: The file, from the catalogue.
        path: Where it is, packed or unpacked; None where it is missing.
        state: `right` by its numbers or its sha256; `readable` where nothing is known to compare
            it with; `incomplete` where recordings are missing; `wrong`; `missing`.
        detail: Why it is wrong.
        right: How many files of recordings were compared and are right.
        wrong: The files of recordings that are not, and why.
        missing: The files of recordings that are not in it.
        unknown: Those in it that nothing is known of.
    """

    file: SourceFile
    path: Path | None
    state: Literal["right", "readable", "incomplete", "wrong", "missing"]
    detail: str = ""
    right: int = 0
    wrong: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found: the dataset, the folder that was searched, and each file."""

    info: DatasetInfo
    root: Path
    files: tuple[FileState, ...]

    @property
    def passed(self) -> bool:
        """Whether all that is required is there, and all that is there is whole and right."""
        bad = ("wrong", "incomplete")
        return not any(
            f.state in bad or (f.state == "missing" and f.file.required) for f in self.files
        )


def verify(name: str, root: Path) -> VerifyReport:
    """Compare the files of a dataset under `root` with what is known of them.

    Raises:
        UsageError: An unknown dataset, or one without files, or no such folder.
        DataError: The folder cannot be listed.
    """
    entry = info(name)
    if not entry.files:
        raise UsageError(f"{entry.title} has no files to verify", remedy=entry.how)
    if not root.is_dir():
        raise UsageError("no such folder", where=root, remedy="Name the folder of the data")
    return VerifyReport(entry, root, tuple(_judge(entry, file, root) for file in entry.files))


def fault(path: Path, file: SourceFile) -> str | None:
    """Say why a file is not that of the catalogue: by its sha256, or because it is damaged."""
    why = _not_it(path, file)
    if why or file.sha256:
        return why
    try:
        with open_archive(path) as archive:
            for member in archive.names:
                archive.read(member, _MEMBER_BYTES)
    except DataError as error:
        return f"{Path(str(error.where)).name} {error.what}"
    return None


def _not_it(path: Path, file: SourceFile) -> str | None:
    try:
        with path.open("rb") as stream:
            if _PAGE.match(stream.read(512)):
                return "it is a web page, not the file"
        if file.sha256 and (found := file_digest(path)) != file.sha256:
            return f"its sha256 is {found}, not {file.sha256}"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return None


def fingerprints(name: str, path: Path) -> Iterator[Fingerprint]:
    """Yield the hash of each file of a recording in an archive or a folder.

    Raises:
        DataError: The archive cannot be opened.
    """
    pattern, parse = _CONTENTS[name]
    with open_archive(path) as archive:
        for member in archive.names:
            if not (match := pattern.fullmatch(member.rpartition("/")[2])):
                continue
            key = match["recording"].lower(), match["column"].lower()
            try:
                numbers = parse(key[1], archive.read(member, _FILE_BYTES))
            except (DataError, ValueError) as error:
                yield Fingerprint(key, "", str(error))
            else:
                data = np.ascontiguousarray(numbers, "<f8").tobytes()
                yield Fingerprint(key, hashlib.sha256(data).hexdigest()[:_DIGITS])


def _judge(entry: DatasetInfo, file: SourceFile, root: Path) -> FileState:
    path = _find(entry, file, root)
    if path is None:
        return FileState(file, None, "missing")
    if path.is_file() and (why := (_not_it if file.columns else fault)(path, file)):
        return FileState(file, path, "wrong", why)
    if not file.columns:
        return FileState(file, path, "right" if file.sha256 and path.is_file() else "readable")
    known = {key: value for key, value in _table(entry.name).items() if key[1] in file.columns}
    found: dict[Key, str] = {}
    wrong: list[str] = []
    try:
        for key, value, why in fingerprints(entry.name, path):
            why = why or ("is there twice" if key in found else "")
            if why or known.get(key, value) != value:
                wrong.append(f"{' '.join(key)}: {why or 'its numbers differ'}")
            found[key] = value
    except DataError as error:
        return FileState(file, path, "wrong", str(error))
    missing = tuple(" ".join(key) for key in known if key not in found)
    return FileState(
        file,
        path,
        "wrong" if wrong else "incomplete" if missing else "right",
        right=sum(known[key] == value for key, value in found.items() if key in known),
        wrong=tuple(wrong),
        missing=missing,
        unknown=tuple(" ".join(key) for key in found if key not in known),
    )


def _find(entry: DatasetInfo, file: SourceFile, root: Path) -> Path | None:
    """Where a file is, packed or unpacked, in the folder or in that of the dataset within it."""
    stem = file.name.lower().removesuffix(".zip").removesuffix(".tar.gz")
    names = [name + suffix for name in (stem, *file.also) for suffix in _SUFFIXES]
    for folder in (root, root / entry.directory):
        try:
            paths = sorted(folder.iterdir()) if folder.is_dir() else []
        except OSError as error:
            raise DataError(f"cannot be listed ({error})", where=folder) from error
        there = {path.name.lower(): path for path in paths}
        for name in names:
            if name in there:
                return there[name]
    return None


def _table(name: str) -> dict[Key, str]:
    with (_HASHES / f"{name}.csv").open(encoding="ascii", newline="") as stream:
        header, *rows = csv.reader(stream)
    return {
        (row[0], column): value
        for row in rows
        for column, value in zip(header[1:], row[1:], strict=True)
        if value
    }


def _main(name: str, root: str) -> None:
    entry = info(name)
    columns = [column for file in entry.files for column in file.columns]
    table: dict[str, dict[str, str]] = {}
    for file in entry.files:
        path = _find(entry, file, Path(root)) if file.columns else None
        for (recording, column), value, why in fingerprints(name, path) if path else ():
            if why:
                raise DataError(why, where=f"{recording} {column}")
            table.setdefault(recording, {})[column] = value
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["recording", *columns])
    out.writerows([r, *(table[r].get(c, "") for c in columns)] for r in sorted(table))


if __name__ == "__main__":
    _main(*sys.argv[1:])
