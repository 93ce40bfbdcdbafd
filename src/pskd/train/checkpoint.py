"""Checkpoints: one file, written whole or not at all, verified before it is used.

Format: the line `pskd-checkpoint 1`, a line with the SHA-256 of the rest, then a safetensors file
whose metadata holds `meta` as JSON. Nothing in it can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from pskd.errors import CheckpointError
from pskd.files import write_atomic

MAGIC = b"pskd-checkpoint "
FORMAT = 1


def write_run_file(path: Path, content: bytes) -> None:
    """Write a file of a run whole or not at all; CheckpointError where it cannot be written."""
    write_atomic(
        path,
        content,
        remedy="Free some space or choose another --out; the same command then goes on from "
        "the last checkpoint",
        error=CheckpointError,
    )


def link(source: Path, target: Path) -> None:
    """Make a file appear in a second place without a second copy, where the disk can do that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able facts about them."""
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    metadata = {"meta": json.dumps(meta, sort_keys=True)}
    body = safetensors.torch.save(plain, metadata)
    digest = hashlib.sha256(body).hexdigest().encode()
    write_run_file(path, MAGIC + str(FORMAT).encode() + b"\n" + digest + b"\n" + body)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote.

    Raises:
        CheckpointError: The file is torn, foreign, or of a newer format.
    """
    remedy = "Delete it and run the same command again: this stage starts over"
    content = path.read_bytes()
    if not content.startswith(MAGIC):
        raise CheckpointError("not a checkpoint of pskd", where=path, remedy=remedy)
    head, _, rest = content.partition(b"\n")
    version = head[len(MAGIC) :].decode(errors="replace")
    if version != str(FORMAT):
        raise CheckpointError(
            f"checkpoint format {version}, this version reads {FORMAT}",
            where=path,
            remedy="Update pskd, or train again into another --out",
        )
    digest, _, body = rest.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise CheckpointError("torn or altered (its checksum is wrong)", where=path, remedy=remedy)
    try:
        tensors = safetensors.torch.load(body)
        size = int.from_bytes(body[:8], "little")
        meta = json.loads(json.loads(body[8 : 8 + size])["__metadata__"]["meta"])
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"unreadable: {error}", where=path, remedy=remedy) from error
    return tensors, meta
