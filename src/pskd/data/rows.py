"""Rows of numbers out of untrusted text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def read_rows(data: bytes, columns: int, at_most: int) -> NDArray[np.float64]:
    """Parse lines of numbers with white space between them; empty lines count for nothing.

    Args:
        data: Plain text.
        columns: Numbers of a line, at least 1.
        at_most: Lines that may be there.

    Returns:
        The numbers [T, columns], finite, T at least 1.

    Raises:
        ValueError: It is no such text, and where.
    """
    if not data.isascii():
        raise ValueError("is no plain text")
    lines = [line for line in data.decode().split("\n") if line.strip()]
    if not lines:
        raise ValueError("is empty")
    if len(lines) > at_most:
        raise ValueError(f"has {len(lines)} rows, expected {at_most} at most")
    try:
        rows = np.loadtxt(lines, comments=None, ndmin=2)
    except ValueError as error:
        raise ValueError(_fault(lines, columns)) from error
    if rows.shape[1] != columns:
        raise ValueError(f"has {rows.shape[1]} columns, expected {columns}")
    if not np.isfinite(rows).all():
        bad = int((~np.isfinite(rows)).any(axis=1).argmax())
        raise ValueError(f"row {bad + 1} has a value that is not finite")
    return rows


def _fault(lines: list[str], columns: int) -> str:
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if len(words) != columns:
            return f"row {number} has {len(words)} columns, expected {columns}"
        for word in words:
            if not _is_number(word):
                return f"row {number} has {word[:40]!r} where a number should be"
    return "is no table of numbers"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word  # in which Python sees a separator of thousands
