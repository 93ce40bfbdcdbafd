"""What one server, and one client of it, may take."""

from __future__ import annotations

from dataclasses import dataclass

from pskd.stream.wire import MAX_BYTES

LARGEST_MESSAGE = 2 * MAX_BYTES
"""Up to here a message is answered with an error; a larger one ends the connection unread."""

READ_AHEAD = 4
"""Messages that are read before their turn; then the network holds the client back."""

ANSWERS_WAITING = 256
"""For a client that reads slowly: minutes of predictions. The oldest make room."""

ERRORS_IN_A_ROW = 20
"""Then a client is told goodbye: it does not get better."""

REQUEST_SECONDS = 10.0
"""From the connection to the end of a request's headers."""

HELLO_SECONDS = 10.0
"""From the connection to the hello."""

SEND_SECONDS = 10.0
"""That a message may wait for a client that reads nothing; then it counts as dead."""

PING_SECONDS = 20.0
"""Between pings, and until their answer: a client whose network has gone says nothing."""

BURST_SECONDS = 2.0
"""Of samples at the greatest rate that may come at once: what a stalled network held back."""

MESSAGE_COST = 10.0
"""A message is as much work as so many samples, however few are in it."""

PREDICTING = 1
"""Requests to recognise a recording at once; the others wait for their turn."""

PIECE = 128
"""Samples that are recognised in one go; then it is the others' turn."""

TURN_SECONDS = 0.002
"""Work on small messages of one client, one after the other; then it is the others' turn."""


@dataclass(frozen=True)
class Limits:
    """Limits that a user may want to change.

    Attributes:
        sessions: At the same time.
        samples_per_second: Of a session; see `MESSAGE_COST`. As they come or at the student's
            rate, whichever are more: a slow stream is work too once it is resampled.
        idle_seconds: Without a message, after which a session ends.
    """

    sessions: int = 500
    samples_per_second: float = 10_000.0
    idle_seconds: float = 60.0


class Bucket:
    """A token bucket: `rate` a second, of which `BURST_SECONDS` may come at once."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate, self._size = rate, rate * BURST_SECONDS
        self._left, self._at = self._size, now

    def take(self, amount: float, now: float) -> bool:
        """Take an amount out, or nothing where it is not there."""
        self._left = min(self._size, self._left + (now - self._at) * self._rate)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True
