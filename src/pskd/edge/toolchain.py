"""Compilers and emulators outside Python: looked for, and run with a time limit."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import NamedTuple

from pskd.errors import PskdError, UsageError


def require_tools(tools: Mapping[str, str], *, purpose: str) -> None:
    """Make sure that commands are there.

    Args:
        tools: Command -> Debian package that brings it.
        purpose: What needs them.

    Raises:
        UsageError: One is missing; names the packages.
    """
    missing = [tool for tool in tools if which(tool) is None]
    if missing:
        packages = dict.fromkeys(tools[tool] for tool in missing)
        raise UsageError(
            f"{purpose} needs {', '.join(missing)}, which is not installed",
            remedy=f"On Debian: apt-get install {' '.join(packages)}",
        )


class Sections(NamedTuple):
    """Bytes of a compiled file: code and constants, variables with a value, and without."""

    text: int
    data: int
    bss: int


def sections(file: str, folder: Path, *, tool: str = "size") -> Sections:
    """What binutils' `size` says of a compiled file.

    Raises:
        PskdError: It is no such file.
    """
    words = run_tool([tool, file], folder).splitlines()[1].split()
    return Sections(*map(int, words[:3]))


def run_tool(command: Sequence[str | Path], folder: Path, *, seconds: float = 120) -> str:
    """Run a command in a folder and return what it printed.

    Raises:
        PskdError: It failed, or took longer than `seconds`; quotes the end of its complaint.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as late:
        raise PskdError(
            f"{command[0]} was stopped after {seconds:.0f} s",
            where=folder,
            remedy="Try again while the machine has less to do",
        ) from late
    if done.returncode:
        said = done.stderr.strip()[-1500:] or "nothing said"
        raise PskdError(f"{command[0]} failed ({done.returncode}): {said}", where=folder)
    return done.stdout
