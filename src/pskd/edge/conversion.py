"""What conversions by other people's exporters need: quiet, and errors that a user can act on."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pskd.edge.material import Material, Windows
from pskd.errors import UsageError


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Python's warnings and logs, and what native code writes to standard error.

    Exporters and runtimes speak of their own deprecations, of packages that they do without and of
    files below /sys; what goes wrong in them is raised all the same.
    """
    disabled = logging.root.manager.disable
    sys.stderr.flush()
    error = os.dup(2)
    with warnings.catch_warnings(), Path(os.devnull).open("wb") as nothing:
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(error, 2)
            os.close(error)
            logging.disable(disabled)


def refused(target: str, material: Material, error: BaseException) -> UsageError:
    """The error of a model that cannot be exported: what was at the bottom of it."""
    while error.__cause__ is not None:
        error = error.__cause__
    why = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return UsageError(
        f"model {material.config.model!r} cannot be exported to {target}: {why}",
        remedy="Leave this target out, or train a student that every runtime takes: temporal_cnn",
    )


def calibration(target: str, material: Material) -> Windows:
    """Windows to measure ranges on.

    Raises:
        UsageError: There is none.
    """
    if not len(material.calibration):
        raise UsageError(
            f"{target} needs windows of the training side to calibrate with, and there is none",
            remedy="Export where the data of the run are: see --data-root",
        )
    return material.calibration
