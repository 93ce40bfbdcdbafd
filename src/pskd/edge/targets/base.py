"""What every runtime that a student leaves for has in common, and the table of them by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pskd.edge.material import Material
from pskd.errors import UsageError


class Answer(NamedTuple):
    """What an exported student says of one window."""

    logits: NDArray[np.float32]
    """[K]"""
    probabilities: NDArray[np.float32]
    """[K]"""


Runner = Callable[[NDArray[np.float32]], Answer]
"""An exported student at work: a window [1, 3, S] in g -> its answer, on one thread."""


class Target(ABC):
    """A runtime and number format: how a student is written for it, and run by it again.

    Attributes:
        name: As in `pskd export --to`.
        file: Of the export, below the export folder; what `load` opens.
        int8: Whether ranges are calibrated and numbers rounded.
        needs: Python modules of the runtime.
        extra: Extra of this package that installs them; none, where nothing is needed.
    """

    name: ClassVar[str]
    file: ClassVar[str]
    int8: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""

    def require(self) -> None:
        """Make sure that all that `export` and `load` need is there.

        Raises:
            UsageError: It is not; says how it is installed.
        """
        missing = [name for name in self.needs if find_spec(name) is None]
        if missing:
            raise UsageError(
                f"{self.name} needs {', '.join(missing)}, which is not installed",
                remedy=f"pip install 'pskd[{self.extra}]'",
            )

    @abstractmethod
    def export(self, material: Material, folder: Path) -> None:
        """Write `file`, and what belongs to it, into a folder that exists.

        Raises:
            UsageError: An operator that the runtime lacks, or no window to calibrate with.
        """

    @abstractmethod
    def load(self, path: Path) -> Runner:
        """Open an export of this target.

        Raises:
            CheckpointError: The file is torn or no such export.
        """

    def product_bytes(self, path: Path) -> int | None:
        """Bytes that an export takes in a product, where its files do not say so."""
        return None


TARGETS: dict[str, Target] = {}

T = TypeVar("T", bound=type[Target])


def register(cls: T) -> T:
    """Class decorator that enters a target into `TARGETS` under its name."""
    TARGETS[cls.name] = cls()
    return cls
