"""The wire format, version 1: what watches, phones and programs send, and what they are answered.

A message is JSON text (a WebSocket message, an MQTT payload, a line) or a binary frame, little
endian: `PSK1`, u16 count, u8 encoding (0 float32, 1 int16), u8 0, f64 time of the first sample in
s (NaN: none), f32 interval in s, f32 scale (value = integer x scale), then x, y, z a sample.
Whatever comes in, it is decoded or refused with a `WireError`; nothing is guessed.
"""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pskd.data.accelerometer_file import RATES
from pskd.errors import DataError, printable

if TYPE_CHECKING:
    from pskd.stream.recognizer import Prediction

VERSION = 1
MAGIC = b"PSK1"
HEADER = struct.Struct("<4sHBBdff")

MAX_SAMPLES = 1024
"""In a message: 20 s at 50 Hz, so that one message is no long work."""

MAX_BYTES = 131_072
"""Of a message: as many samples as JSON, 32 characters a number."""

MAX_VALUE = 1e5
"""In either unit: ten times what any accelerometer measures."""

MAX_TIME = 1e11
"""Seconds, thousands of years: a larger one is a time in ms, us or ns."""

Unit = Literal["g", "m/s2"]


class Samples(NamedTuple):
    """Samples as they were sent."""

    acceleration: NDArray[np.float32]
    """[n, 3] in the unit of the hello, n >= 1."""
    times: NDArray[np.float64] | None
    """[n] s, never descending; none where the hello gave a rate."""


class Hello(NamedTuple):
    """The first message of a session."""

    unit: Unit
    rate: float | None
    """Samples a second, where samples have no time."""


class Finish(NamedTuple):
    """The end of the recording."""


class WireError(DataError):
    """A message that cannot be used.

    Args:
        code: For programs: `malformed`, `version`, `unit`, `rate`, `too_large`, `not_finite`,
            `out_of_range` or `backward`.
        what: What is wrong, for people.
        remedy: What to do about it.
    """

    def __init__(self, code: str, what: str, *, remedy: str | None = None) -> None:
        super().__init__(what, remedy=remedy)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (self.code, self.what, self.remedy)


def _again(code: str, what: str, remedy: str | None) -> WireError:
    return WireError(code, what, remedy=remedy)


def decode(message: str | bytes) -> Samples | Hello | Finish:
    """Read one message: a binary frame, or JSON as text or UTF-8.

    Raises:
        WireError: It is no message of this format, too large, holds what is no acceleration, or
            its times descend.
    """
    if len(message) > MAX_BYTES:
        raise WireError(
            "too_large", f"a message of more than {MAX_BYTES} bytes", remedy="Send smaller ones"
        )
    if isinstance(message, bytes) and message.startswith(MAGIC):
        return checked(*_frame(message))
    try:
        content = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise WireError("malformed", "a message is neither JSON nor a binary frame") from error
    if not isinstance(content, dict):
        raise WireError("malformed", "a message is no JSON object")
    kind = content.get("type", "samples")
    if kind == "samples":
        return checked(*_rows(content))
    if kind == "hello":
        return _hello(content)
    if kind == "finish":
        return Finish()
    raise WireError(
        "malformed",
        f"unknown type {shown(kind)}",
        remedy="Known: hello, samples, finish",
    )


def encode_samples(
    acceleration: ArrayLike,
    start: float = math.nan,
    interval: float = 0.0,
    scale: float | None = None,
) -> bytes:
    """Write evenly spaced samples as a binary frame.

    Args:
        acceleration: [n, 3], 1 <= n <= `MAX_SAMPLES`.
        start: Time of the first sample, s; NaN where the hello gave a rate.
        interval: Time between samples, s.
        scale: Send integers of 16 bits, value / `scale` rounded; else float32.
    """
    values = np.asarray(acceleration)
    if scale is None:
        encoding, body = 0, values.astype("<f4").tobytes()
    else:
        encoding, body = 1, np.round(values / scale).clip(-32768, 32767).astype("<i2").tobytes()
    head = HEADER.pack(MAGIC, len(values), encoding, 0, start, interval, scale or 1.0)
    return head + body


def prediction_json(prediction: Prediction) -> dict[str, Any]:
    """What a client is told of a window."""
    return {
        "type": "prediction",
        "start_s": prediction.start_s,
        "end_s": prediction.end_s,
        "class": prediction.class_name,
        "probability": prediction.probability,
        "probabilities": prediction.probabilities,
        "score": prediction.score,
        "movement_g": prediction.movement_g,
        "action": prediction.action,
        "reported": prediction.reported,
    }


def shown(value: object) -> str:
    """A stranger's value, short enough and plain enough to be told back."""
    return printable(repr(value)[:40])


