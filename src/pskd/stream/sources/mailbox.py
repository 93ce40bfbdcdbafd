"""A bounded queue from the thread of a connection to the one that recognises."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from pskd.errors import PskdError
from pskd.stream.sources.base import Event, Message, Notice, event
from pskd.stream.wire import Samples

_LOST = Notice("", lost=True)
CAPACITY = 256
"""Messages that may wait: ten seconds and more of a watch that sends 25 a second."""


class Mailbox:
    """Messages in the order they came; when it is full, the oldest samples make room.

    Args:
        capacity: Messages that may wait.

    Attributes:
        dropped: Samples that made room.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._waiting: deque[Event] = deque()
        self._changed = threading.Condition()
        self._error: PskdError | None = None
        self.dropped = 0

    def put(self, message: Message | None) -> None:
        """Add a message; None is none."""
        if message is None:
            return
        with self._changed:
            if len(self._waiting) >= self._capacity:
                self._make_room()
            self._waiting.append(event(message))
            self._changed.notify()

    def fail(self, error: PskdError) -> None:
        """Let the reader end with an error, after what came before it."""
        with self._changed:
            self._error = error
            self._changed.notify()

    def events(self) -> Iterator[Event]:
        """Give what comes, for ever; raises what `fail` was given."""
        while True:
            with self._changed:
                while not self._waiting:
                    if self._error:
                        raise self._error
                    self._changed.wait(1.0)  # Windows hears no Ctrl-C in a wait without an end
                first = self._waiting.popleft()
            yield first

    def _make_room(self) -> None:
        """Drop the oldest samples: a hello or a notice among them is worth more."""
        for index, (_, message) in enumerate(self._waiting):
            if isinstance(message, Samples):
                self.dropped += len(message.acceleration)
                self._waiting[index] = event(_LOST)
                if index and self._waiting[index - 1].message == _LOST:
                    del self._waiting[index]
                return
        self._waiting.popleft()
