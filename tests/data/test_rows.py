from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pskd.data.rows import read_rows

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    rows=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n", " \n\n"]),
    gap=st.sampled_from([" ", "\t", "  "]),
)
def test_what_is_written_is_read(
    rows: list[tuple[float, float, float]], end: str, gap: str
) -> None:
    text = end.join(gap.join(map(repr, row)) for row in rows) + end
    np.testing.assert_array_equal(read_rows(text.encode(), 3, 8), rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        (b" \n\r\n", "is empty"),
        (b"1 2\n3 \xc3\xa9\n", "is no plain text"),
        (b"1 2\n3 x\n", "row 2 has 'x' where a number should be"),
        (b"1 2\n3\n", "row 2 has 1 columns, expected 2"),
        (b"1 2 3\n", "has 3 columns, expected 2"),
        (b"1 2\n3 nan\n", "row 2 has a value that is not finite"),
        (b"1e999 2\n", "row 1 has a value that is not finite"),
        (b"1 2\n" * 4, "has 4 rows, expected 3 at most"),
        (b"# 1 2\n", "row 1 has 3 columns, expected 2"),
        (b"__import__('os') 2\n", "row 1 has .__import__"),
        (b"\x001 2\n", "row 1 has .*x001. where a number should be"),
    ],
)
def test_bad_text_by_name(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rows(text, 2, 3)


@given(st.binary(max_size=60) | st.text("0123456789.eE+-nai \n\r\t", max_size=60).map(str.encode))
def test_any_text_is_refused_or_finite(text: bytes) -> None:
    try:
        rows = read_rows(text, 2, 5)
    except ValueError:
        return
    assert rows.shape[1] == 2 and np.isfinite(rows).all()