def _hello(content: dict[str, Any]) -> Hello:
    version, unit, rate = (content.get(key) for key in ("version", "unit", "rate"))
    if type(version) is not int or version != VERSION:
        raise WireError(
            "version",
            f"version {shown(version)} of the wire format is not known",
            remedy=f"Send version {VERSION}",
        )
    if unit != "g" and unit != "m/s2":
        raise WireError("unit", f"unit {shown(unit)} is not known", remedy="Send g or m/s2")
    if rate is not None and not (type(rate) in (int, float) and RATES[0] <= rate <= RATES[1]):
        raise WireError(
            "rate",
            f"rate {shown(rate)} is not one of an accelerometer",
            remedy=f"Send one from {RATES[0]:g} to {RATES[1]:g} Hz, or times with the samples",
        )
    return Hello(unit, None if rate is None else float(rate))


_Values = NDArray[np.float64]


def _rows(content: dict[str, Any]) -> tuple[_Values, _Values | None]:
    """Values [n, 3] and times [n] of JSON samples."""
    if "samples" in content:
        rows = content["samples"]
    else:
        rows = [[content[key] for key in "txyz" if key in content]]
        if not content.keys() >= set("xyz"):
            raise WireError(
                "malformed",
                "no samples, or an axis is missing",
                remedy='Send {"samples": [[t, x, y, z], ...]} or {"t": 0, "x": 0, "y": 0, "z": 1}',
            )
    if not isinstance(rows, list) or not rows:
        raise WireError("malformed", "samples are no list with something in it")
    _check_count(len(rows))
    first = rows[0]
    width = len(first) if isinstance(first, list) else 0
    if width not in (3, 4) or not all(type(r) is list and len(r) == width for r in rows):
        raise WireError(
            "malformed",
            "a sample is neither t, x, y, z nor x, y, z",
            remedy="Give all samples of a message the same numbers",
        )
    if not all(type(value) in (int, float) for row in rows for value in row):
        raise WireError("malformed", "a value of a sample is no number")
    try:
        values = np.array(rows, np.float64)
    except OverflowError as error:  # an integer of hundreds of digits
        raise WireError("out_of_range", "a value of a sample is no acceleration") from error
    return (values, None) if width == 3 else (values[:, 1:], values[:, 0])


def _frame(message: bytes) -> tuple[_Values, _Values | None]:
    """Values [n, 3] and times [n] of a binary frame."""
    if len(message) < HEADER.size:
        raise WireError("malformed", "a binary frame is shorter than its header")
    _, count, encoding, zero, start, interval, scale = HEADER.unpack_from(message)
    _check_count(count)
    if encoding > 1 or zero:
        raise WireError("malformed", f"encoding {encoding} of a binary frame is not known")
    kind = ("<f4", "<i2")[encoding]
    if count == 0 or len(message) != HEADER.size + 3 * count * np.dtype(kind).itemsize:
        raise WireError("malformed", f"a binary frame has not the bytes of {count} samples")
    raw = np.frombuffer(message, kind, offset=HEADER.size).reshape(count, 3).astype(np.float64)
    # Times and scale are finite or the checks that follow say so.
    with np.errstate(invalid="ignore"):
        values = raw * scale if encoding else raw
        times = None if math.isnan(start) else start + np.arange(count) * float(interval)
    return values, times


def _check_count(count: int) -> None:
    if count > MAX_SAMPLES:
        raise WireError(
            "too_large", f"more than {MAX_SAMPLES} samples in a message", remedy="Send smaller ones"
        )


def checked(values: _Values, times: _Values | None) -> Samples:
    """Take samples [n, 3], and times [n] or none, that came in whatever form.

    Raises:
        WireError: They are not finite, too large, or times go back.
    """
    # No comparison with a NaN holds. Few reductions: on few samples they are most of the work.
    if not np.abs(values).max() <= MAX_VALUE:
        raise _not_usable(values, f"an acceleration of more than {MAX_VALUE:g}", "Send g or m/s2")
    if times is not None:
        ordered = len(times) == 1 or bool((times[1:] >= times[:-1]).all())
        if not (ordered and times[0] >= -MAX_TIME and times[-1] <= MAX_TIME):
            if np.isfinite(times).all() and not ordered:
                raise WireError("backward", "times go back within a message")
            raise _not_usable(times, "a time too large for seconds", "Send times in seconds")
    return Samples(values.astype(np.float32), times)


def _not_usable(values: _Values, what: str, remedy: str) -> WireError:
    if np.isfinite(values).all():
        return WireError("out_of_range", what, remedy=remedy)
    return WireError("not_finite", "a value of a sample is not a finite number")
