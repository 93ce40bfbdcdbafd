"""Datasets by name, one reader a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pskd.datasets.base import Dataset
from pskd.datasets.berkeley_mhad import BerkeleyMhad
from pskd.datasets.folder import Folder
from pskd.datasets.mmact import MMAct
from pskd.datasets.simulated import Simulated
from pskd.datasets.utd_mhad import UtdMhad
from pskd.errors import UsageError, nearest

__all__ = ["DATASETS", "Dataset", "dataset"]

_ALL: tuple[type[Dataset], ...] = (Simulated, UtdMhad, BerkeleyMhad, MMAct, Folder)
DATASETS: dict[str, type[Dataset]] = {d.name: d for d in _ALL}


def dataset(
    name: str, root: Path | None = None, options: Mapping[str, object] | None = None
) -> Dataset:
    """Open a dataset by its name on the files under `root`.

    Raises:
        UsageError: An unknown name or option, or a wrong value.
        DataError: The files are missing or cannot be trusted.
    """
    if name not in DATASETS:
        raise UsageError(f"unknown dataset {name!r}", remedy=nearest(name, DATASETS))
    return DATASETS[name](root, options)
