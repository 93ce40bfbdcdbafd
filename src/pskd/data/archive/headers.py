"""Where the members of a tar lie, read header by header without trust.

Format: POSIX ustar with pax headers, and the long names of GNU. Not tarfile: it takes headers of
any length into memory, follows sparse maps, and lets a pax header change the size of a member.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_BLOCK = 512
_EXTENSION_BYTES = 64 << 10
_PAX, _PAX_OF_ALL, _GNU_NAME = b"x", b"g", b"L"
_FILES, _FOLDER = (b"0", b"\0"), b"5"
_REFUSED = {b"1": "a hard link", b"2": "a symbolic link", b"S": "a sparse file"}
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_RECORD = re.compile(rb"(\d{1,6}) ([^=\n]+)=")


def tar_files(descriptor: int) -> Iterator[tuple[str, int, int]]:
    """Yield the name, the offset and the size of each file of an uncompressed tar.

    Args:
        descriptor: Of the open tar.

    Raises:
        ValueError: It is torn, or holds anything but files and folders plainly described.
    """
    end, at = os.fstat(descriptor).st_size, 0
    long_name: bytes | None = None
    extended: dict[bytes, bytes] = {}
    while True:
        header = os.pread(descriptor, _BLOCK, at)
        if len(header) < _BLOCK:
            raise ValueError("is torn: its end is missing")
        if header == bytes(_BLOCK):
            return
        at += _BLOCK
        if sum(header[:148]) + 8 * ord(" ") + sum(header[156:]) != _number(header[148:156]):
            raise ValueError("has a damaged header")
        size, kind = _number(header[124:136]), header[156:157]
        start, at = at, at + -(-size // _BLOCK) * _BLOCK
        if at > end:
            raise ValueError("is torn: its last member is not whole")
        if kind in (_PAX, _PAX_OF_ALL, _GNU_NAME):
            if size > _EXTENSION_BYTES:
                raise ValueError(f"has an extended header of {size} bytes")
            content = os.pread(descriptor, size, start)
            if kind == _GNU_NAME:
                long_name = content.rstrip(b"\0")
            elif kind == _PAX:
                extended = _records(content)
            elif _records(content).keys() & {b"path", b"size"}:
                raise ValueError("has one name or size for all its members")
            continue
        name = os.fsdecode(extended.get(b"path") or long_name or _ustar_name(header))
        if kind in _REFUSED:
            raise ValueError(f"member {name!r} is {_REFUSED[kind]}")
        if kind not in (*_FILES, _FOLDER):
            raise ValueError(f"member {name!r} is neither file nor folder")
        # Readers differ in whose size they believe, so there is to be one only.
        if extended.get(b"size", b"%d" % size) != b"%d" % size:
            raise ValueError(f"member {name!r} has two sizes")
        if kind == _FOLDER or name.endswith("/"):
            if size:
                raise ValueError(f"member {name!r} is a folder with contents of its own")
        else:
            yield name, start, size
        long_name, extended = None, {}


def _ustar_name(header: bytes) -> bytes:
    name, prefix = (field.split(b"\0", 1)[0] for field in (header[:100], header[345:500]))
    posix = header[257:263] == b"ustar\0"  # GNU has other things in the place of the prefix
    return prefix + b"/" + name if posix and prefix else name


def _number(field: bytes) -> int:
    match = _OCTAL.fullmatch(field)
    if not match:
        raise ValueError("has a damaged header")
    return int(match[1], 8)


def _records(content: bytes) -> dict[bytes, bytes]:
    """Read `LENGTH KEY=VALUE` lines, where the length is that of the whole line."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(content):
        match = _RECORD.match(content, at)
        end = at + int(match[1]) if match else 0
        if not match or not match.end() < end <= len(content) or content[end - 1] != ord("\n"):
            raise ValueError("has a damaged pax header")
        if match[2].startswith(b"GNU.sparse"):
            raise ValueError("holds a sparse file")
        records[match[2]] = content[match.end() : end - 1]
        at = end
    return records
