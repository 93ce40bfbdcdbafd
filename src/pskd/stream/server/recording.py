"""A short recording in one request: `POST /predict`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import HTTPException, Request

from pskd.errors import PskdError
from pskd.stream.recognizer import Recognizer
from pskd.stream.runtime import Student
from pskd.stream.server.pieces import pieces
from pskd.stream.wire import MAX_BYTES, Finish, Hello, Samples, decode, prediction_json

MAX_BODY = 8 * MAX_BYTES
MAX_WINDOWS = 1000

EXAMPLE = '{"type":"hello","version":1,"unit":"g","rate":50}\n{"samples":[[0,0,1],[0,0.1,1]]}\n'
BODY = {
    "required": True,
    "content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": EXAMPLE}},
}
"""The request as OpenAPI describes it."""


async def recognise(student: Student, body: bytes) -> dict[str, Any]:
    """Recognise the messages of a body, a hello and then samples, one a line.

    Raises:
        HTTPException: It cannot be used, or holds too many windows.
    """
    lines = [line for line in body.splitlines() if line.strip()]
    try:
        hello = decode(lines[0]) if lines else None
        if not isinstance(hello, Hello):
            raise HTTPException(422, "The first line is no hello.")
        recognizer = Recognizer(
            student.runner, student.config, student.settings, unit=hello.unit, rate=hello.rate
        )
        predictions = []
        for number, line in enumerate(lines[1:], 2):
            samples = decode(line)
            if isinstance(samples, Finish) and number == len(lines):
                break
            if not isinstance(samples, Samples):
                raise HTTPException(422, "A line after the first holds no samples.")
            for piece in pieces(samples, student.config.window_seconds, hello.rate):
                predictions += recognizer.push(*piece)
                await asyncio.sleep(0)  # streams go on meanwhile
            if len(predictions) > MAX_WINDOWS:
                raise HTTPException(413, f"More than {MAX_WINDOWS} windows: use the stream.")
        predictions += recognizer.finish()
    except PskdError as error:
        raise HTTPException(422, str(error)) from error
    return {
        "predictions": [prediction_json(prediction) for prediction in predictions],
        "notices": recognizer.notices,
        "counts": asdict(recognizer.counts),
    }


async def read_body(request: Request) -> bytes:
    """Read a request.

    Raises:
        HTTPException: It is too large.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"More than {MAX_BODY} bytes: use the stream.")
    return body
