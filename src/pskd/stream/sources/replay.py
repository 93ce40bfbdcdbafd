"""A recording in a file, played as if it came now."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from pskd.data.accelerometer_file import AccelerometerFile, read_recording
from pskd.stream.sources.base import Event, Notice, Options, Source, event, register
from pskd.stream.sources.pace import Pace
from pskd.stream.wire import Hello


@register
class Replay(Source):
    """A CSV or parquet file, as `pskd predict` reads it."""

    schemes = ("file",)

    def __init__(self, scheme: str, address: str, options: Options) -> None:
        super().__init__(scheme, address, options)
        self.title = address

    def events(self) -> Generator[Event, None, None]:
        """Give its samples in g at the speed asked for.

        Raises:
            UsageError: No such file; a rate that is missing or impossible; parquet without pyarrow.
            DataError: No such recording, or its unit cannot be told.
        """
        file = self._read()
        yield event(Hello("g", None))
        for note in file.notes:
            yield event(Notice(note))
        yield from Pace(self.options.speed).chunks(file.acceleration, file.times)

    def _read(self) -> AccelerometerFile:
        rate, unit = self.options.rate, self.options.unit or "auto"
        return read_recording(Path(self.title), rate, unit)
