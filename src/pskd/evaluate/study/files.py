"""grid.json: the tables of a grid and the state of each of its cells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from pskd.errors import CheckpointError
from pskd.recipe import ALONE
from pskd.recipe.grid import Name

FORMAT = 1
"""Newest version of grid.json that this package reads."""


CELL_AGAIN = "Remove the cell's folder and run its `pskd compare` command, or unpack it, again"
"""How a torn run folder of a cell is mended."""


@dataclass(frozen=True)
class ListedMethod:
    """A row of a table, and the heading it stands under."""

    name: str
    about: str = ""
    group: str = ""


@dataclass(frozen=True)
class ListedTable:
    """What a table asks for: every method with every seed on every fold."""

    name: Name
    baseline: str
    methods: tuple[ListedMethod, ...]
    seeds: tuple[int, ...]
    folds: tuple[str, ...] = ("",)
    about: str = ""
    varies: tuple[str, ...] = ()

    @property
    def baselines(self) -> tuple[str, ...]:
        """What its methods may be measured against."""
        return *(method.name for method in self.methods), ALONE


@dataclass(frozen=True)
class ListedCell:
    """How far a cell is, and its run folder, relative to that of the grid."""

    table: str
    method: str
    seed: int
    fold: str
    path: str
    state: Literal["done", "missing", "failed"]
    error: str = ""


@dataclass(frozen=True)
class Grid:
    """grid.json."""

    format: int
    name: str
    tables: tuple[ListedTable, ...]
    cells: tuple[ListedCell, ...]
    about: str = ""


def read_grid(path: Path) -> Grid:
    """Read grid.json.

    Raises:
        CheckpointError: It is missing, torn, or of a newer format.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = json.loads(text)
        version = tree.get("format") if isinstance(tree, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise CheckpointError(
                f"grid of format {version}, this version reads up to {FORMAT}",
                where=path,
                remedy="Update pskd: pip install --upgrade pskd",
            )
        grid = TypeAdapter(Grid).validate_json(text)
    except FileNotFoundError:
        raise _torn(path, "missing") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise _torn(path, f"{key}: {first['msg']}" if key else first["msg"]) from None
    except (OSError, ValueError, RecursionError):
        raise _torn(path, "not JSON") from None
    for table in grid.tables:
        if table.baseline not in table.baselines:
            raise _torn(path, f"baseline {table.baseline!r} of {table.name!r} is no method of it")
    return grid


def _torn(where: Path, what: str) -> CheckpointError:
    return CheckpointError(what, where=where, remedy="Run its `pskd compare` command again")
