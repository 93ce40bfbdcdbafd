"""What waits to be sent to one client, never more than so much of it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

from starlette.websockets import WebSocket

from pskd.stream.server.limits import ANSWERS_WAITING, SEND_SECONDS
from pskd.stream.server.metrics import Metrics


class Outbox:
    """Answers in the order in which they were made; the oldest make room where too many wait.

    Args:
        socket: An accepted WebSocket.
        metrics: Where latency and what is dropped are counted.
    """

    def __init__(self, socket: WebSocket, metrics: Metrics) -> None:
        self.dropped = 0
        self.closing: int | None = None
        """Code that the connection is closed with once all is sent."""
        self._socket, self._metrics = socket, metrics
        self._now = asyncio.get_running_loop().time
        self._waiting: deque[tuple[str, float | None]] = deque()
        self._untold = 0
        self._more = asyncio.Event()

    def put(self, answer: dict[str, Any], received: float | None = None) -> None:
        """Send an answer when its turn comes.

        Args:
            answer: To be sent as JSON.
            received: When the sample came that completed the window of a prediction.
        """
        self.make_room()
        self._waiting.append((json.dumps(answer), received))
        self._more.set()

    def make_room(self) -> None:
        """Drop the oldest answer where no other could wait."""
        if len(self._waiting) >= ANSWERS_WAITING:
            self._waiting.popleft()
            self.dropped += 1
            self._untold += 1
            self._metrics.dropped.inc()

    def close(self, code: int) -> None:
        """Close the connection once all is sent that waits."""
        if self.closing is None:
            self.closing = code
        self._more.set()

    async def run(self) -> None:
        """Send until the connection is closed.

        Raises:
            TimeoutError: The client read nothing for `SEND_SECONDS`.
            WebSocketDisconnect: It is gone.
        """
        while self.closing is None or self._waiting:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                text, received = self._waiting.popleft()
                if self._untold:
                    untold, self._untold = self._untold, 0
                    what = f"{untold} answers were dropped here: they were read too slowly."
                    await self._send(json.dumps({"type": "notice", "message": what}))
                await self._send(text)
                if received is not None:
                    self._metrics.latency.observe(self._now() - received)
        async with asyncio.timeout(SEND_SECONDS):
            await self._socket.close(self.closing)

    async def _send(self, text: str) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self._socket.send_text(text)
