"""The wire format against JSON and `struct` used by hand, and against any bytes at all."""

import json
import math
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pskd.stream.wire import (
    MAX_BYTES,
    MAX_SAMPLES,
    Finish,
    Hello,
    Samples,
    WireError,
    decode,
    encode_samples,
)


def frame(values, *, count=None, encoding=0, zero=0, start=0.0, interval=0.02, scale=1.0) -> bytes:
    head = struct.pack("<4sHBB", b"PSK1", len(values) if count is None else count, encoding, zero)
    body = b"".join(struct.pack("<3h" if encoding else "<3f", *row) for row in values)
    return head + struct.pack("<dff", start, interval, scale) + body


def refused(message: str | bytes) -> str:
    with pytest.raises(WireError) as caught:
        decode(message)
    assert str(caught.value).endswith(".")
    return caught.value.code


def test_hello_and_finish():
    assert decode('{"type":"hello","version":1,"unit":"m/s2","rate":50}') == Hello("m/s2", 50.0)
    assert decode(b'{"type":"hello","version":1,"unit":"g"}') == Hello("g", None)
    assert decode('{"type":"finish"}') == Finish()


@pytest.mark.parametrize(
    ("message", "times", "values"),
    [
        ('{"samples":[[0,1,2,3],[0.5,4,5,6]]}', [0, 0.5], [[1, 2, 3], [4, 5, 6]]),
        ('{"type":"samples","samples":[[1,2,3]]}', None, [[1, 2, 3]]),
        ('{"t":1.5,"x":0,"y":0.25,"z":1}', [1.5], [[0, 0.25, 1]]),
        ('{"x":0,"y":0,"z":1}', None, [[0, 0, 1]]),
        (frame([(1, 2, 3), (4, 5, 6)], start=7.0, interval=0.5), [7, 7.5], [[1, 2, 3], [4, 5, 6]]),
        (frame([(1, 2, 3)], start=math.nan), None, [[1, 2, 3]]),
        (frame([(-4, 0, 32767)], encoding=1, scale=0.25), [0], [[-1, 0, 8191.75]]),
    ],
)
def test_samples(message, times, values):
    found = decode(message)
    assert isinstance(found, Samples)
    assert found.acceleration.dtype == np.float32
    assert found.acceleration.tolist() == values
    assert (found.times if times is None else found.times.tolist()) == times


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "malformed"),
        ("[1,2,3]", "malformed"),
        ("[" * 100_000, "malformed"),
        (b"\xff\xfe\x00", "malformed"),
        ("{}", "malformed"),
        ('{"x":0,"y":0}', "malformed"),
        ('{"type":"wave"}', "malformed"),
        ('{"type":["hello"]}', "malformed"),
        ('{"samples":[]}', "malformed"),
        ('{"samples":[[1,2]]}', "malformed"),
        ('{"samples":[[1,2,3],[0,1,2,3]]}', "malformed"),
        ('{"samples":[[1,2,"3"]]}', "malformed"),
        ('{"samples":[[1,2,true]]}', "malformed"),
        ('{"samples":[[1,2,null]]}', "malformed"),
        ('{"samples":[{"x":1}]}', "malformed"),
        ('{"samples":[[1,2,NaN]]}', "not_finite"),
        ('{"samples":[[1,2,1e999]]}', "not_finite"),
        ('{"samples":[[Infinity,1,2,3]]}', "not_finite"),
        ('{"samples":[[1,2,1e6]]}', "out_of_range"),
        ('{"samples":[[1,2,1%s]]}' % ("0" * 400), "out_of_range"),
        ('{"samples":[[1,2,1%s]]}' % ("0" * 5000), "malformed"),
        ('{"samples":[[1763850000000,0,0,1]]}', "out_of_range"),  # milliseconds
        ('{"samples":[[1,0,0,1],[0.9,0,0,1]]}', "backward"),
        (json.dumps({"samples": [[0, 0, 1]] * (MAX_SAMPLES + 1)}), "too_large"),
        (" " * (MAX_BYTES + 1), "too_large"),
        ('{"type":"hello","unit":"g"}', "version"),
        ('{"type":"hello","version":2,"unit":"g"}', "version"),
        ('{"type":"hello","version":true,"unit":"g"}', "version"),
        ('{"type":"hello","version":1}', "unit"),
        ('{"type":"hello","version":1,"unit":["g"]}', "unit"),
        ('{"type":"hello","version":1,"unit":"g","rate":0}', "rate"),
        ('{"type":"hello","version":1,"unit":"g","rate":NaN}', "rate"),
        ('{"type":"hello","version":1,"unit":"g","rate":"50"}', "rate"),
        (b"PSK1", "malformed"),
        (frame([]), "malformed"),
        (frame([(0, 0, 1)], count=2), "malformed"),
        (frame([(0, 0, 1)]) + b"\0", "malformed"),
        (frame([(0, 0, 1)], encoding=0, zero=1), "malformed"),
        (frame([(0, 0, 1)], count=MAX_SAMPLES + 1), "too_large"),
        (frame([(0, 0, math.nan)]), "not_finite"),
        (frame([(0, 0, 1)], encoding=1, scale=math.inf), "not_finite"),
        (frame([(0, 0, 9)], encoding=1, scale=3e38), "out_of_range"),
        (frame([(0, 0, 1)], start=math.inf), "not_finite"),
        (frame([(0, 0, 1)] * 2, interval=math.nan), "not_finite"),
        (frame([(0, 0, 1)] * 2, interval=-0.02), "backward"),
        (frame([(0, 0, 1)], start=1.7e12), "out_of_range"),
    ],
)
def test_what_is_refused_says_why(message, code):
    assert refused(message) == code


