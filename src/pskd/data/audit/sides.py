"""What the sides of a split have in common, by what is known of the recordings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from pskd.data.audit.findings import SIDES, WORDS, Finding, finding
from pskd.data.protocols import Split
from pskd.data.store import RecordingInfo

Infos = Sequence[RecordingInfo]

# What a protocol keeps apart besides the people: nothing of it may be on the test side and another.
_APART = {"cross_session": "session", "cross_scene": "scene", "cross_view": "view"}


def shared_recordings(infos: Infos, split: Split) -> Iterator[Finding]:
    """Tell which recordings are on two sides themselves."""
    for first, second in SIDES:
        both = sorted(set(split.sides[first]) & set(split.sides[second]))
        if both:
            sentence = (
                f"{{n}} recordings are {WORDS[first]} and {WORDS[second]} recordings at once."
            )
            yield finding("leak", "recording", sentence, infos, [(i,) for i in both])


def shared_fields(infos: Infos, split: Split) -> Iterator[Finding]:
    """Tell which subjects, sessions, scenes and views are on two sides."""
    for name in ("subject", "session", "scene", "view"):
        there = {s: {getattr(infos[i], name) for i in on} - {""} for s, on in split.sides.items()}
        known = set().union(*there.values())
        if name != "subject" and len(known) < 2:
            continue
        held = split.subject_independent if name == "subject" else _APART.get(split.name) == name
        for first, second in SIDES:
            both = there[first] & there[second]
            if not both:
                continue
            # A protocol that keeps sessions apart makes its validation side of other people.
            broken = held and (name == "subject" or second == "test")
            named = _few(sorted(both, key=lambda value: (len(value), value)))
            promise = "though the protocol forbids it" if broken else "as the protocol has it"
            yield Finding(
                "leak" if broken else "fact",
                name,
                f"{len(both)} of {len(known)} {name}s are on the {WORDS[first]} side and on the "
                f"{WORDS[second]} side ({named}), {promise}.",
                figures={f"{name}s": len(both)},
            )


def shared_takes(infos: Infos, split: Split) -> Iterator[Finding]:
    """Tell what was cut from one continuous recording and is on two sides."""
    for first, second in SIDES:
        ours, theirs = (_by_take(infos, split.sides[side]) for side in (first, second))
        overlapping: list[tuple[int, ...]] = []
        apart: list[tuple[int, ...]] = []
        for take in sorted(ours.keys() & theirs.keys()):
            pairs = _overlaps(infos, ours[take], theirs[take])
            overlapping += pairs
            alone = set(theirs[take]) - {j for _, j in pairs}
            apart += [(ours[take][0], j) for j in sorted(alone)]
        if overlapping:
            declared = (
                "as the protocol declares: whoever sees the accelerometer is tested on signals it "
                "was trained on"
            )
            yield finding(
                "fact" if split.shares_takes else "leak",
                "overlap",
                f"{{n}} {WORDS[second]} recordings overlap in time with {WORDS[first]} recordings "
                f"of the same take{', ' + declared if split.shares_takes else ''}.",
                infos,
                overlapping,
            )
        if apart:
            yield finding(
                "fact" if split.shares_takes else "warning",
                "take",
                f"{{n}} {WORDS[second]} recordings were cut from takes that {WORDS[first]} "
                "recordings were cut from, too, at other moments: neighbours in time look alike.",
                infos,
                apart,
            )


def balance(infos: Infos, split: Split, classes: Sequence[str]) -> Iterator[Finding]:
    """Tell how many recordings each class has on each side."""
    anywhere = {info.label for info in infos}
    nowhere = [name for label, name in enumerate(classes) if label not in anywhere]
    if nowhere:
        yield Finding(
            "fact",
            "classes",
            f"{len(nowhere)} of {len(classes)} classes have no recording at all: {_few(nowhere)}.",
            figures={"classes": len(nowhere)},
        )
    for side, indices in split.sides.items():
        if not indices:
            continue
        count = Counter(infos[i].label for i in indices)
        missing = [classes[label] for label in sorted(anywhere - count.keys())]
        if missing:
            tested = side == "test"
            yield Finding(
                "fact" if tested else "warning",
                "classes",
                f"The {WORDS[side]} side has no recording of {len(missing)} of {len(anywhere)} "
                f"classes: {_few(missing)}."
                + (" Macro-F1 depends on how they are counted." if tested else ""),
                figures={"classes": len(missing)},
            )
        most, least = max(count.values()), min(count.values())
        each = least if least == most else f"{least} to {most}"
        yield Finding(
            "fact",
            "balance",
            f"The {WORDS[side]} side has {len(indices)} recordings, {each} a class.",
            figures={"largest/smallest": most / least}
            | {classes[k]: n for k, n in sorted(count.items())},
        )
    unused = sorted(set(range(len(infos))).difference(*split.sides.values()))
    if unused:
        sentence = "{n} recordings are on no side."
        yield finding("fact", "unused", sentence, infos, [(i,) for i in unused])


def _by_take(infos: Infos, indices: Sequence[int]) -> dict[str, list[int]]:
    """Indices of the recordings of each take, in order of time."""
    takes = defaultdict(list)
    for i in sorted(indices, key=lambda i: infos[i].start):
        if infos[i].take:
            takes[infos[i].take].append(i)
    return takes


def _overlaps(infos: Infos, ours: list[int], theirs: list[int]) -> list[tuple[int, ...]]:
    """For each of theirs that overlaps with any of ours, one that it overlaps with."""
    starts = np.array([infos[i].start for i in ours])
    ends = starts + [infos[i].seconds for i in ours]
    latest = np.maximum.accumulate(ends)
    pairs: list[tuple[int, ...]] = []
    for j in theirs:
        slack = 0.5 / infos[j].rate  # windows that only touch share no sample
        before = int(np.searchsorted(starts, infos[j].start + infos[j].seconds - slack))
        if before and latest[before - 1] > infos[j].start + slack:
            pairs.append((ours[int(ends[:before].argmax())], j))
    return pairs


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
