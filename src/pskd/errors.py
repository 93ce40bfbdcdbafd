"""Errors that a user can act on: what is wrong, where, and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PskdError(Exception):
    """Something that a user can mend.

    Args:
        what: What is wrong, one sentence without its full stop.
        where: The file, recipe key or recording that it was found in.
        remedy: What to do about it, one sentence without its full stop.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, remedy: str | None = None) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        message = f"{where}: {what}" if where is not None else what
        super().__init__(f"{message}. {remedy}." if remedy else f"{message}.")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(kind: type[PskdError], what: str, where: object, remedy: str | None) -> PskdError:
    return kind(what, where=where, remedy=remedy)


class UsageError(PskdError):
    """The command, the recipe or an argument is wrong (exit code 2)."""

    exit_code = 2


class DataError(PskdError):
    """A file or recording that cannot be used."""


class ProtocolError(PskdError):
    """A split that breaks the rules of its protocol."""


class CheckpointError(PskdError):
    """A checkpoint or run folder that is torn, foreign or newer than this version."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a remedy that names the known word nearest to `name`, and all of them if few."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listing = ", ".join(names)
    return f"Did you mean {close[0]!r}? Known: {listing}" if close else f"Known: {listing}"


PLUGIN = "one of your own needs its file named by --plugin"
"""To be added to the remedy of an unknown model or loss."""


def printable(text: str) -> str:
    """Write out what is no plain text: a terminal or a page could take it for something else."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
