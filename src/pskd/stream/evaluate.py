"""A student on long recordings: what it reports, beside what was done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pskd.edge.settings import StreamSettings
from pskd.edge.targets import Answer, Runner
from pskd.errors import DataError, UsageError
from pskd.evaluate.events import (
    EventFigures,
    Report,
    class_figures,
    confusion_seconds,
    event_figures,
    match,
    segment_iou,
)
from pskd.evaluate.streams.facts import (
    ClassFacts,
    PointFacts,
    SpanFacts,
    StreamEvaluation,
    StreamFacts,
    TraceFacts,
    event_facts,
)
from pskd.models.student_config import StudentConfig
from pskd.stream.labelled import LongRecording
from pskd.stream.recognizer import Prediction, Recognizer
from pskd.stream.runtime import Student

POINTS = 25
"""Thresholds of a trade-off."""
LOWEST = -1e30
"""A threshold below every score."""
TRACE_SECONDS, TRACE_RATE = 90.0, 20.0
"""Of the picture of a recording, and the samples a second that it shows."""


@dataclass(frozen=True)
class Recognised:
    """A long recording as a recognizer took it.

    Attributes:
        recording: With what was done.
        predictions: Of every window.
        reports: What was reported, with its extent in time.
        notices: What the user should know of the recording.
    """

    recording: LongRecording
    predictions: list[Prediction]
    reports: list[Report]
    notices: list[str]

    @property
    def figures(self) -> EventFigures:
        """What was found, missed and made up."""
        return event_figures(self.recording.truth, self.reports, self.recording.seconds)


class Threshold(NamedTuple):
    """What comes of a rejection threshold."""

    threshold: float
    figures: EventFigures


def remember(runner: Runner) -> Runner:
    """A student that answers a window that it has seen before without computing it again."""
    answers: dict[bytes, Answer] = {}

    def run(window: NDArray[np.float32]) -> Answer:
        key = window.tobytes()
        if key not in answers:
            answers[key] = runner(window)
        return answers[key]

    return run


def recognise(
    runner: Runner,
    config: StudentConfig,
    settings: StreamSettings,
    recordings: Iterable[LongRecording],
) -> list[Recognised]:
    """Push long recordings through a recognizer.

    Raises:
        DataError: One is too short for a window.
        UsageError: The settings do not fit the student.
    """
    done = []
    for recording in recordings:
        recognizer = Recognizer(runner, config, settings)
        predictions = recognizer.push(recording.acceleration, recording.times)
        predictions += recognizer.finish()
        if not predictions:
            raise DataError(
                f"lasts {recording.seconds:.2f} s, and has no window of "
                f"{config.window_seconds:g} s without a gap",
                where=recording.name,
                remedy="Give a longer recording",
            )
        reports = reports_of(predictions, recognizer.hop_seconds)
        done.append(Recognised(recording, predictions, reports, recognizer.notices))
    return done


def reports_of(predictions: Sequence[Prediction], hop: float) -> list[Report]:
    """Reported actions with their extent: each window speaks for the hop about its centre.

    An action lasts for as long as windows name it without a break, whichever of them it is
    reported with; its time is the end of that one, when a user is told.
    """
    reports: list[Report] = []
    named, begun, last_s, reported = "", 0.0, -np.inf, False
    for p in predictions:
        centre = (p.start_s + p.end_s) / 2
        if p.class_name != named or p.end_s - last_s > 1.5 * hop:
            named, begun, reported = p.class_name, centre - hop / 2, False
        if p.action:
            reports.append(Report(begun, centre + hop / 2, p.action, p.end_s))
            reported = True
        elif reported:
            reports[-1] = reports[-1]._replace(stop=centre + hop / 2)
        last_s = p.end_s
    return reports


def pooled(recognised: Iterable[Recognised]) -> EventFigures:
    """Figures of several recordings as of one."""
    return sum((one.figures for one in recognised), EventFigures())


def confusion(recognised: Iterable[Recognised], classes: Sequence[str]) -> NDArray[np.float64]:
    """Time of each class that was recognised as each, the last idle, [K + 1, K + 1], s."""
    parts = [
        confusion_seconds(one.recording.truth, one.reports, one.recording.span, classes)
        for one in recognised
    ]
    total: NDArray[np.float64] = np.sum(parts, axis=0)
    return total


def trade_off(
    runner: Runner,
    config: StudentConfig,
    settings: StreamSettings,
    recordings: Sequence[LongRecording],
) -> list[Threshold]:
    """Figures at thresholds from none to one that rejects nearly all, other settings the same.

    The score is that of the settings, or the largest probability where they reject nothing.
    """
    kind = "probability" if settings.rejection == "none" else settings.rejection
    base = settings.model_copy(update={"rejection": kind, "threshold": LOWEST})
    windows = (p for one in recognise(runner, config, base, recordings) for p in one.predictions)
    scores = [p.score for p in windows]
    thresholds = np.quantile(scores, np.linspace(0, 1, POINTS, endpoint=False))
    return [
        Threshold(
            threshold,
            pooled(
                recognise(
                    runner, config, base.model_copy(update={"threshold": threshold}), recordings
                )
            ),
        )
        for threshold in thresholds.tolist()
    ]


def evaluate(
    student: Student,
    recordings: Sequence[LongRecording],
    *,
    run: str,
    source: str,
    seed: int | None = None,
) -> StreamEvaluation:
    """Measure all that there is to say of a student on long recordings.

    Args:
        student: The student, with its settings.
        recordings: At least one.
        run: Name of the run.
        source: Where the recordings are from, in a sentence.
        seed: Of recordings that were made.

    Raises:
        DataError: A recording is too short for a window.
        UsageError: Something is done in one that the student does not know.
    """
    config, settings = student.config, student.settings
    done_in = {span.label for one in recordings for span in one.truth}
    if unknown := sorted(done_in - {*config.classes}):
        raise UsageError(
            f"the student does not know {', '.join(unknown)}, which are done in the recordings",
            where=run,
            remedy="Take recordings of its classes, or a student that was trained on these",
        )
    runner = remember(student.runner)
    done = recognise(runner, config, settings, recordings)
    times = confusion(done, config.classes)
    per_class: dict[str, EventFigures] = dict.fromkeys(config.classes, EventFigures())
    for one in done:
        for name, found in class_figures(one.recording.truth, one.reports, per_class).items():
            per_class[name] += found
    return StreamEvaluation(
        date=datetime.now(UTC).date().isoformat(),
        run=run,
        student=config.model_dump(),
        settings=settings.model_dump(),
        source=source,
        seed=seed,
        total=event_facts(pooled(done), delays=True),
        segment_iou=segment_iou(times, idle=False),
        segment_iou_idle=segment_iou(times, idle=True),
        score="probability" if settings.rejection == "none" else settings.rejection,
        curve=[
            PointFacts(threshold=point.threshold, figures=event_facts(point.figures))
            for point in trade_off(runner, config, settings, recordings)
        ],
        classes={
            name: ClassFacts(true=f.true, reported=f.reported, matched=f.matched, f1=f.f1)
            for name, f in per_class.items()
            if f.true or f.reported
        },
        streams=[_stream_facts(one) for one in done],
        trace=_trace(recordings[0]),
    )


def _stream_facts(one: Recognised) -> StreamFacts:
    truth = one.recording.truth
    pairs = match(truth, one.reports)
    found, right = ({pair[side] for pair in pairs} for side in (0, 1))
    return StreamFacts(
        name=one.recording.name,
        start=one.recording.span[0],
        figures=event_facts(one.figures),
        truth=[SpanFacts(**span._asdict(), paired=i in found) for i, span in enumerate(truth)],
        reports=[
            SpanFacts(**span._asdict(), paired=i in right) for i, span in enumerate(one.reports)
        ],
        notices=one.notices,
    )


def _trace(recording: LongRecording) -> TraceFacts:
    start, stop = recording.span
    at = np.arange(start, min(stop, start + TRACE_SECONDS), 1 / TRACE_RATE)
    norm = np.interp(at, recording.times, np.linalg.norm(recording.acceleration, axis=1))
    return TraceFacts(start=start, step=1 / TRACE_RATE, norm=np.round(norm, 3).tolist())
