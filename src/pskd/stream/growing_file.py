"""A text file that grows line by line and is whole after each, whatever happens in between."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


class GrowingFile:
    """Writes without a buffer; what a full disk cuts short is taken back.

    Args:
        path: The file; made with `header` if it is not there.
        header: Its first line.

    Attributes:
        path: The file.
        size: Its bytes.

    Raises:
        OSError: As `append` and `write_last` do too: it cannot be written.
    """

    def __init__(self, path: Path, header: str) -> None:
        self.path = path
        path.touch()
        self._file = path.open("r+b", buffering=0)
        content = self._file.read()
        self.size = self._last_at = len(content)
        self._last = b""
        if not content:
            self.append(header)
        elif not content.endswith(b"\n"):  # an editor left it out
            self.append("\n")

    def append(self, text: str) -> None:
        """Write a line, or several, at the end."""
        self._last_at, self._last = self.size, text.encode()
        self._write(self._last_at, self._last)

    def write_last(self, line: str) -> None:
        """Write a line over the one that was appended last, in one piece and no shorter."""
        new = line.removesuffix("\n").encode().ljust(len(self._last) - 1) + b"\n"
        try:
            self._write(self._last_at, new)
        except OSError:
            with suppress(OSError):
                self._write(self._last_at, self._last)
            raise
        self._last = new

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def _write(self, at: int, data: bytes) -> None:
        self._file.seek(at)
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self.size)
            raise
        self.size = max(self.size, at + len(data))
