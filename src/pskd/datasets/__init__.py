"""Datasets by name, one reader a file."""

from __future__ import annotations

from pskd.datasets.base import Dataset
from pskd.datasets.simulated import Simulated
from pskd.datasets.utd_mhad import UtdMhad
from pskd.errors import UsageError, nearest

__all__ = ["DATASETS", "Dataset", "dataset"]

_ALL: tuple[Dataset, ...] = (Simulated(), UtdMhad())
DATASETS: dict[str, Dataset] = {d.name: d for d in _ALL}


def dataset(name: str) -> Dataset:
    """Return a dataset by its name; an unknown one raises UsageError."""
    if name not in DATASETS:
        raise UsageError(f"unknown dataset {name!r}", remedy=nearest(name, DATASETS))
    return DATASETS[name]
