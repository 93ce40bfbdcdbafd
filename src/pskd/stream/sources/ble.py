"""Binary frames of the wire format from a watch over Bluetooth Low Energy.

The watch offers a service with one characteristic and notifies it, as a heart-rate strap does. A
value is a frame, or the first part of one that goes on in the values after it. Unit: g.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pskd.errors import UsageError, printable
from pskd.stream.sources.base import Event, Notice, Options, Source, SourceError, event, register
from pskd.stream.sources.mailbox import Mailbox
from pskd.stream.wire import HEADER, MAGIC, MAX_SAMPLES, Hello, WireError

if TYPE_CHECKING:
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

SERVICE = "50534b44-0001-4c69-9665-77617463680a"
SAMPLES = "50534b44-0002-4c69-9665-77617463680a"
"""The characteristic that is notified."""
SCAN_SECONDS = 10.0
FIRST_RETRY, SLOWEST_RETRY = 1.0, 30.0
MAX_SEEN = 10
"""Devices that are named where the one wanted is not there."""


class Frames:
    """Puts frames together that are longer than a value of the characteristic."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, value: bytes) -> list[bytes]:
        """Take a value; give what is complete with it, or can be no part of a frame."""
        given = []
        if value.startswith(MAGIC) or not self._held:
            given, value = [self._held] * bool(self._held), value
            self._held = b""
        self._held += value
        if len(self._held) >= _size(self._held):
            given.append(self._held)
            self._held = b""
        return given


def _size(begun: bytes) -> int:
    """Bytes of the frame that begins so; none where it can be no frame."""
    if not begun.startswith(MAGIC):
        return 0
    if len(begun) < HEADER.size:
        return HEADER.size
    _, count, encoding, *_ = HEADER.unpack_from(begun)
    return HEADER.size + count * (6 if encoding else 12) if count <= MAX_SAMPLES else 0


@register
class Ble(Source):
    """`ble://NAME` or `ble://ADDRESS`: found by scanning, sought again when it goes away."""

    schemes = ("ble",)
    needs = ("bleak",)
    extra = "ble"

    def __init__(self, scheme: str, address: str, options: Options) -> None:
        super().__init__(scheme, address, options)
        self._wanted = unquote(address).strip("/").casefold()
        if not self._wanted:
            raise UsageError("names no device", where=self.title, remedy="Give ble://NAME")
        self._mailbox = Mailbox()
        self._heard = False

    def events(self) -> Generator[Event, None, None]:
        """Give what the watch notifies.

        Raises:
            SourceError: There is no Bluetooth, no such device, or it has no such service.
        """
        loop = asyncio.new_event_loop()
        task = loop.create_task(self._listen())
        thread = threading.Thread(target=_run, args=(loop, task), daemon=True)
        thread.start()
        try:
            yield event(Hello(self.options.unit or "g", self.options.rate))
            for message in self._mailbox.events():
                self.dropped = self._mailbox.dropped
                yield message
        finally:
            loop.call_soon_threadsafe(task.cancel)
            thread.join()
            loop.close()

    async def _listen(self) -> None:
        """Find, connect, listen, and again; what goes wrong the first time is an error."""
        pause = FIRST_RETRY
        while True:
            try:
                await self._hear()
                self._mailbox.put(
                    Notice(f"Lost the connection to {self.title}; trying again.", lost=True)
                )
                pause = FIRST_RETRY
            except Exception as error:  # every Bluetooth stack has its own
                if not self._heard:
                    self._mailbox.fail(self._failed(error))
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, SLOWEST_RETRY)

    async def _hear(self) -> None:
        """Listen until the connection is lost."""
        from bleak import BleakClient

        gone, frames = asyncio.Event(), Frames()

        def take(_: object, value: bytearray) -> None:
            for frame in frames.feed(bytes(value)):
                self._mailbox.put(self._frame(frame))

        async with BleakClient(await self._find(), lambda _: gone.set()) as client:
            await client.start_notify(SAMPLES, take)
            self._mailbox.put(Notice(f"Connected {'again ' * self._heard}to {self.title}."))
            self._heard = True
            await gone.wait()

    def _frame(self, frame: bytes) -> Any:
        if not frame.startswith(MAGIC):
            return self.refused(WireError("malformed", "a value begins with no binary frame"))
        return self.understood(frame)

    async def _find(self) -> BLEDevice:
        from bleak import BleakScanner

        seen: dict[str, str] = {}

        def wanted(device: BLEDevice, advertised: AdvertisementData) -> bool:
            name = advertised.local_name or device.name
            if name and len(seen) < MAX_SEEN:
                seen[device.address] = printable(name[:40])
            return self._wanted in ((name or "").casefold(), device.address.casefold())

        found = await BleakScanner.find_device_by_filter(wanted, timeout=SCAN_SECONDS)
        if found is None:
            there = ", ".join(f"{name} ({address})" for address, name in seen.items())
            raise SourceError(
                f"no such device was found in {SCAN_SECONDS:g} s",
                where=self.title,
                remedy=f"Seen: {there or 'none with a name'}. Wake the watch, bring it near, and "
                "end its connection to others",
            )
        return found

    def _failed(self, error: Exception) -> SourceError:
        if isinstance(error, SourceError):
            return error
        said = error.strerror if isinstance(error, OSError) else (*error.args, "")[0]
        reason = printable(str(said)) or type(error).__name__
        return SourceError(
            f"cannot be used over Bluetooth ({reason})",
            where=self.title,
            remedy=f"Switch Bluetooth on here, and see that the watch offers the service {SERVICE}",
        )


def _run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    asyncio.set_event_loop(loop)
    loop.run_until_complete(asyncio.wait([task]))
