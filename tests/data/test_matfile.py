import io
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from pskd.data.matfile import read_matrix

RNG = np.random.default_rng(0)
REAL = {
    "matrix": RNG.normal(size=(177, 6)),
    "cube": RNG.normal(size=(20, 3, 41)),
    "one number": np.array([[2.5]]),
    "empty": np.empty((0, 6)),
    "single": RNG.normal(size=(5, 4)).astype(np.float32),
    "special": np.array([[np.nan, np.inf, -0.0]]),
}


def mat(compressed: bool = True, **arrays: NDArray[Any]) -> bytes:
    buffer: Any = io.BytesIO()
    scipy.io.savemat(buffer, arrays, do_compression=compressed)
    data: bytes = buffer.getvalue()
    return data


def tagged(order: str, kind: int, data: bytes) -> bytes:
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


def by_hand(
    order: str,
    kind: int,
    numbers: bytes,
    shape: tuple[int, ...],
    flags: int = 6,
    name: bytes = b"x",
) -> bytes:
    """A file as the format describes it, in either byte order."""
    body = tagged(order, 6, struct.pack(f"{order}II", flags, 0))
    body += tagged(order, 5, struct.pack(f"{order}{len(shape)}i", *shape))
    body += struct.pack(f"{order}I", len(name) << 16 | 1) + name.ljust(4, b"\0")
    body += tagged(order, kind, numbers)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}HH", 0x0100, 0x4D49)
    return header + tagged(order, 14, body)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("what", REAL)
def test_matrices_as_scipy_writes_them(what: str, compressed: bool) -> None:
    data = mat(compressed, before=np.arange(3.0), d_iner=REAL[what], text=np.array("after"))
    read = read_matrix(data, "d_iner", 1 << 20)
    assert read.dtype == REAL[what].dtype
    np.testing.assert_array_equal(read, REAL[what])


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_and_numbers_kept_as_integers(order: str) -> None:
    doubles = by_hand(order, 9, struct.pack(f"{order}6d", 1, 2, 3, 4, 5, 6.5), (2, 3))
    shorts = by_hand(order, 3, struct.pack(f"{order}4h", -300, 2, 3, 4), (2, 2))
    for data, expected in ((doubles, [[1, 3, 5], [2, 4, 6.5]]), (shorts, [[-300, 3], [2, 4]])):
        read = read_matrix(data, "x", 1000)
        assert read.dtype == np.float64 and read.tolist() == expected
        file: Any = io.BytesIO(data)
        np.testing.assert_array_equal(scipy.io.loadmat(file)["x"], read)


MATRIX = REAL["matrix"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a MATLAB file of version 5 to 7"),
        (b"t,x,y,z\n" * 50, "not a MATLAB file of version 5 to 7"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(99), "not a MATLAB file of version"),
        (mat(x=MATRIX)[:128], r"holds \[\], not one 'x'"),
        (mat(x=MATRIX)[:-1], "torn: an element is cut short"),
        (mat(False, x=MATRIX)[:-1], "torn: an element is cut short"),
        (mat(x=MATRIX)[:-4] + b"\0\0\0\0", "torn: .*incorrect data check"),
        (mat(y=MATRIX, z=MATRIX), r"holds \['y', 'z'\], not one 'x'"),
        (mat(x=MATRIX) + mat(x=MATRIX)[128:], r"holds \['x', 'x'\], not one 'x'"),
        (mat(x=MATRIX * 1j), "x is not a matrix of real numbers"),
        (mat(x=np.array("text")), "x is not a matrix of real numbers"),
        (mat(x=np.ones((2, 2), np.int16)), "x is not a matrix of real numbers"),
        (mat(x=np.array([[{"a": 1}]], object)), "x is not a matrix of real numbers"),
        (by_hand("<", 9, bytes(48), (2, 4)), r"48 bytes of numbers for a shape of \(2, 4\)"),
        (by_hand("<", 9, bytes(48), (2**31 - 1,) * 3), "48 bytes of numbers for a shape"),
        (by_hand("<", 9, bytes(48), (-2, -3)), "48 bytes of numbers for a shape"),
        (by_hand("<", 9, bytes(48), (6,)), "48 bytes of numbers for a shape"),
        (by_hand("<", 0x309, bytes(48), (2, 3)), "torn: numbers of type 777"),
        (by_hand("<", 9, bytes(48), (2, 3), name=b"12345"), "torn: an element is cut short"),
    ],
)
def test_what_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_matrix(data, "x", 1 << 20)


def packed(element: bytes) -> bytes:
    data = zlib.compress(element, 9)
    return mat(x=MATRIX)[:128] + struct.pack("<II", 15, len(data)) + data


def test_a_bomb_eats_no_memory() -> None:
    open_bomb = mat(x=np.zeros((1_000_000, 6)))
    whole = mat(False, x=np.zeros((1_000_000, 6)))
    lying_bomb = packed(whole[128:].replace(struct.pack("<i", 1_000_000), struct.pack("<i", 10)))
    del whole
    for bomb in (open_bomb, lying_bomb):
        assert len(bomb) < 60_000
        tracemalloc.start()
        with pytest.raises(ValueError, match="unpacks to more than 100000 bytes"):
            read_matrix(bomb, "x", 100_000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20


@pytest.mark.parametrize("compressed", [True, False])
def test_any_damage_is_refused_or_harmless(compressed: bool) -> None:
    data, rng = mat(compressed, x=MATRIX[:3]), np.random.default_rng(0)
    refused = 0
    for _ in range(3000):
        torn = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            torn[rng.integers(124, 220)] = rng.integers(256)
        try:
            assert read_matrix(bytes(torn), "x", 4096).nbytes <= 8 * 4096
        except ValueError:
            refused += 1
    assert refused > 1000
