"""`Recording`: what every reader gives, whatever the dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pskd.errors import DataError

STANDARD_GRAVITY = 9.80665
"""Standard acceleration of gravity, m/s^2 in one g."""


@dataclass(frozen=True)
class Recording:
    """One trial of one person: an accelerometer signal and, where there is one, a skeleton.

    Attributes:
        id: Name of the recording, unique within its dataset, for example `a1_s1_t1`.
        dataset: Name of the dataset, as in `pskd.datasets.DATASETS`.
        label: Index into the classes of the dataset.
        subject: Who moved.
        trial: Which repetition.
        acceleration: Specific force [T, 3], float32, in g. At rest its norm is 1.
        rate: Nominal sampling rate of the accelerometer, Hz.
        skeleton: Joint positions [F, J, C], float32, in metres, or None where it is missing.
            It spans the same time as the accelerometer, whatever its own frame rate.
        session: Recording session, where the dataset has several.
        scene: Place, where the dataset has several.
        view: Camera, where the dataset has several.
        take: Name of the continuous recording that this was cut from; recordings of one take may
            share samples. Empty where each is a take of its own.
        start: Where it begins in its take, seconds.
        side: `train`, `validation` or `test`, where the dataset comes divided.
        aligned: Whether skeleton and accelerometer go together moment by moment. If not, both are
            of the same trial, and no more is known.

    Raises:
        DataError: A signal has a wrong shape, fewer than two samples, or values not finite.
    """

    id: str
    dataset: str
    label: int
    subject: str
    trial: str
    acceleration: NDArray[np.float32]
    rate: float
    skeleton: NDArray[np.float32] | None = None
    session: str = ""
    scene: str = ""
    view: str = ""
    take: str = ""
    start: float = 0.0
    side: str = ""
    aligned: bool = True

    def __post_init__(self) -> None:
        _check(self.id, "acceleration", self.acceleration, 2, (None, 3))
        if self.skeleton is not None:
            _check(self.id, "skeleton", self.skeleton, 3, (None, None, None))
        if not (np.isfinite(self.rate) and self.rate > 0):
            raise DataError(f"sampling rate is {self.rate}, not a positive number", where=self.id)
        if self.label < 0:
            raise DataError(f"label is {self.label}, not a class index", where=self.id)

    @property
    def seconds(self) -> float:
        """Duration of the accelerometer signal."""
        return len(self.acceleration) / self.rate


@dataclass(frozen=True)
class SetAside:
    """A trial that a reader left out, and why; both are plain text, whatever files are called."""

    id: str
    reason: str

    def __post_init__(self) -> None:
        for name, text in (("id", self.id), ("reason", self.reason)):
            object.__setattr__(self, name, _plain(text))


def _plain(text: str) -> str:
    """Write out what cannot be printed: names in archives may hold bytes that are no text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _check(
    name: str, kind: str, values: NDArray[np.float32], dims: int, shape: tuple[int | None, ...]
) -> None:
    want = "x".join("any" if n is None else str(n) for n in shape)
    if values.ndim != dims or any(
        w not in (None, n) for w, n in zip(shape, values.shape, strict=True)
    ):
        raise DataError(f"{kind} has shape {values.shape}, expected {want}", where=name)
    if len(values) < 2:
        raise DataError(f"{kind} has {len(values)} samples, at least 2 are needed", where=name)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise DataError(f"{kind} has {bad} values that are not finite", where=name)
