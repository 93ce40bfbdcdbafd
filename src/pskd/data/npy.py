"""Arrays in .npy files, written row by row and mapped into memory when whole."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class NpyWriter:
    """A .npy file of float32 that grows.

    Args:
        path: The file; made anew unless rows of it are kept.
        row: Shape of a row.
        rows: How many rows of the file to keep; what it has beyond them is cut off.

    Attributes:
        shape: What was written so far.

    Raises:
        OSError: The file cannot be written.
        ValueError: It has fewer rows than are to be kept.
    """

    def __init__(self, path: Path, row: tuple[int, ...], rows: int = 0) -> None:
        self.shape = (rows, *row)
        size = len(self._header()) + 4 * rows * math.prod(row)
        if rows and path.stat().st_size < size:
            raise ValueError(f"{path} has fewer rows than {rows}")
        self._stream = path.open("r+b" if rows else "wb")
        self._stream.truncate(size)
        self._stream.seek(size)

    def append(self, rows: NDArray[np.floating[Any]]) -> None:
        """Write some rows more [n, ...]."""
        self._stream.write(np.ascontiguousarray(rows, "<f4").data)
        self.shape = (self.shape[0] + len(rows), *self.shape[1:])

    def sync(self) -> None:
        """Bring to disk what was written."""
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def finish(self) -> None:
        """Write the header; the file is whole from here on."""
        self._stream.seek(0)
        self._stream.write(self._header())
        self.sync()

    def _header(self) -> bytes:
        """Return the header; numpy leaves room in it for any number of rows."""
        header = io.BytesIO()
        facts = {"descr": "<f4", "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(header, facts)
        return header.getvalue()

    def close(self) -> None:
        """Close the file, whole or not."""
        self._stream.close()


def map_npy(
    path: Path, shape: tuple[int, ...] | None, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Map a file read-only; ValueError or OSError if it is not whole, or of another shape.

    With `shape` None any shape will do.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # numpy raises nearly anything on a torn header
        raise ValueError(f"{path.name} is no npy file ({error})") from error
    size = path.stat().st_size - array.offset
    if array.dtype != dtype or array.shape != (shape or array.shape) or size != array.nbytes:
        raise ValueError(f"{path.name} is not as it was written")
    return np.asarray(array)
