"""What every dataset gives, whatever its files look like."""

from __future__ import annotations

from typing import Protocol

from pskd.data.store import Source


class Dataset(Source, Protocol):
    """A reader, and what is to be said of the data it reads.

    A reader knows its files and nothing of training. `version` goes up whenever `read` gives
    something else for the same files, so that stores are built anew.

    Attributes:
        title: Name for people.
        classes: Names of the classes, for people; labels point into them.
        rate: Nominal sampling rate of the accelerometer, Hz.
        placement: Where the sensor was worn.
        citation: What to cite.
        licence: Terms of use of the data.
        homepage: Where the data are to be had.
    """

    title: str
    classes: tuple[str, ...]
    rate: float
    placement: str
    citation: str
    licence: str
    homepage: str
