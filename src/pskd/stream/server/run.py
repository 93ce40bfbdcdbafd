"""The server at work: an address, TLS, uvicorn, and an end in which nothing is lost."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from pskd.errors import UsageError
from pskd.stream.server.app import create_app
from pskd.stream.server.gate import Gate
from pskd.stream.server.hub import Hub
from pskd.stream.server.limits import LARGEST_MESSAGE, PING_SECONDS, READ_AHEAD, REQUEST_SECONDS

SEND_BUFFER = 65_536
"""Bytes that the system keeps for a connection: a minute of predictions. In its own megabytes they
would be old news before a slow client was noticed."""

LINGER_SECONDS = 5.0
"""That a closed connection may take to hand over its last bytes."""


@dataclass(frozen=True)
class Access:
    """How the server may be reached.

    Attributes:
        token: That clients must have.
        certificate: For TLS, a PEM file.
        key: Of the certificate, a PEM file.
    """

    token: str | None = None
    certificate: Path | None = None
    key: Path | None = None


def bind(host: str, port: int) -> socket.socket:
    """Take an address to listen on; port 0 means any that is free.

    Raises:
        UsageError: It is in use, not this machine's, or not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)  # asyncio turns off delays of TCP by its name
    except OSError as error:
        raise UsageError(
            f"{host} is no address of this machine ({error.strerror})",
            remedy="Give --host 127.0.0.1, or the address of a network card",
        ) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # connections inherit it
        bound.bind(address)
        bound.listen(1024)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} of {host} is in use",
                remedy=f"Give another --port, such as {port + 1}, or stop what listens there",
            ) from error
        raise UsageError(
            f"cannot listen on {host}, port {port} ({error.strerror})",
            remedy="Give --host 127.0.0.1, and a --port from 1024 on",
        ) from error
    return bound


def make_server(hub: Hub, wasm: bytes | None, access: Access) -> Server:
    """Put the server together.

    Args:
        hub: Of its sessions.
        wasm: The student as WebAssembly, for the page.
        access: How it may be reached.
    """
    config = uvicorn.Config(
        Gate(create_app(hub, wasm), access.token),
        http=_Request,
        ws=_Connection,
        ws_max_size=LARGEST_MESSAGE,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,  # a few bytes may unpack to many
        limit_concurrency=2 * hub.limits.sessions + 100,
        timeout_graceful_shutdown=3,
        lifespan="off",
        log_level="error",  # below, it writes addresses, and with them tokens
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ssl_certfile=access.certificate,
        ssl_keyfile=access.key,
    )
    return Server(config, hub)


class Server(uvicorn.Server):
    """Uvicorn, but sessions are ended before connections are, and Ctrl-C is no failure."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Run until a signal ends it."""
        watch = asyncio.create_task(self._hub.watch())
        try:
            await super().serve(sockets)
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End sessions, then connections."""
        await self._hub.close()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End on a signal; uvicorn's own way raises it again afterwards."""
        self.force_exit = self.should_exit
        self.should_exit = True


class _Request(H11Protocol):
    """Uvicorn's HTTP, but who connects and asks for nothing does not keep a socket for ever.

    Uvicorn counts its connections against `limit_concurrency` before a token was seen.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, and not for long."""
        super().connection_made(transport)
        self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def _give_up(self) -> None:
        asked = cast(object, self.cycle) is not None  # uvicorn types it as if it always were
        if not asked and self in self.connections:  # which a WebSocket leaves
            self.transport.abort()


class _Connection(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, with two changes."""

    def send_receive_event_to_app(self) -> None:
        """Take a message; uvicorn would stop reading after each one, for two system calls."""
        paused, self.read_paused = self.read_paused, True
        super().send_receive_event_to_app()
        self.read_paused = paused
        if not paused and self.queue.qsize() >= READ_AHEAD:
            self.read_paused = True
            self.transport.pause_reading()

    async def run_asgi(self) -> None:
        """Talk; a client that never reads its last bytes does not keep a socket for ever."""
        await super().run_asgi()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)
