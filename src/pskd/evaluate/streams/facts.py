"""What was measured on long recordings: the JSON of `pskd stream-eval`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pskd import __version__
from pskd.evaluate.events import OVERLAPS, EventFigures

FORMAT = 1


class Facts(BaseModel):
    """Plain values that know no other keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EventFacts(Facts):
    """What was found, missed and made up; see `pskd.evaluate.events.EventFigures`.

    Attributes:
        f1_at: F1 by intersection over union, as text.
        delays: Seconds from the start of each action found to its report.
    """

    true: int
    reported: int
    matched: int
    missed: int
    insertions: int
    substitutions: int
    repeats: int
    precision: float
    recall: float
    f1: float
    f1_at: dict[str, float]
    median_delay: float | None
    late_delay: float | None
    insertions_an_hour: float
    substitutions_an_hour: float
    repeats_an_hour: float
    false_alarms_an_hour: float
    seconds: float
    idle_share: float
    delays: list[float] = []


class SpanFacts(Facts):
    """An action that was done, or was reported at `time`; whether the two were paired."""

    start: float
    stop: float
    label: str
    paired: bool
    time: float | None = None


class StreamFacts(Facts):
    """One long recording: what was done in it, and what was reported."""

    name: str
    start: float
    figures: EventFacts
    truth: list[SpanFacts]
    reports: list[SpanFacts]
    notices: list[str]


class PointFacts(Facts):
    """What comes of another threshold of rejection."""

    threshold: float
    figures: EventFacts


class ClassFacts(Facts):
    """Events of one class."""

    true: int
    reported: int
    matched: int
    f1: float


class TraceFacts(Facts):
    """The norm of the acceleration over a part of the first recording, g."""

    start: float
    step: float
    norm: list[float]


class StreamEvaluation(Facts):
    """All that was measured on long recordings.

    Attributes:
        format: Version of the file.
        pskd_version: That wrote it.
        date: When.
        run: Name of the run's folder.
        student: Its configuration.
        settings: How windows became decisions.
        source: Where the recordings are from, in a sentence.
        seed: Of recordings that were made up of short ones.
        total: Of all recordings as of one.
        segment_iou: Mean over the classes that were done of the Jaccard index of the time.
        segment_iou_idle: The same with idle time as one class more.
        score: What the thresholds of `curve` are of.
        curve: All other settings the same.
        classes: Of those that were done or reported.
        streams: Recording by recording.
        trace: To draw beside the first.
    """

    format: Literal[1] = 1
    pskd_version: str = __version__
    date: str
    run: str
    student: dict[str, Any]
    settings: dict[str, Any]
    source: str
    seed: int | None
    total: EventFacts
    segment_iou: float
    segment_iou_idle: float
    score: str
    curve: list[PointFacts]
    classes: dict[str, ClassFacts]
    streams: list[StreamFacts]
    trace: TraceFacts


def event_facts(figures: EventFigures, *, delays: bool = False) -> EventFacts:
    """Plain values of figures, with every delay where asked for."""
    hour = figures.an_hour
    f = figures
    return EventFacts(
        true=f.true,
        reported=f.reported,
        matched=f.matched,
        missed=f.missed,
        insertions=f.insertions,
        substitutions=f.substitutions,
        repeats=f.repeats,
        precision=f.precision,
        recall=f.recall,
        f1=f.f1,
        f1_at={f"{least:g}": score for least, score in zip(OVERLAPS, f.f1_at, strict=True)},
        median_delay=f.median_delay,
        late_delay=f.late_delay,
        insertions_an_hour=hour(f.insertions),
        substitutions_an_hour=hour(f.substitutions),
        repeats_an_hour=hour(f.repeats),
        false_alarms_an_hour=hour(f.false_alarms),
        seconds=f.seconds,
        idle_share=f.idle_share,
        delays=[round(delay, 3) for delay in f.delays] if delays else [],
    )
