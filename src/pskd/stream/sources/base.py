"""What every source of samples has in common, and the table of them by scheme.

A source says in a stream of events what came, in the messages of the wire format: first a hello
with the unit (and the rate, where samples have no time), then samples. What the user should know,
such as a lost connection, comes as a notice between them.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar, NamedTuple, TypeVar

from pskd.errors import PskdError, UsageError
from pskd.stream.wire import Finish, Hello, Samples, Unit, WireError, decode


class SourceError(PskdError):
    """A source that cannot be reached or that has failed."""


class Notice(NamedTuple):
    """What the user should know, or what became of samples."""

    text: str
    """Empty where there is nothing to say"""
    lost: bool = False
    """Whether samples are missing here: those with times show it, those with a rate do not"""


Message = Samples | Hello | Finish | Notice


class Event(NamedTuple):
    """A message, and when it came."""

    at: float
    """`time.monotonic()`, s."""
    message: Message


@dataclass(frozen=True)
class Options:
    """What the user says of a source.

    Attributes:
        unit: Unit of the samples, whatever the stream says; None: as it says.
        rate: Samples a second, where samples have no time.
        speed: Seconds of a recording or a simulation that pass in one; infinite: no waiting.

    Raises:
        UsageError: A rate that is none.
    """

    unit: Unit | None = None
    rate: float | None = None
    speed: float = 1.0

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise UsageError(f"rate {self.rate:g} is none", remedy="Give a number above 0")


class Source(ABC):
    """Where samples come from.

    Args:
        scheme: One of `schemes`.
        address: What follows it.
        options: What the user said.

    Attributes:
        schemes: Names that it is known by.
        needs: Python modules that it needs.
        extra: Extra of this package that installs them.
        title: What it is called when it is shown; never holds a password.
        malformed: Messages that could not be used.
        dropped: Samples dropped because they came faster than they were taken.
    """

    schemes: ClassVar[tuple[str, ...]]
    needs: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""

    def __init__(self, scheme: str, address: str, options: Options) -> None:
        missing = [name for name in self.needs if find_spec(name) is None]
        if missing:
            raise UsageError(
                f"{scheme}:// needs {', '.join(missing)}, which is not installed",
                remedy=f"pip install 'pskd[{self.extra}]'",
            )
        self.title = f"{scheme}://{address}"
        self.options = options
        self.malformed = 0
        self.dropped = 0

    @abstractmethod
    def events(self) -> Generator[Event, None, None]:
        """Give what comes until it ends; closing the iterator lets go of everything.

        Raises:
            PskdError: It cannot be opened, cannot be read, or has failed for good.
        """

    def hello(self) -> list[Event]:
        """The hello that the user's options are, if they say the unit."""
        said = self.options
        return [event(Hello(said.unit, said.rate))] if said.unit else []

    def understood(self, raw: str | bytes) -> Message:
        """Read a message of the wire format; the 1st, 10th, 100th ... bad one is told of."""
        try:
            message = decode(raw)
        except WireError as error:
            return self.refused(error)
        if isinstance(message, Hello):
            return Hello(self.options.unit or message.unit, self.options.rate or message.rate)
        return message

    def refused(self, error: PskdError) -> Notice:
        """Count a message that cannot be used."""
        self.malformed += 1
        if self.malformed != 10 ** (len(str(self.malformed)) - 1):
            return Notice("", lost=True)
        count = f" ({self.malformed} so far)" if self.malformed > 1 else ""
        return Notice(f"A message was left out{count}: {error}", lost=True)


SOURCES: dict[str, Callable[[str, str, Options], Source]] = {}

S = TypeVar("S", bound=type[Source])


def register(cls: S) -> S:
    """Class decorator that enters a source into `SOURCES` under its schemes."""
    SOURCES.update(dict.fromkeys(cls.schemes, cls))
    return cls


def event(message: Message) -> Event:
    """A message that came just now."""
    return Event(time.monotonic(), message)
