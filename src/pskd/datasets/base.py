"""What every dataset gives, whatever its files look like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pskd.data.recording import Recording, SetAside
from pskd.data.skeleton import SkeletonLayout
from pskd.errors import UsageError, nearest


class Dataset(ABC):
    """A reader opened on its files, and what is to be said of the data it reads.

    A reader knows its files and nothing of training. It is made again from `root` and `options` in
    other processes, so it keeps nothing else that cannot be found again.

    Args:
        root: Folder of the source files, None where none was named.
        options: Options of the reader, as a recipe gives them.

    Attributes:
        name: Name in recipes.
        title: Name for people.
        version: Goes up whenever `load` gives something else for the same files, so that stores
            are built anew.
        classes: Names of the classes, for people; labels point into them. Of the
            class itself: empty where they come with the files.
        layout: Layout of the skeletons.
        rate: Nominal sampling rate of the accelerometer, Hz.
        placement: Where the sensor was worn.
        headline: The score that is usual for these data, shown first.
        citation: What to cite.
        licence: Terms of use of the data.
        homepage: Where the data are to be had.
        protocols: Protocols in print for these data, with their options; a recipe that names one
            of them without options means these.
        known_options: Names of the options that are taken.

    Raises:
        UsageError: An unknown option, or a wrong value.
        DataError: The files are missing or cannot be trusted.
    """

    name: ClassVar[str]
    title: str
    version: ClassVar[int]
    citation: str
    licence: str
    homepage: str
    headline: ClassVar[Literal["accuracy", "macro_f1"]] = "accuracy"
    protocols: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    known_options: ClassVar[tuple[str, ...]] = ()
    classes: tuple[str, ...] = ()
    layout: SkeletonLayout
    rate: float
    placement: str

    def __init__(self, root: Path | None = None, options: Mapping[str, object] | None = None):
        self.root, self.options = root, dict(options or {})
        for key in self.options:
            if key not in self.known_options:
                raise UsageError(
                    f"unknown option {key!r}",
                    where=self.name,
                    remedy=nearest(key, self.known_options)
                    if self.known_options
                    else "It takes no options",
                )

    @abstractmethod
    def key(self) -> str:
        """Return the sha256 of all that the recordings depend on: sources and options."""

    @abstractmethod
    def trials(self) -> Sequence[str]:
        """Return the name of every trial that the sources speak of, in order, each once."""

    @abstractmethod
    def load(self, trial: str) -> Recording | SetAside:
        """Read one trial; what cannot be used comes back as SetAside with the reason."""

    def worn(self, label: int) -> str:
        """Where the sensor was worn in recordings of a class."""
        return self.placement

    def read(self) -> Iterator[Recording | SetAside]:
        """Read every trial, in order."""
        return map(self.load, self.trials())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.root, self.options)
