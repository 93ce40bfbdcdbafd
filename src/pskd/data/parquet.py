"""Numbers out of a parquet file, within bounds. Needs pyarrow, an optional extra."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pskd.data.csv_table import SECONDS, Table, check_sizes, in_seconds, time_column
from pskd.errors import DataError, UsageError

MAX_ROWS = 5_000_000
MAX_COLUMNS = 1000
MAX_UNPACKED = 256 << 20
_MEMORY = 1 << 30  # bytes, to unpack them with
_BATCH = 65_536


def read_parquet(data: bytes, where: object, pick: Callable[[list[str]], Sequence[int]]) -> Table:
    """Read the time and some columns of a parquet file, as `read_table` does those of a CSV.

    What the file says of its own size is judged before any of its data is unpacked.

    Args:
        data: The whole file.
        where: Its name in errors.
        pick: Gives the indices of the columns wanted for the names of all in lower case.

    Raises:
        UsageError: pyarrow is not installed.
        DataError: No such file, over the bounds, columns that are no numbers, fewer than two rows.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError(
            "is a parquet file, and pyarrow is not installed",
            where=where,
            remedy="pip install 'pskd[parquet]', or save the file as CSV",
        ) from error
    pa.allocate_buffer(1)  # its allocator takes a GiB of addresses with the first byte
    try:
        with _limited_memory():
            file = pq.ParquetFile(
                io.BytesIO(data),
                thrift_string_size_limit=len(data),
                thrift_container_size_limit=1_000_000,
            )
            _judge(file.metadata, where)
            names = list(file.schema_arrow.names)
            header = [name.strip().lower() for name in names]
            clock = time_column(header, where)
            wanted = [*pick(header), *([clock[0]] if clock else [])]
            columns: list[list[NDArray[np.float64]]] = [[] for _ in wanted]
            rows = 0
            for batch in file.iter_batches(_BATCH, columns=[names[i] for i in wanted]):
                rows += len(batch)
                if rows > file.metadata.num_rows:
                    raise ValueError("it holds more rows than it says")
                for column, index in zip(columns, wanted, strict=True):
                    column.append(_numbers(batch.column(names[index]), names[index]))
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"cannot be read as parquet ({str(error).splitlines()[0][:200]})",
            where=where,
            remedy="Write it again with columns t,x,y,z of numbers, or as CSV",
        ) from error
    if rows < 2:
        raise DataError(f"has {rows} samples, at least 2 are needed", where=where)
    values = np.stack([np.concatenate(column) for column in columns], axis=1)
    times = None
    if clock:
        is_clock = pa.types.is_timestamp(file.schema_arrow.field(clock[0]).type)
        times = in_seconds(values[:, -1], "s" if is_clock else clock[1])
    table = Table(times, values[:, : -1 if clock else None], np.arange(1, rows + 1))
    check_sizes(table, where, holes=False)
    return table


@contextmanager
def _limited_memory() -> Iterator[None]:
    """Let this process, on Linux, take little more memory than it has.

    Each page of a column may unpack to 2 GiB, whatever the file said of its size.
    """
    table = Path("/proc/self/statm")
    if not table.exists():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = int(table.read_text().split()[0]) * resource.getpagesize() + _MEMORY
    if soft != resource.RLIM_INFINITY:
        most = min(most, soft)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _judge(metadata: Any, where: object) -> None:
    """Refuse a file that says it is too large. pyarrow types nothing."""
    # Not column by column: to look at a column that is wrong can end the process.
    groups = range(metadata.num_row_groups)
    unpacked = sum(metadata.row_group(i).total_byte_size for i in groups)
    for size, most, unit in (
        (metadata.num_rows, MAX_ROWS, "rows"),
        (metadata.num_columns, MAX_COLUMNS, "columns"),
        (unpacked, MAX_UNPACKED, "bytes once unpacked"),
    ):
        if not 0 <= size <= most:
            raise DataError(
                f"says that it has {size} {unit}, more than {most}",
                where=where,
                remedy="Split it into parts with the columns t,x,y,z alone",
            )


def _numbers(column: Any, name: str) -> NDArray[np.float64]:
    """A column as numbers; times of a clock as seconds of unix time."""
    import pyarrow.types as kinds

    if column.null_count:
        raise ValueError(f"column {name!r} has {column.null_count} empty cells")
    if kinds.is_timestamp(column.type):
        ticks = np.asarray(column.cast("int64").to_numpy(zero_copy_only=False), np.float64)
        return ticks * SECONDS[column.type.unit]
    if not (kinds.is_integer(column.type) or kinds.is_floating(column.type)):
        raise ValueError(f"column {name!r} holds {column.type}, not numbers")
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
