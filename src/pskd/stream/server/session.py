"""A session: a recogniser for one client, and what keeps it from holding up the rest.

Everything happens in one event loop. A push costs tens of microseconds and a window a fraction of
a millisecond (results/serve-load.md), less than handing them to a thread and back; and a session
lets the others have their turn after `TURN_SECONDS` of work and every `PIECE` of samples.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Iterable
from dataclasses import asdict

from starlette.websockets import WebSocket, WebSocketDisconnect

from pskd.errors import UsageError
from pskd.stream.intake import MAX_GAP_SECONDS
from pskd.stream.recognizer import Prediction, Recognizer
from pskd.stream.runtime import Student
from pskd.stream.server.limits import (
    ERRORS_IN_A_ROW,
    HELLO_SECONDS,
    MESSAGE_COST,
    TURN_SECONDS,
    Bucket,
    Limits,
)
from pskd.stream.server.metrics import Metrics
from pskd.stream.server.outbox import Outbox
from pskd.stream.server.pieces import pieces
from pskd.stream.wire import VERSION, Finish, Hello, Samples, WireError, decode, prediction_json

GOING_AWAY, POLICY, TRY_AGAIN_LATER = 1001, 1008, 1013
"""Codes of RFC 6455, section 7.4, that a connection is closed with."""


class Session:
    """One client: what it sends is read by one task, what it is told is sent by another.

    Args:
        student: That recognises.
        limits: Of the client.
        metrics: Where everything is counted.
        socket: An accepted WebSocket.
    """

    def __init__(
        self, student: Student, limits: Limits, metrics: Metrics, socket: WebSocket
    ) -> None:
        self.outbox = Outbox(socket, metrics)
        self._student, self._limits, self._metrics = student, limits, metrics
        self._socket = socket
        self._now = asyncio.get_running_loop().time
        self._began = self._heard = self._now()
        self._bucket = Bucket(limits.samples_per_second, self._began)
        self._recognizer: Recognizer | None = None
        self._rate: float | None = None
        self._newest = math.nan
        self._noticed = self._late = self._errors = 0

    async def run(self) -> None:
        """Go on until the client is gone or the session was closed."""
        tasks = [asyncio.create_task(work) for work in (self._read(), self.outbox.run())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        expected = (asyncio.CancelledError, TimeoutError, WebSocketDisconnect)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, expected):
                raise result

    def check(self) -> None:
        """End the session where the client is silent."""
        now, idle = self._now(), self._limits.idle_seconds
        if self._recognizer is None and now - self._began > HELLO_SECONDS:
            self.end("hello", f"no hello came for {HELLO_SECONDS:g} s")
        elif now - self._heard > idle:
            self.end("idle", f"nothing came for {idle:g} s")

    def end(self, code: str, what: str) -> None:
        """Tell the client why, and close."""
        if self.outbox.closing is not None:
            return
        self._metrics.errors.labels(code).inc()
        self.outbox.put({"type": "error", "code": code, "message": f"{what}.", "fatal": True})
        self.outbox.close(TRY_AGAIN_LATER if code == "full" else POLICY)

    def finish(self) -> None:
        """Give what is left of the recording."""
        if self._recognizer is None or self.outbox.closing is not None:
            return
        self._give(self._recognizer, self._recognizer.finish(), self._now())
        self.outbox.make_room()  # so that what `done` pushes out is counted in it
        counts = asdict(self._recognizer.counts) | {"dropped": self.outbox.dropped}
        self.outbox.put({"type": "done", "counts": counts})

    async def _read(self) -> None:
        worked = 0.0
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if self.outbox.closing is not None:
                continue
            self._heard = self._now()
            self._metrics.messages.inc()
            text = message.get("text")
            try:
                await self._take(decode(message["bytes"] if text is None else text))
                self._errors = 0
            except WireError as error:
                self._refuse(error)
                if self._rate and self._recognizer:  # no time tells that its samples are missing
                    self._give(self._recognizer, self._recognizer.interrupt(), self._heard)
            worked += self._now() - self._heard
            if worked > TURN_SECONDS:  # `receive` gives a message that is there without a pause
                await asyncio.sleep(0)
                worked = 0.0

    def _refuse(self, error: WireError) -> None:
        self._metrics.errors.labels(error.code).inc()
        self.outbox.put({"type": "error", "code": error.code, "message": str(error)})
        # Late samples are no misuse: a run of them tells that a clock was set back.
        self._errors += error.code != "backward"
        if self._errors >= ERRORS_IN_A_ROW:
            self.end("errors", f"{self._errors} messages in a row could not be used")

    async def _take(self, message: Samples | Hello | Finish) -> None:
        if isinstance(message, Hello):
            self._greet(message)
        elif self._recognizer is None:
            raise WireError("hello", "the first message is no hello", remedy="Send the unit first")
        elif isinstance(message, Finish):
            self.finish()
        else:
            await self._recognise(self._recognizer, message)

    def _greet(self, hello: Hello) -> None:
        if self._recognizer is not None:
            raise WireError("hello", "a second hello", remedy="Open another connection")
        config, settings = self._student.config, self._student.settings
        try:
            self._recognizer = Recognizer(
                self._student.runner, config, settings, unit=hello.unit, rate=hello.rate
            )
        except UsageError as error:
            raise WireError("rate", error.what, remedy=error.remedy) from error
        self._rate = hello.rate
        self.outbox.put(
            {
                "type": "ready",
                "version": VERSION,
                "session": secrets.token_hex(4),
                "classes": config.classes,
                "rate": config.rate,
                "window_seconds": config.window_seconds,
                "hop_seconds": self._recognizer.hop_seconds,
                "settings": settings.model_dump(mode="json"),
            }
        )

    async def _recognise(self, recognizer: Recognizer, samples: Samples) -> None:
        received, (acceleration, times) = self._heard, samples
        if (times is None) != (self._rate is not None):
            raise WireError(
                "times",
                "samples have no time" if times is None else "samples have times and a rate",
                remedy="Give a rate in the hello, or times with the samples",
            )
        if not self._bucket.take(self._cost(samples), received):
            raise WireError(
                "too_fast",
                f"more than {self._limits.samples_per_second:g} samples a second came",
                remedy="Send more slowly, or more samples in a message",
            )
        if times is not None:
            self._newest = float(times[-1])
        self._metrics.samples.inc(len(acceleration))
        for number, piece in enumerate(
            pieces(samples, self._student.config.window_seconds, self._rate)
        ):
            if number:
                await asyncio.sleep(0)
            self._give(recognizer, recognizer.push(*piece), received)
        late, self._late = recognizer.counts.late - self._late, recognizer.counts.late
        if late:
            raise WireError("backward", f"{late} samples were left out: later ones came before")

    def _cost(self, samples: Samples) -> float:
        """How many samples a message counts for: see `Limits`."""
        count, times = len(samples.acceleration), samples.times
        if times is None:
            assert self._rate
            seconds = count / self._rate
        else:
            first, newest = float(times[0]), float(times[-1])
            before = first if math.isnan(self._newest) else self._newest
            # A longer step is a gap, and nothing is made of that. Times may begin anew.
            seconds = min(max(newest - before, newest - first), count * MAX_GAP_SECONDS)
        return max(MESSAGE_COST, count, seconds * self._student.config.rate)

    def _give(
        self, recognizer: Recognizer, predictions: Iterable[Prediction], received: float
    ) -> None:
        """Send predictions, and what there is to notice."""
        for prediction in predictions:
            self._metrics.predictions.inc()
            self.outbox.put(prediction_json(prediction), received)
        for notice in recognizer.notices[self._noticed :]:
            self._noticed += 1
            self.outbox.put({"type": "notice", "message": notice})
