"""What an audit says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pskd.data.store import RecordingInfo

Level = Literal["leak", "warning", "fact"]
_SHOWN = 10

SIDES = (("train", "validation"), ("train", "test"), ("validation", "test"))
"""The pairs of sides between which something can leak."""
WORDS = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        level: A `leak` makes figures of the test side worthless, a `warning` may, a `fact` is
            good to know.
        kind: Which check found it, one word.
        sentence: What was found, for people.
        count: How many recordings, or pairs of recordings, it is about; 0 where it is about all.
        recordings: Names of the first few, or of the first few pairs.
        indices: Their indices in the store.
        figures: The numbers behind it, by name.
    """

    level: Level
    kind: str
    sentence: str
    count: int = 0
    recordings: tuple[tuple[str, ...], ...] = ()
    indices: tuple[tuple[int, ...], ...] = ()
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Audit:
    """All that was found, in the order of the checks.

    Attributes:
        dataset: Name of the dataset.
        protocol: Name of the protocol.
        note: What the split is, in words.
        recordings: How many recordings each side has.
        findings: What was found.
    """

    dataset: str
    protocol: str
    note: str
    recordings: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """What must stop a training."""
        return tuple(f for f in self.findings if f.level == "leak")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What somebody should look at."""
        return tuple(f for f in self.findings if f.level == "warning")


def finding(
    level: Level,
    kind: str,
    sentence: str,
    infos: Sequence[RecordingInfo],
    groups: Iterable[tuple[int, ...]],
    **figures: float,
) -> Finding:
    """Make a finding about some recordings or pairs; `{n}` in the sentence is their number."""
    every = list(groups)
    shown = tuple(every[:_SHOWN])
    return Finding(
        level,
        kind,
        sentence.format(n=len(every)),
        len(every),
        tuple(tuple(infos[i].id for i in group) for group in shown),
        shown,
        figures,
    )
