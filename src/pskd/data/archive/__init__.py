"""Files read from a folder, a zip or a tar alike; nothing is ever unpacked to files of its names.

An archive comes from anywhere, so it is judged by its directory before a byte is read, and each
member is read with a limit that holds whatever its header says.
"""

from __future__ import annotations

from pathlib import Path

from pskd.data.archive.base import Archive, Limits, digests_remembered, file_digest, unreadable
from pskd.data.archive.folder import Folder
from pskd.data.archive.tar import GZIP, Tar, unpacked_into
from pskd.data.archive.zipped import Zip

__all__ = [
    "Archive",
    "Folder",
    "Limits",
    "digests_remembered",
    "file_digest",
    "open_archive",
    "unpacked_into",
]


def open_archive(path: Path, limits: Limits | None = None) -> Archive:
    """Open a folder, a zip, a tar or a gzipped tar.

    What a file is, its first bytes say, not its name. All that it names is judged before the names
    or contents that were first asked for are given. A gzipped tar is then unpacked once, into a
    nameless temporary file, or into one in the folder of `unpacked_into`.

    Raises:
        DataError: It cannot be read. When it is judged: it is none of these; or it is damaged,
            encrypted, over the limits, compressed in an unusual way, or names a file twice,
            outside itself, or by a link.
    """
    limits = limits or Limits()
    if path.is_dir():
        return Folder(path, limits)
    try:
        with path.open("rb") as stream:
            start = stream.read(262)
    except OSError as error:
        raise unreadable(path, error) from error
    is_tar = start.startswith(GZIP) or start[257:] == b"ustar"
    return Tar(path, limits) if is_tar else Zip(path, limits)
