"""The Bluetooth source against a watch that is played by the test: there is no adapter here."""

import asyncio
from collections.abc import Callable
from contextlib import closing, suppress
from types import SimpleNamespace

import numpy as np
import pytest

from pskd.errors import UsageError
from pskd.stream.sources import Notice, Options, SourceError, open_source
from pskd.stream.sources import ble as ble_module
from pskd.stream.sources.ble import SAMPLES, Frames
from pskd.stream.wire import MAGIC, Hello, Samples, decode, encode_samples

bleak = pytest.importorskip("bleak")
from bleak.exc import (  # noqa: E402
    BleakBluetoothNotAvailableError,
    BleakCharacteristicNotFoundError,
    BleakError,
)


def frame(start: float, count: int = 4, scale: float | None = 1 / 4096) -> bytes:
    values = np.arange(3 * count).reshape(count, 3) / 16
    return encode_samples(values, start=start, interval=0.02, scale=scale)


class Air:
    """What is in the air: devices that advertise, and connections, each a list of values."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.devices = [("AA:01", "Fridge"), ("AA:02", None), ("AA:03", "Bangle.js 7f2a")]
        self.connections: list[list[bytes] | Exception] = []
        self.scans = self.left = 0
        self.scan_error: Exception | None = None
        air = self

        class Scanner:
            @staticmethod
            async def find_device_by_filter(wanted: Callable, timeout: float):
                air.scans += 1
                if air.scan_error:
                    raise air.scan_error
                for address, name in air.devices:
                    device = SimpleNamespace(address=address, name=name)
                    if wanted(device, SimpleNamespace(local_name=name)):
                        return device
                return None

        class Client:
            def __init__(self, device, gone: Callable) -> None:
                assert device.address == "AA:03"
                self.gone = gone

            async def __aenter__(self):
                self.values = air.connections.pop(0)
                if isinstance(self.values, BleakError) and "service" not in str(self.values):
                    raise self.values
                return self

            async def __aexit__(self, *_) -> None:
                air.left += 1

            async def start_notify(self, characteristic: str, heard: Callable) -> None:
                assert characteristic == SAMPLES
                if isinstance(self.values, Exception):
                    raise self.values
                asyncio.get_running_loop().create_task(self.notify(heard))

            async def notify(self, heard: Callable) -> None:
                for value in self.values:
                    heard(None, bytearray(value))
                if air.connections:
                    self.gone(self)

        monkeypatch.setattr(bleak, "BleakScanner", Scanner)
        monkeypatch.setattr(bleak, "BleakClient", Client)
        monkeypatch.setattr(ble_module, "FIRST_RETRY", 0.01)


@pytest.fixture
def air(monkeypatch: pytest.MonkeyPatch) -> Air:
    return Air(monkeypatch)


def take(count: int, address: str = "ble://Bangle.js%207f2a", **options) -> tuple[list, object]:
    source = open_source(address, Options(**options))
    with closing(source.events()) as events:
        return [next(events).message for _ in range(count)], source


@pytest.mark.parametrize(
    "address", ["ble://bangle.js 7f2a", "ble://aa:03", "ble://Bangle.js%207f2a/"]
)
def test_a_watch_is_found_by_name_or_address(air: Air, address: str) -> None:
    air.connections = [[frame(5.0)]]
    (hello, connected, samples), _ = take(3, address)
    assert hello == Hello("g", None)
    assert connected.text == f"Connected to {address}."
    np.testing.assert_allclose(samples.times, [5, 5.02, 5.04, 5.06])
    np.testing.assert_allclose(samples.acceleration, np.arange(12).reshape(4, 3) / 16)
    assert air.left == 1  # and let go of


def test_another_unit_can_be_said(air: Air) -> None:
    air.connections = [[frame(0)]]
    assert take(1, unit="m/s2")[0] == [Hello("m/s2", None)]


def test_a_long_frame_comes_in_several_values(air: Air) -> None:
    whole = frame(7.0, 40, scale=None)
    pieces = [whole[i : i + 20] for i in range(0, len(whole), 20)]
    air.connections = [[*pieces, frame(8.0)]]
    (_, _, first, second), source = take(4)
    np.testing.assert_array_equal(first.acceleration, decode(whole).acceleration)
    assert second.times[0] == 8
    assert source.malformed == 0


def test_what_is_no_frame_is_counted_and_the_stream_lives(air: Air) -> None:
    cut = frame(1.0)[:-1]  # its last value was lost
    wrong = bytearray(frame(1.0))
    wrong[6] = 9
    huge = MAGIC + b"\xff\xff" + bytes(18)
    air.connections = [[b"", b"battery 80%", cut, frame(2.0), bytes(wrong), huge, frame(3.0)]]
    got, source = take(9)  # each of those that are left out is a place where samples are missing
    assert [m.times[0] for m in got if isinstance(m, Samples)] == [2, 3]
    assert sum(isinstance(m, Notice) and m.lost for m in got) == 5
    assert source.malformed == 5


def test_a_watch_that_goes_out_of_reach_and_comes_back(air: Air) -> None:
    air.connections = [[frame(1.0)], BleakError("out of reach"), [frame(2.0)]]
    got, _ = take(6)
    said = [m.text if isinstance(m, Notice) else m for m in got]
    assert said[1].startswith("Connected to")
    assert said[3].startswith("Lost the connection to")
    assert said[4].startswith("Connected again to")
    assert (said[2].times[0], said[5].times[0]) == (1, 2)
    assert air.scans == 3


def test_no_such_watch_names_what_was_seen(air: Air) -> None:
    with pytest.raises(SourceError, match=r"Seen: Fridge \(AA:01\), Bangle\.js 7f2a \(AA:03\)"):
        take(2, "ble://pulse")
    air.devices = []
    with pytest.raises(SourceError, match="Seen: none with a name"):
        take(2, "ble://pulse")


@pytest.mark.parametrize(
    "error",
    [
        BleakCharacteristicNotFoundError("no such service"),
        BleakError("refused"),
        OSError("no D-Bus"),
    ],
)
def test_a_watch_that_cannot_be_used(air: Air, error: Exception) -> None:
    air.connections = [error]
    with pytest.raises(SourceError, match="cannot be used over Bluetooth"):
        take(3)


def test_no_bluetooth_here(air: Air) -> None:
    reason = next(iter(bleak.exc.BleakBluetoothNotAvailableReason))
    air.scan_error = BleakBluetoothNotAvailableError("No powered adapter", reason)
    with pytest.raises(SourceError, match="No powered adapter"):
        take(2)


def test_a_name_is_needed() -> None:
    with pytest.raises(UsageError, match="names no device"):
        open_source("ble://", Options())


def test_frames_are_put_together_however_they_are_cut() -> None:
    rng = np.random.default_rng(0)
    sent = [frame(float(i), int(rng.integers(1, 60)), rng.choice([None, 0.001])) for i in range(50)]
    frames, got = Frames(), []
    for one in sent:
        cuts = np.sort(rng.integers(8, len(one), 3)).tolist()
        for a, b in zip([0, *cuts], [*cuts, len(one)], strict=True):
            if b > a:
                got += frames.feed(one[a:b])
    assert got == sent


def test_any_values_at_all_take_no_memory() -> None:
    rng = np.random.default_rng(1)
    frames = Frames()
    for _ in range(3000):
        value = rng.bytes(int(rng.integers(0, 200)))
        for given in frames.feed(MAGIC + value if rng.random() < 0.3 else value):
            with suppress(Exception):
                decode(given)
        assert len(frames._held) < 15_000
