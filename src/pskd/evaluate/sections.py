"""Parts of the page that one run and several runs share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pskd.evaluate.compare import Comparison, Group, StageResult
from pskd.evaluate.markup import Markup, element, join, table
from pskd.evaluate.run_files import ProtocolFacts
from pskd.evaluate.statistics import wilson_interval
from pskd.evaluate.words import (
    NOT_INDEPENDENT,
    ROLES,
    SCORES,
    clips,
    count,
    duration,
    percent,
    scores_in_order,
    signed,
    spread_words,
)

TEACHER_COLOURS = 5


def colours(group: Group) -> dict[str, str]:
    """The colour of each stage, the same all over the page."""
    earlier = [s.name for s in group.stages if s.facts.role not in ("student", "alone")]
    named = {name: f"t{k % TEACHER_COLOURS}" for k, name in enumerate(earlier)}
    return {s.name: named.get(s.name, s.facts.role) for s in group.stages}


def section(anchor: str, heading: str, *children: str) -> Markup:
    """A part of the page under its heading."""
    return element("section", element("h2", heading), *children, id=anchor)


def lead(*words: str) -> Markup:
    """The paragraph that says how to read what follows."""
    return element("p", *words, class_="lead")


def scroll(*children: str) -> Markup:
    """What may be wider than a phone."""
    return element("div", *children, class_="scroll", tabindex=0)


def figure(picture: str, caption: str) -> Markup:
    """A picture and what it is of."""
    return element("figure", element("figcaption", caption), picture)


def key(entries: Iterable[tuple[str, str]]) -> Markup:
    """What the colours mean, as (name, colour)."""
    items = (element("li", swatch(colour), name) for name, colour in entries)
    return element("ul", *items, class_="key")


def swatch(colour: str) -> Markup:
    """A spot of a colour."""
    return element("i", class_=f"swatch c-{colour}")


def tile(name: str, value: str, unit: str, note: str, kind: str = "") -> Markup:
    """One of the large figures at the top."""
    return element(
        "div",
        element("p", name, class_="name"),
        element("p", value, element("small", unit), class_="value"),
        element("p", note, class_="note"),
        class_=f"tile {kind}".strip(),
    )


def headline(comparison: Comparison, name: str, seeds: str) -> Markup:
    """What was run, on what, and whether the people tested were strangers to it."""
    facts = comparison.protocol
    sides = ", ".join(f"{n:,} {side}" for side, n in facts.sides.items() if n)
    about = [comparison.dataset.title, facts.name, f"{sides} clips", seeds]
    return element(
        "header",
        element("p", "PSKD run report", class_="eyebrow"),
        element("h1", name),
        element("p", join_words(about), badge(facts), class_="about"),
        element("p", facts.note, class_="note") if facts.note else Markup(),
    )


def join_words(words: Sequence[str]) -> Markup:
    """Words with a raised dot between them."""
    spans = [element("span", word) for word in words if word]
    return join(spans)


def badge(facts: ProtocolFacts) -> Markup:
    """A loud mark where train and test share people, a quiet one where they do not."""
    if facts.subject_independent:
        return element("b", "subject-independent", class_="badge good")
    return element("b", NOT_INDEPENDENT, class_="badge bad")


def results(group: Group) -> Markup:
    """The table of all stages."""
    paint = colours(group)
    scores = scores_in_order(group.runs[0].summary.dataset)
    names = (f"{SCORES[name]} %" for name in scores)
    head = ("Stage", *names, "Learns from", "Inputs", "Parameters", "MACs", "Training time")
    rows = [
        (
            join(
                [swatch(paint[s.name]), _stack(s.name, f"{ROLES[s.facts.role]}, {s.facts.model}")]
            ),
            *(_score(s, name, first=name == scores[0]) for name in scores),
            ", ".join(s.facts.teachers) or "labels only",
            " + ".join(s.facts.inputs),
            f"{s.facts.parameters:,}",
            count(s.facts.macs),
            duration(s.seconds.mean),
        )
        for s in group.stages
    ]
    return scroll(table(head, rows, class_="results"))


def _score(stage: StageResult, name: str, first: bool) -> Markup | str:
    score = getattr(stage, name)
    if name == "accuracy" and score.sd is None:
        low, high = wilson_interval(score.mean, stage.facts.test.n)
        return _stack(percent(score.mean), f"{percent(low)} to {percent(high)}")
    return element("b", spread_words(score)) if first else spread_words(score)


def _stack(words: str, note: str) -> Markup:
    return element("span", element("b", words), element("small", note), class_="stack")


def subjects(group: Group) -> Markup:
    """A card of bars for each test subject."""
    paint = colours(group)
    order = {"student": 0, "alone": 1, "start": 2, "teacher": 3}
    stages = sorted(group.stages, key=lambda stage: order[stage.facts.role])
    cards = []
    for subject in group.student.per_subject:
        bars = []
        for stage in stages:
            share = stage.per_subject.get(subject)
            if share is not None:
                weight = "thin" if stage.facts.role == "teacher" else "thick"
                bars.append(_bar(stage.name, share, f"{weight} c-{paint[stage.name]}"))
        gain = Markup()
        if group.alone and subject in group.alone.per_subject:
            difference = group.student.per_subject[subject] - group.alone.per_subject[subject]
            gain = element("small", f"{signed(difference)} points")
        cards.append(
            element(
                "article",
                element("h3", f"Subject {subject}", gain),
                element("dl", *bars, class_="bars"),
            )
        )
    return element("div", *cards, class_="grid wide")


def _bar(name: str, share: float, class_: str) -> Markup:
    return element(
        "div",
        element("dt", name),
        element("dd", element("i", style=f"width:{100 * share:.1f}%"), class_="track"),
        element("dd", percent(share)),
        class_=class_,
    )


def class_gains(group: Group) -> Markup:
    """F1 of every class, and what the teachers changed, most gained first."""
    student, alone = group.student, group.alone
    if alone is None:
        best = sorted(student.per_class.items(), key=lambda pair: -pair[1])
        return scroll(table(("Class", "F1 %"), [(c, percent(f)) for c, f in best]))
    gains = {c: f - alone.per_class.get(c, 0.0) for c, f in student.per_class.items()}
    most = max([abs(g) for g in gains.values()] + [0.01])
    rows = [
        (
            c,
            percent(alone.per_class.get(c, 0.0)),
            percent(student.per_class[c]),
            element("i", class_="up" if g > 0 else "down", style=f"--v:{abs(g) / most:.3f}"),
            signed(g),
        )
        for c, g in sorted(gains.items(), key=lambda pair: -pair[1])
    ]
    head = ("Class", f"{alone.name} F1 %", f"{student.name} F1 %", "", "Gain")
    return scroll(table(head, rows, class_="gains"))


def set_aside(comparison: Comparison) -> Markup:
    """Recordings that the reader left out, by name."""
    out = comparison.dataset.set_aside
    used = f"{comparison.dataset.recordings:,} recordings were used"
    if not out:
        return lead(f"{used}; none was set aside.")
    listing = table(("Recording", "Reason"), [(left.id, left.reason) for left in out])
    words = f"{used}; {len(out):,} {'was' if len(out) == 1 else 'were'} set aside:"
    if len(out) <= 8:
        return join([lead(words), scroll(listing)])
    return join([lead(words), element("details", element("summary", "Show them"), scroll(listing))])


def audit(comparison: Comparison) -> Markup:
    """What the audit said of the data before the training, warnings first."""
    found = sorted(comparison.runs[0].summary.audit, key=lambda f: f.level == "fact")
    if not found:
        return Markup()
    warnings = sum(f.level != "fact" for f in found)
    words = f"Audit before the training: no leak, {warnings} warning{'s' * (warnings != 1)}."
    listing = table(("Kind", "Level", "Finding"), [(f.kind, f.level, f.sentence) for f in found])
    return join([lead(words), element("details", element("summary", "Show it"), scroll(listing))])


def fold(name: str, text: str) -> Markup:
    """A file, folded in."""
    return element("details", element("summary", name), element("pre", text, tabindex=0))


def footer(comparison: Comparison) -> Markup:
    """Where the data come from, and how the figures were made."""
    facts = comparison.dataset
    n = comparison.groups[0].student.facts.test.n
    rows = [
        ("Data", f"{facts.title}. {facts.citation}".strip()),
        ("Licence", facts.licence),
        (
            "Accuracy",
            f"Share of {clips(n)} that are right, after the last epoch. Intervals in the table of "
            "a single run are Wilson's 95 % intervals, as if the clips were independent; clips of "
            "one person are not, so the truth is wider.",
        ),
        (
            "Macro-F1",
            "Mean of the F1 of the classes that occur among the test labels or the predictions.",
        ),
        ("Source", "Made by pskd report from the files of the run folder and nothing else."),
    ]
    pairs = (join([element("dt", name), element("dd", text)]) for name, text in rows if text)
    return element("footer", element("dl", *pairs))
