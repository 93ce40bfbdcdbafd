"""Messages of the wire format on stdin, one a line, or lines of CSV."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import suppress
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pskd.stream.sources.base import Event, Message, Options, Source, event, register
from pskd.stream.wire import MAX_BYTES, WireError, checked


@register
class Lines(Source):
    """JSON lines, or `t,x,y,z` and, where the user gave a rate, `x,y,z`.

    Args:
        scheme: `-`.
        address: Nothing.
        options: What the user said.
        stream: Bytes to read; stdin by default.
    """

    schemes = ("-",)

    def __init__(
        self, scheme: str, address: str, options: Options, stream: BinaryIO | None = None
    ) -> None:
        super().__init__(scheme, address, options)
        self.title = "stdin"
        self._stream = stream or sys.stdin.buffer

    def events(self) -> Generator[Event, None, None]:
        """Give what the lines say; those that say nothing known are counted and left out."""
        yield from self.hello()
        while line := self._stream.readline(MAX_BYTES + 1):
            if line.isspace():
                continue
            if (message := self._read(line)) is not None:
                yield event(message)

    def _read(self, line: bytes) -> Message | None:
        if len(line) > MAX_BYTES:
            while not line.endswith(b"\n") and (line := self._stream.readline(MAX_BYTES)):
                pass
            return self.refused(WireError("too_large", f"a line of more than {MAX_BYTES} bytes"))
        cells = line.split(b",")
        if len(cells) in (3, 4) and not line.lstrip().startswith(b"{"):
            with suppress(ValueError):
                numbers = np.array([float(cell) for cell in cells])
                return self._sample(numbers)
            if [cell.strip().lower() for cell in cells][-3:] == [b"x", b"y", b"z"]:
                return None  # a header
        return self.understood(line)

    def _sample(self, numbers: NDArray[np.float64]) -> Message | None:
        try:
            return checked(numbers[None, -3:], numbers[:1] if len(numbers) == 4 else None)
        except WireError as error:
            return self.refused(error)
