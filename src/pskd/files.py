"""Writing a file whole or not at all, and reading one that may be a stranger's."""

from __future__ import annotations

import json
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pskd.errors import CheckpointError, PskdError, printable

M = TypeVar("M", bound=BaseModel)


def write_atomic(
    path: Path, content: bytes, *, remedy: str, error: type[PskdError] = PskdError
) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        PskdError: The disk is full or the folder cannot be written; of the kind `error`, with
            `remedy`.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as failed:
        with suppress(OSError):
            part.unlink()
        raise error(f"cannot be written ({failed.strerror})", where=path, remedy=remedy) from failed


def read_plain(path: Path, most: int) -> bytes:
    """Read a file at once, so that what is checked is what is used.

    Raises:
        OSError: It cannot be read, or is a link, a pipe or a device.
        ValueError: It is larger than `most` bytes.
    """
    if path.is_symlink():
        raise OSError("is a symbolic link")
    with open(path, "rb", opener=_open_plain) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("is no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"is larger than {most} bytes")
    return content


def read_json(
    path: Path, kind: type[M], *, name: str, version: int, most: int, find: str, mend: str
) -> M:
    """Read a JSON file with a format version, as it was written or not at all.

    Args:
        path: The file.
        kind: What it holds.
        name: What it is called in errors.
        version: Newest format that can be read.
        most: Bytes that it may have.
        find: What to do where there is no such file.
        mend: What to do where it is damaged.

    Raises:
        CheckpointError: It is missing, torn, foreign, too large or of a newer version.
    """
    try:
        data = json.loads(read_plain(path, most))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{name} cannot be read ({error})", where=path, remedy=find
        ) from error
    found = data.get("format") if isinstance(data, dict) else None
    if isinstance(found, int) and found > version:
        raise CheckpointError(
            f"has format {found}, this version of pskd reads up to {version}",
            where=path,
            remedy="Install a newer pskd",
        )
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = printable(".".join(map(str, first["loc"])))[:200] or "the file"
        raise CheckpointError(
            f"is no {name}: {key}: {first['msg']}", where=path, remedy=mend
        ) from error


def _open_plain(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # nothing waits on a pipe
