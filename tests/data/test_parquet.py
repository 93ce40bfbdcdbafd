"""Accelerometer recordings in parquet, good and hostile."""

from __future__ import annotations

import builtins
import io
import resource
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pskd.data import parquet
from pskd.data.accelerometer_file import read_accelerometer
from pskd.errors import DataError, PskdError, UsageError

NAME = Path("watch.parquet")


def packed(columns: dict[str, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


def still(n: int = 100) -> dict[str, Any]:
    return {"t": np.arange(n) / 50, "x": np.zeros(n), "y": np.zeros(n), "z": np.ones(n)}


def test_times_and_values() -> None:
    rng = np.random.default_rng(0)
    xyz = rng.normal([0, 0, 1], 0.1, (100, 3))
    columns = {"note": ["walk"] * 100, "z": xyz[:, 2], "X": xyz[:, 0], "y": xyz[:, 1]}
    file = read_accelerometer(packed({**columns, "time": np.arange(100) / 50}), NAME, unit="g")
    np.testing.assert_array_equal(file.acceleration, xyz.astype(np.float32))
    assert file.rate == pytest.approx(50)
    assert read_accelerometer(packed(columns), NAME, rate=25, unit="g").rate == pytest.approx(25)


def test_the_first_file_of_a_process_is_read(tmp_path: Path) -> None:
    """The allocator of pyarrow takes its addresses when it is first used: here it was already."""
    (tmp_path / NAME).write_bytes(packed(still()))
    code = (
        "import sys; from pathlib import Path; "
        "from pskd.data.accelerometer_file import read_recording; "
        "print(read_recording(Path(sys.argv[1])).rate)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / NAME)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(50)


def test_a_clock_in_a_column_that_names_a_unit() -> None:
    stamps = np.datetime64("2026-11-22T09:00:00", "ms") + np.arange(100) * np.timedelta64(20, "ms")
    columns = still()
    del columns["t"]
    file = read_accelerometer(packed({"t_ms": stamps, **columns}), NAME)
    assert file.rate == pytest.approx(50, rel=1e-3)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_time_stamps_of_a_clock(unit: str) -> None:
    start = np.datetime64("2026-11-22T09:00:00", unit)
    step = np.timedelta64({"s": 1, "ms": 20, "us": 20_000, "ns": 20_000_000}[unit], unit)
    stamps = start + np.arange(100) * step
    file = read_accelerometer(packed({**still(), "t": stamps}), NAME)
    np.testing.assert_allclose(file.times[0], 1795338000)
    assert file.rate == pytest.approx(1 if unit == "s" else 50, rel=1e-3)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({**still(), "z": ["one"] * 100}, "column 'z' holds string, not numbers"),
        ({**still(), "x": [None, *[0.0] * 99]}, "column 'x' has 1 empty cells"),
        ({**still(), "x": [[0.0]] * 100}, "column 'x' holds list"),
        ({"t": [0.0], "x": [0.0], "y": [0.0], "z": [1.0]}, "has 1 samples"),
        ({**still(), "x": [np.nan] * 100}, "not a finite number"),
        ({"t": [0.0, 1.0], "x": [0.0, 1.0]}, "no column for y, z"),
        ({**still(), "time": np.arange(100)}, "several for t"),
    ],
)
def test_columns_that_cannot_be_used(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_accelerometer(packed(columns), NAME, unit="g")


@pytest.mark.parametrize("bound", ["MAX_ROWS", "MAX_COLUMNS", "MAX_UNPACKED"])
def test_a_file_is_judged_before_it_is_unpacked(bound: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(parquet, bound, 3)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", None)
    with pytest.raises(DataError, match=r"says that it has .* more than 3"):
        read_accelerometer(packed(still()), NAME)


def test_a_bomb_of_few_bytes_is_refused() -> None:
    bomb = packed({"x": pa.array(np.zeros(parquet.MAX_ROWS + 1, np.int8))}, compression="zstd")
    assert len(bomb) < 100_000
    with pytest.raises(DataError, match="rows, more than"):
        read_accelerometer(bomb, NAME)


def varint(value: int) -> bytes:
    first = bytes([value & 127 | 128 * (value > 127)])
    return first + varint(value >> 7) if value > 127 else first


@pytest.mark.skipif(not Path("/proc").exists(), reason="memory is limited on Linux only")
def test_a_page_that_is_larger_than_the_file_says_is_refused() -> None:
    rows, size = 20_000, 1500 << 20
    random = np.random.default_rng(0).normal(size=(4, rows))
    plain = {"compression": "zstd", "use_dictionary": False, "data_page_size": 1 << 30}
    data = bytearray(packed(dict(zip("txyz", random, strict=True)), **plain))
    # Every row has a value, as one run of levels; then blocks of zstd that repeat a zero.
    levels = varint(rows << 1) + b"\1"
    levels = struct.pack("<I", len(levels)) + levels
    block = (len(levels) << 3).to_bytes(3, "little") + levels
    for start in range(len(levels), size, 1 << 17):
        count = min(1 << 17, size - start)
        block += (count << 3 | 2 | (start + count == size)).to_bytes(3, "little") + b"\0"
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + block
    page = b"\x15\0\x15" + varint(size << 1) + b"\x15" + varint(len(frame) << 1)
    page += b"\x2c\x15" + varint(rows << 1) + b"\x15\0\x15\6\x15\6\0\0" + frame
    column = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(1)
    assert len(page) < column.total_compressed_size < 200_000
    data[column.data_page_offset : column.data_page_offset + len(page)] = page
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(DataError, match="malloc of size 1572864000 failed"):
        read_accelerometer(bytes(data), NAME)
    assert resource.getrlimit(resource.RLIMIT_AS) == limits


def test_without_pyarrow_it_says_how_to_install_it(monkeypatch: Any) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r"pip install 'pskd\[parquet\]'"):
        read_accelerometer(b"PAR1", NAME)


GOOD = packed(still(), compression="snappy")


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8))
def test_damaged_files_are_read_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    with suppress(PskdError):
        read_accelerometer(bytes(data), NAME)


@given(st.binary(max_size=200), st.integers(0, len(GOOD)))
def test_torn_files_are_refused(noise: bytes, cut: int) -> None:
    for data in (noise, GOOD[:cut] + noise):
        with suppress(PskdError):
            read_accelerometer(data, NAME)
