"""A real server on a port of its own, and real clients of it."""

import asyncio
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pskd.stream.recognizer import Recognizer
from pskd.stream.runtime import Student
from pskd.stream.wire import decode, prediction_json

pytest.importorskip("fastapi", reason="pskd[serve] is not installed")
pytest.importorskip("uvicorn", reason="pskd[serve] is not installed")

from websockets.sync.client import ClientConnection, connect

from pskd.stream.server.hub import Hub
from pskd.stream.server.limits import Limits
from pskd.stream.server.metrics import Metrics
from pskd.stream.server.run import Access, Server, bind, make_server


@dataclass
class Served:
    """A server at work."""

    hub: Hub
    server: Server
    port: int
    tls: ssl.SSLContext | None

    def get(self, path: str, headers: dict[str, str] | None = None, body: bytes | None = None):
        """Status, headers and body of an answer."""
        if self.tls:
            link = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self.tls)
        else:
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        link.request("GET" if body is None else "POST", path, body, headers or {})
        answer = link.getresponse()
        found = answer.status, answer.headers, answer.read()
        link.close()
        return found

    def connect(self, query: str = "", **options: Any) -> ClientConnection:
        url = f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}/stream{query}"
        return connect(url, ssl=self.tls, close_timeout=1, compression=None, **options)

    @contextmanager
    def greeted(self, **hello: Any) -> Iterator[ClientConnection]:
        """A connection with a session."""
        with self.connect() as link:
            link.send(json.dumps({"type": "hello", "version": 1, "unit": "g"} | hello))
            assert hear(link)["type"] == "ready"
            yield link


def hear(link: ClientConnection) -> dict[str, Any]:
    return json.loads(link.recv(timeout=10))


def until_done(link: ClientConnection) -> list[dict[str, Any]]:
    """All that comes up to `done`."""
    heard = [hear(link)]
    while heard[-1]["type"] != "done":
        heard.append(hear(link))
    return heard


def predictions(heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answer for answer in heard if answer["type"] == "prediction"]


def samples(first: int, last: int) -> str:
    """A message with some samples of a wave at 50 Hz."""
    t = np.arange(first, last) / 50
    rows = np.column_stack([t, np.sin(9 * t), np.cos(5 * t), 1 + 0 * t]).round(4)
    return json.dumps({"samples": rows.tolist()})


def offline(student: Student, messages: list[str | bytes], **how: Any) -> list[dict[str, Any]]:
    """What a recogniser says that is given these messages at once."""
    parts = [decode(message) for message in messages]
    recognizer = Recognizer(student.runner, student.config, student.settings, **how)
    x = np.concatenate([part.acceleration for part in parts])
    times = None if parts[0].times is None else np.concatenate([part.times for part in parts])
    found = recognizer.push(x, times) + recognizer.finish()
    return json.loads(json.dumps([prediction_json(prediction) for prediction in found]))


@contextmanager
def serving(
    student: Student,
    limits: Limits = Limits(),  # noqa: B008
    access: Access = Access(),  # noqa: B008
    wasm: bytes | None = None,
    buffer: int | None = None,
) -> Iterator[Served]:
    """Run a server in a thread; `buffer` bytes are kept by the system for a connection."""
    bound = bind("127.0.0.1", 0)
    if buffer:  # connections inherit it
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    port = bound.getsockname()[1]
    hub = Hub(student, limits, Metrics())
    server = make_server(hub, wasm, access)
    tls = None
    if access.certificate:
        tls = ssl.create_default_context(cafile=access.certificate)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([bound])))
    thread.start()
    try:
        yield Served(hub, server, port, tls)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
