"""Pieces of C: numbers, names, strings, tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from textwrap import fill

import numpy as np
from numpy.typing import NDArray

KERNELS = Path(__file__).parent / "kernels"


def number(x: float) -> str:
    """The shortest literal that reads as the same float32."""
    return f"{np.float32(x)!s}f"


def string(text: str) -> str:
    """A literal of UTF-8 bytes, in ASCII; question marks are kept from forming trigraphs."""
    plain = (
        f"{b:c}" if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in text.encode()
    )
    return f'"{"".join(plain)}"'


def comment(lines: Iterable[str]) -> str:
    """A block comment; what lines say cannot end it."""
    safe = (" ".join(line.split("\n")).replace("*/", "* /").replace("/*", "/ *") for line in lines)
    body = "\n".join(f" * {line}".rstrip() for line in safe)
    return f"/*\n{body}\n */\n"


def table(kind: str, name: str, values: NDArray[np.generic]) -> str:
    """A constant array; floats are written exactly."""
    flat = values.reshape(-1)
    words = map(number, flat.tolist()) if kind == "float" else map(str, flat.tolist())
    body = fill(", ".join(words), 100, initial_indent="    ", subsequent_indent="    ")
    return f"static const {kind} {name}[{flat.size}] = {{\n{body}\n}};\n"


def structure(kind: str, name: str, **members: object) -> str:
    """A constant structure."""
    body = "".join(f"    .{member} = {value},\n" for member, value in members.items())
    return f"static const struct {kind} {name} = {{\n{body}}};\n"
