"""Where samples come from, one source a file, known by the scheme of their address."""

from __future__ import annotations

import importlib
import pkgutil

from pskd.errors import UsageError, nearest
from pskd.stream.sources.base import (
    SOURCES,
    Event,
    Message,
    Notice,
    Options,
    Source,
    SourceError,
)

__all__ = [
    "SOURCES",
    "Event",
    "Message",
    "Notice",
    "Options",
    "Source",
    "SourceError",
    "open_source",
]

for _module in pkgutil.iter_modules(__path__):  # each enters its sources
    importlib.import_module(f"{__name__}.{_module.name}")


def open_source(where: str, options: Options) -> Source:
    """Make the source of an address; nothing is opened or connected before its first event.

    Args:
        where: `-` for stdin, `simulated`, `SCHEME://...`, or the path of a file.
        options: What the user said of the samples.

    Raises:
        UsageError: An unknown scheme, or an address that its source cannot use.
    """
    if where in SOURCES:
        return SOURCES[where](where, "", options)
    scheme, separator, rest = where.partition("://")
    if not separator:
        return SOURCES["file"]("file", where, options)
    if scheme.lower() not in SOURCES:
        raise UsageError(
            f"no source is called {scheme}://",
            where=f"{scheme}://{rest.rpartition('@')[2]}",  # a password may stand before it
            remedy=f"{nearest(scheme.lower(), SOURCES)}; or name a CSV file",
        )
    return SOURCES[scheme.lower()](scheme.lower(), rest, options)
