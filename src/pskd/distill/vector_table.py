"""Files of class-name vectors: a table of vectors by name.

.safetensors: a tensor `vectors` [names, D] and a metadata entry `class_vectors`, JSON whose
`names` are in the order of the vectors and whose other keys say how they were made.
.csv: rows of `name,v0,v1,...`, with or without that header.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pskd.errors import DataError, UsageError

_UNREADABLE = (OSError, SafetensorError, csv.Error, ValueError, KeyError, TypeError)


class Table(NamedTuple):
    """Vectors by class name; names are as `key` writes them."""

    names: tuple[str, ...]
    vectors: Tensor
    """[names, D]"""


def key(name: str) -> str:
    """A class name as it is looked up: lower case, underscores as spaces."""
    return " ".join(name.lower().replace("_", " ").split())


def read_table(file: Path) -> Table:
    """Read class vectors from a .safetensors or .csv file.

    Raises:
        DataError: The file is not a table of finite vectors by distinct names.
        UsageError: The file is missing or has another suffix.
    """
    readers = {".safetensors": _read_safetensors, ".csv": _read_csv}
    if file.suffix.lower() not in readers:
        raise UsageError(
            f"class vectors cannot be read from {file.suffix or 'no suffix'!r}",
            where=file,
            remedy="Give a .safetensors or a .csv file",
        )
    if not file.is_file():
        raise UsageError(
            "no such file of class vectors",
            where=file,
            remedy="Mend the recipe's class_vectors, or leave it out for the shipped table",
        )
    try:
        names, vectors = readers[file.suffix.lower()](file)
    except _UNREADABLE as error:
        raise DataError(f"class vectors cannot be read: {error}", where=file) from error
    if vectors.ndim != 2 or len(names) != len(vectors) or not vectors.numel():
        raise DataError(
            f"{len(names)} names and vectors of shape {tuple(vectors.shape)} are no table",
            where=file,
        )
    if not vectors.isfinite().all():
        raise DataError("class vectors have values that are not finite", where=file)
    keys = tuple(key(name) for name in names)
    twice = sorted({name for name in keys if keys.count(name) > 1})
    if twice:
        raise DataError(f"more than one vector for {', '.join(map(repr, twice))}", where=file)
    return Table(keys, vectors.float())


def _read_safetensors(file: Path) -> tuple[list[str], Tensor]:
    with safe_open(file, "pt") as source:
        about = (source.metadata() or {}).get("class_vectors")
        if about is None or "vectors" not in source.keys():  # noqa: SIM118 (no mapping)
            raise DataError(
                "has no class vectors",
                where=file,
                remedy="Make it with: python -m pskd.distill.semantics NAME... --out FILE",
            )
        names: list[str] = json.loads(about)["names"]
        return names, source.get_tensor("vectors")


def _read_csv(file: Path) -> tuple[list[str], Tensor]:
    names: list[str] = []
    vectors: list[list[float]] = []
    with file.open(newline="", encoding="utf-8-sig") as lines:
        for row in csv.reader(lines):
            if not row or row[:2] == ["name", "v0"]:
                continue
            where = f"{file}, row {row[0]!r}"
            try:
                vector = [float(value) for value in row[1:]]
            except ValueError as error:
                raise DataError(
                    str(error), where=where, remedy="Write rows of name,v0,v1,..."
                ) from error
            if vectors and len(vector) != len(vectors[0]):
                raise DataError(
                    f"{len(vector)} values, in the rows before {len(vectors[0])}", where=where
                )
            names.append(row[0])
            vectors.append(vector)
    return names, torch.tensor(vectors, dtype=torch.float64)
