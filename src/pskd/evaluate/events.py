"""How well events in a stream were recognised: intervals in, numbers out.

Truth and reports are intervals of one stream, in seconds. What none of them covers is idle.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OVERLAPS = (0.1, 0.25, 0.5)
"""Intersections over union at which F1 is given (Lea et al., CVPR 2017)."""

HOUR = 3600.0


class Interval(NamedTuple):
    """An action that somebody did, from `start` to `stop`."""

    start: float
    stop: float
    label: str


class Report(NamedTuple):
    """An action that was recognised from `start` to `stop`, and said to be there at `time`."""

    start: float
    stop: float
    label: str
    time: float


Spans = Sequence[Interval | Report]


@dataclass(frozen=True)
class EventFigures:
    """Counts over one stream or several; they add up.

    Attributes:
        true: Actions done.
        reported: Actions reported.
        matched: Actions found: one report each, of the same label, that overlaps it.
        repeats: Other reports that overlap an action of their label: another has found it
            (fragmentation: Ward, Lukowicz, Gellersen, ACM TIST 2011).
        substitutions: Of those that overlap none, reports that lie over actions for more than half
            of their extent.
        insertions: All others: what was reported while next to nothing was done.
        matched_at: Matches where intersection over union is at least each of `OVERLAPS`.
        delays: Of every action found, s from its start to the report; negative where a report came
            before it.
        seconds: Duration of the streams.
        idle_seconds: Part of it in which nothing was done.
    """

    true: int = 0
    reported: int = 0
    matched: int = 0
    insertions: int = 0
    substitutions: int = 0
    repeats: int = 0
    matched_at: tuple[int, ...] = (0,) * len(OVERLAPS)
    delays: tuple[float, ...] = ()
    seconds: float = 0.0
    idle_seconds: float = 0.0

    def __add__(self, other: EventFigures) -> EventFigures:
        mine, theirs = vars(self), vars(other)
        matched_at = tuple(a + b for a, b in zip(self.matched_at, other.matched_at, strict=True))
        added = {name: mine[name] + theirs[name] for name in mine if name != "matched_at"}
        return EventFigures(**added, matched_at=matched_at)

    @property
    def missed(self) -> int:
        """Actions done that no report found."""
        return self.true - self.matched

    @property
    def precision(self) -> float:
        """Share of the reports that found an action; 0 where there is none."""
        return self.matched / self.reported if self.reported else 0.0

    @property
    def recall(self) -> float:
        """Share of the actions that were found; 0 where there is none."""
        return self.matched / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall of events."""
        return _f1(self.matched, self.true, self.reported)

    @property
    def f1_at(self) -> tuple[float, ...]:
        """F1 of events at each of `OVERLAPS`."""
        return tuple(_f1(matched, self.true, self.reported) for matched in self.matched_at)

    @property
    def false_alarms(self) -> int:
        """Reports of what was not done: insertions and substitutions. Repeats are apart."""
        return self.insertions + self.substitutions

    def an_hour(self, count: int) -> float:
        """A count for an hour of stream."""
        return HOUR * count / self.seconds if self.seconds else 0.0

    @property
    def idle_share(self) -> float:
        """Share of the time in which nothing was done."""
        return self.idle_seconds / self.seconds if self.seconds else 0.0

    @property
    def median_delay(self) -> float | None:
        """Half of the actions found were reported sooner, s."""
        return statistics.median(self.delays) if self.delays else None

    @property
    def late_delay(self) -> float | None:
        """Nine of ten actions found were reported sooner, s."""
        return float(np.percentile(self.delays, 90)) if self.delays else None


def event_figures(
    truth: Sequence[Interval], reports: Sequence[Report], seconds: float
) -> EventFigures:
    """Count what was found, missed and made up in a stream of so many seconds.

    A report finds an action of its label that it overlaps; each is used once, and as many are
    paired as can be, as in sed_eval's event based figures (Mesaros et al., Applied Sciences 2016),
    but by any overlap in place of a collar about the onset: windows of seconds know no onset.
    """
    pairs = match(truth, reports)
    found = {report for _, report in pairs}
    kinds = Counter(
        _kind(report, truth) for index, report in enumerate(reports) if index not in found
    )
    return EventFigures(
        true=len(truth),
        reported=len(reports),
        matched=len(pairs),
        insertions=kinds["insertion"],
        substitutions=kinds["substitution"],
        repeats=kinds["repeat"],
        matched_at=tuple(len(match(truth, reports, least)) for least in OVERLAPS),
        delays=tuple(reports[r].time - truth[t].start for t, r in pairs),
        seconds=seconds,
        idle_seconds=seconds - covered(truth),
    )


