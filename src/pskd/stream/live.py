"""A source, recognised as it comes and kept where asked for; what shows it is elsewhere."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields

import numpy as np

from pskd.errors import DataError, PskdError, UsageError
from pskd.stream.recognizer import UNITS, Counts, Prediction, Recognizer
from pskd.stream.record import Recorder
from pskd.stream.runtime import Student
from pskd.stream.sources import Event, Notice, Source
from pskd.stream.wire import Hello, Samples

TIMELINE, NORMS, LATENCIES, CHUNKS = 100, 2000, 10_000, 100
"""What is remembered of the past: actions, samples, windows and messages."""


class Session:
    """Recognises what a source gives, until it ends or is stopped.

    Args:
        student: What recognises.
        source: What gives samples.
        recorder: What keeps them.

    Attributes:
        actions: How often each action was recognised.
        timeline: The windows that the last actions were reported with.
        latest: The last prediction.
        norms: Norms of the last samples, g.
        latencies: Seconds from the coming of the sample that completed a window to its prediction,
            of the last windows.
        heard: When samples last came, by `time.monotonic()`; None before.
    """

    def __init__(self, student: Student, source: Source, recorder: Recorder | None = None) -> None:
        self.student, self.source, self.recorder = student, source, recorder
        self.actions: Counter[str] = Counter()
        self.timeline: deque[Prediction] = deque(maxlen=TIMELINE)
        self.latest: Prediction | None = None
        self.norms: deque[float] = deque(maxlen=NORMS)
        self.latencies: deque[float] = deque(maxlen=LATENCIES)
        self.heard: float | None = None
        self._chunks: deque[tuple[float, int]] = deque(maxlen=CHUNKS)
        self._hello: Hello | None = None
        self._recognizer: Recognizer | None = None
        self._before = Counts()
        self._told: set[str] = set()
        self._waiting = self._stopped = False

    @property
    def counts(self) -> Counts:
        """What came so far."""
        parts = [self._before, *([self._recognizer.counts] if self._recognizer else [])]
        return Counts(*(sum(getattr(p, field.name) for p in parts) for field in fields(Counts)))

    @property
    def rate(self) -> float | None:
        """Samples a second of the stream's own time, lately."""
        chunks = list(self._chunks)
        if self._hello and self._hello.rate and not chunks:
            return self._hello.rate
        if len(chunks) < 2 or chunks[-1][0] <= chunks[0][0]:
            return None
        return sum(count for _, count in chunks[1:]) / (chunks[-1][0] - chunks[0][0])

    def run(self) -> Iterator[Prediction | Notice]:
        """Give predictions and notices as they come.

        Raises:
            PskdError: The source or the recorder has failed, or the stream cannot be used; what was
                recognised until then was given, and `finish` gives the rest.
        """
        with closing(self.source.events()) as events:
            while not self._stopped:
                try:
                    self._waiting = True
                    event = next(events, None)
                    self._waiting = False
                except KeyboardInterrupt:
                    return
                if event is None:
                    return
                yield from self._take(event)

    def stop(self) -> None:
        """End `run` between two messages; to be called by a signal handler of its thread."""
        self._stopped = True
        if self._waiting:
            self._waiting = False
            raise KeyboardInterrupt

    def finish(self) -> Iterator[Prediction | Notice]:
        """Give what is left of the stream.

        Raises:
            PskdError: Nothing was recognised in all of a stream that has ended; or the recorder has
                failed.
        """
        yield from self._end_part()
        counts = self.counts
        if not self._stopped and not counts.windows:
            raise DataError(
                "the stream ended before a window was full"
                if counts.samples
                else "no samples came",
                where=self.source.title,
                remedy=f"The student needs {self.student.config.window_seconds:.3g} s of samples "
                "without a gap",
            )

    def _take(self, event: Event) -> Iterator[Prediction | Notice]:
        message = event.message
        if isinstance(message, Notice):
            if message.lost and self._hello and self._hello.rate:
                yield from self._end_part(missing=True)
            if message.text:
                yield message
        elif isinstance(message, Samples):
            yield from self._recognise(message, event.at)
        elif message != self._hello:
            yield from self._end_part()
            if isinstance(message, Hello):
                self._hello = message

    def _recognise(self, samples: Samples, at: float) -> Iterator[Prediction | Notice]:
        try:
            recognizer = self._recognizer = self._recognizer or self._begin(samples)
            predictions = recognizer.push(samples.acceleration, samples.times)
        except UsageError as error:
            if self.heard is None:
                raise
            # Only this one is wrong: the stream lives.
            yield from self._take(Event(at, self.source.refused(error)))
            return
        self.latencies.extend([time.monotonic() - at] * len(predictions))
        self._remember(samples)
        yield from self._give(predictions, samples)

    def _begin(self, samples: Samples) -> Recognizer:
        hello, where = self._hello, self.source.title
        if hello is None:
            raise UsageError(
                "samples came, and their unit was not said",
                where=where,
                remedy="Say it with --unit, or in a hello that comes first",
            )
        if samples.times is None and hello.rate is None:
            raise UsageError(
                "samples have no times, and no rate was said",
                where=where,
                remedy="Say it with --rate, or in a hello that comes first",
            )
        rate = hello.rate if samples.times is None else None
        self._chunks.clear()
        if self.recorder:
            self.recorder.begin(hello.unit, rate)
        student = self.student
        return Recognizer(
            student.runner, student.config, student.settings, unit=hello.unit, rate=rate
        )

    def _end_part(self, missing: bool = False) -> Iterator[Prediction | Notice]:
        if self._recognizer:
            end = self._recognizer.interrupt if missing else self._recognizer.finish
            predictions = end()
            yield from self._give(predictions, None)
            self._before, self._recognizer = self.counts, None

    def _give(
        self, predictions: list[Prediction], samples: Samples | None
    ) -> Iterator[Prediction | Notice]:
        """Keep and give predictions: a recorder that fails comes after what was recognised."""
        failed: PskdError | None = None
        if recorder := self.recorder:
            try:
                if samples:
                    recorder.keep(samples)
                recorder.keep_actions(predictions)
            except PskdError as error:
                self.recorder, failed = None, error
        for notice in self._recognizer.notices if self._recognizer else ():
            if notice not in self._told:
                self._told.add(notice)
                yield Notice(notice)
        for prediction in predictions:
            self.latest = prediction
            if prediction.action is not None:
                self.actions[prediction.action] += 1
                self.timeline.append(prediction)
            yield prediction
        if failed:
            raise failed

    def _remember(self, samples: Samples) -> None:
        assert self._hello
        self.heard = time.monotonic()
        norms = np.linalg.norm(samples.acceleration, axis=1) / UNITS[self._hello.unit]
        self.norms.extend(norms.tolist())
        if samples.times is not None:
            if self._chunks and samples.times[-1] < self._chunks[-1][0]:
                self._chunks.clear()
            self._chunks.append((float(samples.times[-1]), len(samples.times)))
