"""Python files of the user's own, which enter models and losses into the tables."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from pskd.errors import UsageError


def load_plugins(files: Iterable[Path]) -> None:
    """Run each file once in this process, and again when it has changed.

    Only files that the user names on the command line are run, never one that a recipe names.

    Raises:
        UsageError: A file is missing or fails.
    """
    for file in files:
        path = file.absolute()
        if not path.is_file():
            raise UsageError("no such Python file", where=file, remedy="Mend --plugin")
        digest = hashlib.sha256(str(path).encode() + b"\n" + path.read_bytes()).hexdigest()
        name = f"pskd_plugin_{path.stem}_{digest[:16]}"
        if name in sys.modules:
            continue
        spec = spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise UsageError("is no Python file", where=file, remedy="Mend --plugin")
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise UsageError(
                f"the plugin fails: {type(error).__name__}: {error}", where=file, remedy="Mend it"
            ) from error
