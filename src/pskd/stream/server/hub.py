"""All sessions of a server."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.websockets import WebSocket

from pskd.stream.runtime import Student
from pskd.stream.server.limits import Limits
from pskd.stream.server.metrics import Metrics
from pskd.stream.server.session import GOING_AWAY, Session

GOODBYE_SECONDS = 2.0
"""That clients have, when the server ends, to take what is left."""


class Hub:
    """The student, and the clients that it works for.

    Args:
        student: That recognises.
        limits: Of sessions and clients.
        metrics: Where everything is counted.
    """

    def __init__(self, student: Student, limits: Limits, metrics: Metrics) -> None:
        self.student, self.limits, self.metrics = student, limits, metrics
        self.sessions: set[Session] = set()

    async def serve(self, socket: WebSocket) -> None:
        """Talk to a client until it or the server has had enough."""
        await socket.accept()
        session = Session(self.student, self.limits, self.metrics, socket)
        if len(self.sessions) >= self.limits.sessions:
            session.end("full", f"{len(self.sessions)} sessions are open, no more are taken")
            await session.run()
            return
        self.sessions.add(session)
        self.metrics.sessions.inc()
        try:
            await session.run()
        finally:
            self.sessions.discard(session)
            self.metrics.sessions.dec()

    async def watch(self) -> None:
        """End silent sessions: one look at all of them is cheaper than a timer for each message."""
        while True:
            await asyncio.sleep(min(1.0, self.limits.idle_seconds / 2))
            for session in list(self.sessions):
                session.check()

    async def close(self) -> None:
        """Give every client what is left and say goodbye; those who do not listen are left."""
        for session in list(self.sessions):
            session.finish()
            session.outbox.close(GOING_AWAY)
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                while self.sessions:
                    await asyncio.sleep(0.01)
