"""Python files of the user's own, which enter models and losses into the tables."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from pskd.distill.losses import LOSSES
from pskd.errors import UsageError
from pskd.models import MODELS

_TABLES: tuple[dict[str, type[Any]], ...] = (LOSSES, MODELS)


def load_plugins(files: Iterable[Path]) -> None:
    """Run each file once in this process, and again when it has changed.

    Only files that the user names on the command line are run, never one that a recipe names.

    Raises:
        UsageError: A file is missing, fails, or takes a name that another has.
    """
    for file in files:
        path = file.absolute()
        if not path.is_file():
            raise UsageError("no such Python file", where=file, remedy="Mend --plugin")
        place, text = (hashlib.sha256(x).hexdigest()[:8] for x in (bytes(path), path.read_bytes()))
        name = f"pskd_plugin_{path.stem}_{place}_{text}"
        if name in sys.modules:
            continue
        spec = spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise UsageError("is no Python file", where=file, remedy="Mend --plugin")
        module = module_from_spec(spec)
        sys.modules[name] = module
        before = [dict(table) for table in _TABLES]
        try:
            spec.loader.exec_module(module)
            _refuse_taken(before, name, file)
        except Exception as error:
            del sys.modules[name]
            for table, entries in zip(_TABLES, before, strict=True):
                table.clear()
                table.update(entries)
            if isinstance(error, UsageError):
                raise
            raise UsageError(
                f"the plugin fails: {type(error).__name__}: {error}", where=file, remedy="Mend it"
            ) from error


def _refuse_taken(before: list[dict[str, type[Any]]], module: str, file: Path) -> None:
    """Refuse a name that was another's: recipes and keys of stages know methods by name alone."""
    for table, entries in zip(_TABLES, before, strict=True):
        for name, kind in entries.items():
            older = kind.__module__.rpartition("_")[0] == module.rpartition("_")[0]
            if table[name] is not kind and not older:
                raise UsageError(
                    f"registers {name!r}, which {kind.__module__} has",
                    where=file,
                    remedy="Give it another name",
                )
