"""Copies: whole signals, stretches of samples, and near-duplicates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from pskd.data.audit.candidates import Candidates
from pskd.data.audit.findings import SIDES, WORDS, Finding, finding
from pskd.data.audit.near import near_duplicates
from pskd.data.audit.shared_samples import Fingerprints
from pskd.data.audit.signals import Signals
from pskd.data.protocols import Split
from pskd.data.store import RecordingInfo

Infos = Sequence[RecordingInfo]

LEAK, WARNING = 0.03, 0.05
"""Discrepancy of near-duplicates below which they are a leak, and a warning (docs/audit.md)."""


def exact_copies(infos: Infos, split: Split, signals: Signals) -> Iterator[Finding]:
    """Tell which whole signals are there twice, on one side or on two."""
    yield from _within(infos, split, signals.digests)
    yield from _across(infos, split, signals.digests, "copy", "accelerometer signals")
    yield from _across(infos, split, signals.skeletons, "skeleton", "skeletons")


def partial_copies(infos: Infos, split: Split, signals: Signals) -> Iterator[Finding]:
    """Tell what is on two sides in part, or in another guise.

    What is an exact copy, or of one take by its own account, is told elsewhere.
    """
    fingerprints, candidates = Fingerprints(signals), Candidates(signals)
    for first, second in SIDES:
        ours = np.array([i for i in split.sides[first] if signals.digests[i]], np.int64)
        copied = {signals.digests[i] for i in ours} | {b""}
        theirs = np.array(
            [j for j in split.sides[second] if signals.digests[j] not in copied], np.int64
        )
        if not len(ours) or not len(theirs):
            continue
        stretches = [
            s for s in fingerprints.between(ours, theirs) if not _one_take(infos, s.first, s.second)
        ]
        if stretches:
            longest = max(s.samples / infos[s.second].rate for s in stretches)
            yield finding(
                "leak",
                "samples",
                f"{{n}} {WORDS[second]} recordings have samples in common with {WORDS[first]} "
                f"recordings, bit for bit, up to {longest:.1f} s in a row: windows of one "
                "recording, or crops of it.",
                infos,
                [(s.first, s.second) for s in stretches],
                longest_s=longest,
            )
        theirs = np.setdiff1d(theirs, [s.second for s in stretches])
        matches = [
            m
            for m in near_duplicates(signals, candidates, ours, theirs)
            if not _one_take(infos, m.first, m.second)
        ]
        certain = [m for m in matches if m.discrepancy < LEAK]
        likely = [m for m in matches if LEAK <= m.discrepancy < WARNING]
        if certain:
            yield finding(
                "leak",
                "near_duplicate",
                f"{{n}} {WORDS[second]} recordings are {WORDS[first]} recordings in another guise: "
                f"brought into register they differ by less than {LEAK:.0%} of the details "
                "of the movement, besides white noise.",
                infos,
                [(m.first, m.second) for m in certain],
                closest=certain[0].discrepancy,
            )
        if likely:
            yield finding(
                "warning",
                "near_duplicate",
                f"{{n}} {WORDS[second]} recordings may be {WORDS[first]} recordings in another "
                f"guise: brought into register they differ by {LEAK:.0%} to {WARNING:.0%} of the "
                "details of the movement, besides white noise. Look at them.",
                infos,
                [(m.first, m.second) for m in likely],
                closest=likely[0].discrepancy,
            )


def _within(infos: Infos, split: Split, digests: list[bytes]) -> Iterator[Finding]:
    for side, indices in split.sides.items():
        groups = [
            tuple(group)
            for group in _groups(digests, indices).values()
            if not all(_one_take(infos, group[0], i) for i in group[1:])
        ]
        labels = [{infos[i].label for i in group} for group in groups]
        alike = [group for group, names in zip(groups, labels, strict=True) if len(names) == 1]
        torn = [group for group, names in zip(groups, labels, strict=True) if len(names) > 1]
        if alike:
            yield finding(
                "warning",
                "copy",
                f"{{n}} accelerometer signals are there more than once on the {WORDS[side]} side, "
                "each time with the same label.",
                infos,
                alike,
            )
        if torn:
            yield finding(
                "warning",
                "contradiction",
                f"{{n}} accelerometer signals are there more than once on the {WORDS[side]} side, "
                "with labels that contradict each other: some of them must be wrong.",
                infos,
                torn,
            )


def _across(
    infos: Infos, split: Split, digests: list[bytes], kind: str, what: str
) -> Iterator[Finding]:
    for first, second in SIDES:
        ours = _groups(digests, split.sides[first])
        declared: list[tuple[int, int]] = []
        leaked: list[tuple[int, int]] = []
        for j in split.sides[second]:
            twins = ours.get(digests[j], [])
            strange = [i for i in twins if not (split.shares_takes and _one_take(infos, i, j))]
            if strange:
                leaked.append((strange[0], j))
            elif twins:
                declared.append((twins[0], j))
        if leaked:
            differ = sum(infos[i].label != infos[j].label for i, j in leaked)
            yield finding(
                "leak",
                kind,
                f"The {what} of {{n}} {WORDS[second]} recordings are exact copies of those of "
                f"{WORDS[first]} recordings"
                + (f", {differ} of them under another label." if differ else "."),
                infos,
                leaked,
                other_label=differ,
            )
        if declared:
            yield finding(
                "fact",
                kind,
                f"The {what} of {{n}} {WORDS[second]} recordings are those of {WORDS[first]} "
                "recordings of the same take, which the protocol declares.",
                infos,
                declared,
            )


def _groups(digests: list[bytes], indices: Iterable[int]) -> dict[bytes, list[int]]:
    """Indices by digest, those without one left out."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for i in indices:
        if digests[i]:
            groups[digests[i]].append(i)
    return groups


def _one_take(infos: Infos, i: int, j: int) -> bool:
    return infos[i].take == infos[j].take != ""
