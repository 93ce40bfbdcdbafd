"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from pskd.errors import PskdError


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