def test_most_samples_fit_as_json_and_as_a_frame():
    values = np.full((MAX_SAMPLES, 3), -9.80665012345678901)
    rows = np.column_stack([1.7e9 + np.arange(MAX_SAMPLES) / 3, values]).tolist()
    assert len(decode(json.dumps({"samples": rows})).acceleration) == MAX_SAMPLES
    assert len(decode(encode_samples(values)).acceleration) == MAX_SAMPLES


@given(
    st.lists(st.tuples(*[st.floats(-16, 16, width=32)] * 3), min_size=1, max_size=20),
    st.none() | st.floats(0, 1e9),
)
def test_a_frame_is_read_as_it_was_written(rows, start):
    found = decode(encode_samples(rows, math.nan if start is None else start, 0.02))
    assert found.acceleration.tolist() == [list(row) for row in rows]
    if start is None:
        assert found.times is None
    else:
        assert found.times[0] == start
    # 16 bits: half a step of rounding.
    packed = decode(encode_samples(rows, 0.0, 0.02, scale=16 / 32767)).acceleration
    assert np.abs(packed - np.array(rows)).max() <= 0.51 * 16 / 32767


def test_what_a_stranger_sent_is_told_back_short_and_plain():
    with pytest.raises(WireError) as caught:
        decode(json.dumps({"type": "\x1b[2J" + "x" * 10_000}))
    assert len(str(caught.value)) < 200
    assert "\x1b" not in str(caught.value)


def test_an_error_survives_a_process():
    error = pickle.loads(pickle.dumps(WireError("unit", "what", remedy="mend")))
    assert (error.code, str(error)) == ("unit", "what. mend.")


KEYS = st.sampled_from(["type", "samples", "t", "x", "y", "z", "version", "unit", "rate"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)
TYPES = st.sampled_from(["hello", "samples", "finish"])
ROWS = st.lists(st.lists(st.integers() | st.floats(), min_size=3, max_size=4), max_size=4)
MESSAGES = st.dictionaries(KEYS, JSON | TYPES | ROWS).map(json.dumps)
FRAMES = st.builds(
    lambda head, body: b"PSK1" + head + body,
    st.binary(min_size=20, max_size=20)
    | st.builds(
        lambda n, e, t, i, s: struct.pack("<HBBdff", n, e, 0, t, i, s),
        st.integers(0, 3),
        st.integers(0, 2),
        st.floats(),
        st.floats(width=32),
        st.floats(width=32),
    ),
    st.binary(max_size=36) | st.binary(min_size=18, max_size=18),
)


@given(st.text() | st.binary() | MESSAGES | MESSAGES.map(str.encode) | FRAMES)
def test_anything_is_decoded_or_refused(message):
    try:
        found = decode(message)
    except WireError:
        return
    if isinstance(found, Samples):
        assert found.acceleration.shape[1] == 3
        assert np.isfinite(found.acceleration).all()
        if found.times is not None:
            assert found.times.shape == found.acceleration.shape[:1]
            assert (np.diff(found.times) >= 0).all()