def class_figures(
    truth: Sequence[Interval], reports: Sequence[Report], classes: Iterable[str]
) -> dict[str, EventFigures]:
    """The figures of each class alone: what was done, reported and matched, and no times."""
    return {
        name: event_figures(
            [span for span in truth if span.label == name],
            [span for span in reports if span.label == name],
            0.0,
        )
        for name in classes
    }


def match(
    truth: Sequence[Interval], reports: Sequence[Report], least: float = 0.0
) -> list[tuple[int, int]]:
    """Pair actions and reports of one label one to one, as many as can be.

    Both run along in time. Of two that may be paired, the one that ends first has no partner later
    on, so that nothing is lost by pairing them at once.

    Args:
        truth: Actions; those of one label do not overlap.
        reports: Reports; those of one label do not overlap.
        least: Intersection over union that a pair must have; 0: any overlap.

    Returns:
        Indices of the pairs, in the order of the actions.
    """
    pairs = []
    for label in {span.label for span in truth}:
        done, said = _last_first(truth, label), _last_first(reports, label)
        while done and said:
            a, b = truth[done[-1]], reports[said[-1]]
            both = _overlap(a, b)
            if both > 0 and both >= least * (a.stop - a.start + b.stop - b.start - both):
                pairs.append((done.pop(), said.pop()))
            else:
                (done if a.stop <= b.stop else said).pop()
    return sorted(pairs)


def confusion_seconds(
    truth: Sequence[Interval],
    reports: Sequence[Report],
    span: tuple[float, float],
    classes: Sequence[str],
) -> NDArray[np.float64]:
    """Time [K + 1, K + 1] of each class (rows) that was recognised as each (columns), s.

    The last of both is idle. It is exact: no frames are counted.

    Args:
        truth: Actions, of which no two overlap.
        reports: Reports, of which no two overlap.
        span: Where the stream begins and ends, s.
        classes: Names, in the order of the matrix.
    """
    spans: list[Interval | Report] = [*truth, *reports]
    edges = {edge for each in spans for edge in (each.start, each.stop)}
    at = np.array(sorted({*span, *(edge for edge in edges if span[0] < edge < span[1])}))
    middle = (at[:-1] + at[1:]) / 2
    matrix = np.zeros((len(classes) + 1,) * 2)
    rows, columns = (_labels_at(spans, middle, classes) for spans in (truth, reports))
    np.add.at(matrix, (rows, columns), np.diff(at))
    return matrix


def segment_iou(confusion: NDArray[np.float64], *, idle: bool) -> float:
    """Mean over the classes that were done of the time both said over the time either said.

    That is the Jaccard index of the time. With `idle`, idle time counts as one class more.
    """
    both = confusion.diagonal()
    either = confusion.sum(0) + confusion.sum(1) - both
    done = confusion.sum(1) > 0
    done[-1] &= idle
    return float((both[done] / either[done]).mean()) if done.any() else 0.0


def covered(truth: Sequence[Interval]) -> float:
    """Time in which something was done, s; no two intervals overlap."""
    return sum(span.stop - span.start for span in truth)


def _kind(report: Report, truth: Sequence[Interval]) -> str:
    over = [(span.label, both) for span in truth if (both := _overlap(span, report)) > 0]
    if any(label == report.label for label, _ in over):
        return "repeat"
    done = sum(both for _, both in over)
    return "substitution" if done > (report.stop - report.start) / 2 else "insertion"


def _overlap(a: Interval | Report, b: Interval | Report) -> float:
    return min(a.stop, b.stop) - max(a.start, b.start)


def _last_first(spans: Spans, label: str) -> list[int]:
    chosen = [(span.start, index) for index, span in enumerate(spans) if span.label == label]
    return [index for _, index in sorted(chosen, reverse=True)]


def _labels_at(
    spans: Spans, times: NDArray[np.float64], classes: Sequence[str]
) -> NDArray[np.int64]:
    labels = np.full(len(times), len(classes))
    for span in spans:
        labels[(span.start <= times) & (times < span.stop)] = classes.index(span.label)
    return labels


def _f1(matched: int, true: int, reported: int) -> float:
    return 2 * matched / (true + reported) if true + reported else 0.0
