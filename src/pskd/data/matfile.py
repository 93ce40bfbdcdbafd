"""Real matrices out of MATLAB 5 files (`.mat` of versions 5 to 7), from untrusted bytes.

`scipy.io.loadmat` reads far more, but a few damaged bytes can make it crash the process, and it
unpacks whatever a file asks for. This reads what the datasets hold, checks every length before it
is used, and unpacks to a bound.

Format: MathWorks, "MAT-File Format". A header of 128 bytes, then elements: a type, a length, and
that many bytes, padded to 8; up to 4 bytes fit into the tag itself. A matrix is an element that
holds four: flags, dimensions, name, and its numbers in column order. It may be compressed by zlib.
"""

from __future__ import annotations

import math
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
# MATLAB keeps whole numbers in the smallest type that holds them, whatever their class.
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
_CLASSES = {6: "double", 7: "single"}
_COMPLEX = 0x0800

Order = Literal["<", ">"]


def read_matrix(data: bytes, name: str, at_most: int) -> NDArray[np.floating[Any]]:
    """Return the one matrix called `name` of a .mat file.

    Args:
        data: The whole file.
        name: Name of the matrix.
        at_most: Bytes that an element may unpack to.

    Returns:
        The matrix, float64 or float32 as its class is, with two dimensions or more.

    Raises:
        ValueError: No such file, torn, over the bound, or `name` is not there once as a real
            matrix of floating class.
    """
    orders: dict[bytes, Order] = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
    order = orders.get(data[124:128])
    if order is None:
        raise ValueError("not a MATLAB file of version 5 to 7")
    matrices: list[tuple[str, bytes]] = []
    position = 128
    while position < len(data):
        kind, element, position = _element(data, position, order)
        if kind == _COMPRESSED:
            kind, element, _ = _element(_inflate(element, at_most), 0, order)
        if kind != _MATRIX:
            raise ValueError(f"torn: element of type {kind} where a matrix should be")
        matrices.append((_name(element, order), element))
    names = [own for own, _ in matrices]
    if names.count(name) != 1:
        raise ValueError(f"holds {names[:5]}, not one {name!r}")
    return _numbers(matrices[names.index(name)][1], order)


def _element(data: bytes, position: int, order: Order) -> tuple[int, bytes, int]:
    """Return type and contents of the element at `position`, and where the next one begins."""
    tag = _integers(data[position : position + 4], order, "u4", 1)[0]
    if small := tag >> 16:
        kind, start, size, end = tag & 0xFFFF, position + 4, small, position + 8
    else:
        kind, start = tag, position + 8
        size = _integers(data[position + 4 : start], order, "u4", 1)[0]
        end = start + (size if kind == _COMPRESSED else -(-size // 8) * 8)
    element = data[start : start + size]
    if len(element) != size or start + size > end:
        raise ValueError("torn: an element is cut short")
    return kind, element, end


def _inflate(packed: bytes, at_most: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, at_most + 1)
    except zlib.error as error:
        raise ValueError(f"torn: {error}") from error
    if len(data) > at_most:
        raise ValueError(f"unpacks to more than {at_most} bytes")
    if not stream.eof:
        raise ValueError("torn: a compressed element is cut short")
    return data


def _parts(matrix: bytes, order: Order) -> tuple[list[int], list[int], str, int]:
    """Return flags, dimensions and name of a matrix, and where its numbers begin."""
    values: list[bytes] = []
    position = 0
    for expected in (_UINT32, _INT32, _INT8):
        kind, element, position = _element(matrix, position, order)
        if kind != expected:
            raise ValueError(f"torn: element of type {kind} where {expected} should be")
        values.append(element)
    flags = _integers(values[0], order, "u4", 2)
    shape = _integers(values[1], order, "i4", len(values[1]) // 4)
    return flags, shape, values[2].decode("latin-1"), position


def _name(matrix: bytes, order: Order) -> str:
    return _parts(matrix, order)[2]


def _numbers(matrix: bytes, order: Order) -> NDArray[np.floating[Any]]:
    (flags, _), shape, name, position = _parts(matrix, order)
    if flags & 0xFF not in _CLASSES or flags & _COMPLEX:
        raise ValueError(f"{name} is not a matrix of real numbers (flags {flags:#06x})")
    kind, element, _ = _element(matrix, position, order)
    if kind not in _NUMBERS:
        raise ValueError(f"torn: numbers of type {kind}")
    dtype = np.dtype(order + _NUMBERS[kind])
    if len(shape) < 2 or min(shape) < 0 or math.prod(shape) * dtype.itemsize != len(element):
        raise ValueError(f"torn: {len(element)} bytes of numbers for a shape of {tuple(shape)}")
    numbers = np.frombuffer(element, dtype).reshape(shape, order="F")
    return numbers.astype(_CLASSES[flags & 0xFF])


def _integers(data: bytes, order: Order, dtype: str, count: int) -> list[int]:
    if len(data) != count * 4:
        raise ValueError("torn: an element is cut short")
    return [int(n) for n in np.frombuffer(data, order + dtype)]
