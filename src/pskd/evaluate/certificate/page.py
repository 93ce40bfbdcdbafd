"""The page of a certificate: one HTML file made of certificate.json alone."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from pskd.evaluate.certificate.facts import (
    Certificate,
    Disagreement,
    TargetFacts,
    load_certificate,
)
from pskd.evaluate.certificate.figures import colour, heat, size_and_time, used_colours
from pskd.evaluate.certificate.words import (
    DASH,
    FLOOR,
    STATUS,
    drop,
    headline,
    memory,
    ratio,
    size,
    small,
    time,
    verdict,
    why,
)
from pskd.evaluate.markup import Markup, element, join, page, table
from pskd.evaluate.sections import figure, join_words, key, lead, scroll, section, swatch, tile
from pskd.evaluate.words import count, percent
from pskd.files import write_atomic

SHOWN = 12
"""Windows that exports disagree on; more are folded in."""


def write_certificate_page(source: Path, out: Path) -> Path:
    """Write the page of a certificate. The same certificate gives the same bytes.

    Args:
        source: certificate.json.
        out: The page.

    Returns:
        Where the page is.

    Raises:
        CheckpointError: The certificate is missing, torn or of a newer version.
        PskdError: The page cannot be written.
    """
    certificate = load_certificate(source)
    text = page(f"Certificate: {headline(certificate)}", _body(certificate))
    write_atomic(
        out, text.encode(), remedy="Free some space or choose another place for the certificate"
    )
    return out


def _body(c: Certificate) -> Markup:
    timed = {name: facts for name, facts in c.targets.items() if facts.latency}
    return join(
        [
            _header(c),
            _tiles(c),
            section(
                "exports", "The exports", _how_to_read(c), *_busy(c), _targets(c), _complaints(c)
            ),
            _picture(c, timed) if len(timed) > 1 else Markup(),
            section("windows", "Window by window", *_windows(c)) if c.exports else Markup(),
            section("classes", "Where they name another class", *_disagreements(c)),
            section("limits", "Limits and waivers", *_limits(c)),
            section("machine", "How it was measured", *_machine(c)),
            _footer(),
        ]
    )


def _header(c: Certificate) -> Markup:
    s, d = c.student, c.data
    about = [
        f"{s.model}, {count(s.parameters)} parameters, {len(s.classes)} classes",
        f"{d.dataset}, {d.protocol}",
        f"{d.test:,} test windows",
        c.date,
    ]
    return element(
        "header",
        element("p", "PSKD parity certificate", class_="eyebrow"),
        element("h1", headline(c)),
        element("p", join_words(about), class_="about"),
        element("p", verdict(c), class_="verdict"),
    )


def _tiles(c: Certificate) -> Markup:
    passed = {n: f for n, f in c.exports.items() if f.status == "passed" and f.latency}
    if not passed:
        return Markup()
    smallest = min(passed, key=lambda name: passed[name].bytes)
    times = {name: f.latency.p50_us for name, f in passed.items() if f.latency}
    fastest = min(times, key=times.__getitem__)
    slowest = max((f.latency.p99_us, name) for name, f in passed.items() if f.latency)
    tiles = [
        tile("Smallest", size(passed[smallest].bytes), "KB", smallest, "first"),
        tile("Fastest", time(times[fastest]), "µs", f"{fastest}, median of a call"),
        tile("Slowest", time(slowest[0]), "µs", f"{slowest[1]}, 99 of 100 calls are faster"),
    ]
    return element("div", *tiles, class_="tiles")


def _how_to_read(c: Certificate) -> Markup:
    return lead(
        "The student was trained in PyTorch; an export is the same student as a file for another "
        f"program. Both answered the same {len(c.golden)} golden windows and all {c.data.test:,} "
        "windows of people whom the student was tested on. Difference: the largest of any score "
        "(logit), at accelerations that a watch can measure. int8 rounds, and cannot follow "
        "accelerations beyond those that it was calibrated with: there it differs most. Same "
        "class: share of the test windows. Size: of the files; of C compiled, code "
        "and constants. Time: one window, one thread, warm, called from Python. "
        "Memory: the peak of one more copy in a process that runs one; the first takes more, for "
        f"what its runtime sets up. Below {FLOOR >> 10} KB a peak is not told from memory that was "
        "freed before and is used again."
    )


def _busy(c: Certificate) -> list[Markup]:
    words = (
        "The machine was busy with other work: times are longer than they need be, and those of "
        "the slowest calls say little."
    )
    return [lead(element("b", words))] if c.machine.busy else []


def _targets(c: Certificate) -> Markup:
    head = (
        "Export", "", "Difference", "On test side", "Same class %", "Accuracy %", "Points",
        "Size KB", "Median µs", "99 % below µs", "Times PyTorch's", "Memory KB", "First KB",
    )  # fmt: skip
    reference = c.targets["torch"].latency if "torch" in c.targets else None
    rows = []
    for name, f in c.targets.items():
        p, t = f.parity, f.latency
        rows.append(
            (
                _whole(swatch(colour(name, f)), name),
                "reference" if name == "torch" and f.status == "passed" else _status(f),
                small(p.difference) if p else DASH,
                small(p.test_difference) if p else DASH,
                percent(p.agreement) if p else DASH,
                percent(p.accuracy) if p else DASH,
                drop(p) if p else DASH,
                size(f.bytes),
                time(t.p50_us) if t else DASH,
                time(t.p99_us) if t else DASH,
                ratio(t, reference) if t else DASH,
                memory(f.memory.export) if f.memory else DASH,
                memory(f.memory.first) if f.memory else DASH,
            )
        )
    return scroll(table(head, rows, class_="study"))


def _whole(*words: str) -> Markup:
    """A name that is not broken where the page is narrow."""
    return element("span", *words, style="white-space:nowrap")


def _status(f: TargetFacts) -> Markup:
    kinds = {"passed": "badge good", "failed": "badge bad", "accepted": "badge bad"}
    return element("span", STATUS[f.status], class_=kinds.get(f.status))


def _complaints(c: Certificate) -> Markup:
    rows = [(_whole(name), reason) for name, f in c.targets.items() for reason in why(f)]
    if not rows:
        return Markup()
    return scroll(
        table(("Export", "What is wrong, or could not be measured"), rows, class_="missing")
    )


def _picture(c: Certificate, timed: dict[str, TargetFacts]) -> Markup:
    picture = figure(size_and_time(timed), "Median time of a call against size in KB, logarithmic")
    return section(
        "cost",
        "Size and time",
        lead("Below and to the left is better. The time is of this machine: a watch is slower."),
        key(used_colours(timed)),
        scroll(element("div", picture, class_="cost")),
    )


def _windows(c: Certificate) -> list[Markup]:
    cases = [w for w in c.golden if not w.recorded]
    recorded = [w for w in c.golden if w.recorded]
    beyond = ", ".join(w.name for w in cases if not w.measurable)
    words = (
        "Largest difference of a score from PyTorch's: 2e-6 is 2 millionths. Darker is larger. Red "
        f"breaks the limit of {small(c.limits.difference)}; int8, which rounds, has none here. "
    )
    if beyond:
        words += (
            f"No watch measures more than {c.limits.measurable:g} g: for {beyond} the limit is "
            f"{small(c.limits.relative)} of the largest score, since scores of hundreds have no "
            "more digits than that."
        )
    fold = element(
        "details", element("summary", f"{len(recorded)} recorded windows"), heat(c, recorded)
    )
    return [lead(words), heat(c, cases), fold if recorded else Markup()]


def _disagreements(c: Certificate) -> list[Markup]:
    found: dict[str, list[tuple[str, Disagreement]]] = defaultdict(list)
    for name, facts in c.exports.items():
        for d in facts.parity.disagreements if facts.parity else ():
            found[d.window].append((name, d))
    if not found:
        return [lead("Nowhere: every export names the same class as PyTorch in every window.")]
    rows = []
    order = sorted(found.items(), key=lambda item: -max(d.margin for _, d in item[1]))
    for window, said in order:
        others = ", ".join(f"{name}: {_class(c, d.export)}" for name, d in said)
        margin = max(d.margin for _, d in said)
        rows.append((window, _class(c, said[0][1].torch), others, f"{margin:.2g}"))
    head = ("Window", "PyTorch", "Exports", "Margin")
    parts = [
        lead(
            f"{len(rows)} window{'s' * (len(rows) != 1)}. Margin: by how much PyTorch's score of "
            "its class is above that of the class that the export names; the smaller, the less it "
            "matters."
        ),
        scroll(table(head, rows[:SHOWN])),
    ]
    if len(rows) > SHOWN:
        rest = scroll(table(head, rows[SHOWN:]))
        parts.append(element("details", element("summary", f"{len(rows) - SHOWN} more"), rest))
    return parts


def _class(c: Certificate, index: int) -> str:
    return c.student.classes[index] if index < len(c.student.classes) else f"class {index}"


def _limits(c: Certificate) -> list[Markup]:
    s = c.limits
    rows = [
        ("Difference of a score, float32", small(s.difference), f"up to {s.measurable:g} g"),
        ("The same, of the largest score", small(s.relative), f"above {s.measurable:g} g"),
        ("Loss of accuracy", f"{percent(s.drop)} points", "all exports, on the whole test side"),
        ("Share with another class", f"{percent(1 - s.agreement)} %", "all exports, on the same"),
        ("Sum of probabilities from 1", small(s.sum_error), "all exports"),
        ("Probability from the scores' softmax", small(s.softmax_error), "float32"),
    ]
    waived = c.of("accepted")
    words = (
        f"Somebody asked to keep {', '.join(waived)} although a limit is broken."
        if waived
        else "No limit was waived."
    )
    return [lead(words), scroll(table(("Limit", "At most", "For"), rows, class_="missing"))]


def _machine(c: Certificate) -> list[Markup]:
    m, d, s = c.machine, c.data, c.student
    load = "unknown" if m.load is None else f"{m.load:.2f} running processes in the minute before"
    calls = max((f.latency.calls for f in c.targets.values() if f.latency), default=0)
    rows = [
        ("Machine", f"{m.cpu}, {m.cores} cores, {m.platform}"),
        ("Load", load),
        (
            "Calls",
            f"{calls:,} of each export, in turns, after a warm-up, in processes of their own",
        ),
        ("Student", f"{s.model}, weights {s.sha256}"),
        ("Window", f"{s.samples} samples over {s.window_seconds:g} s, worn at {s.placement}"),
        ("Tested on", f"{d.dataset}, {d.protocol}: {d.note}"),
        ("Calibrated on", f"{d.calibration} windows of the training side, for int8"),
        *((f"Version of {name}", number) for name, number in c.versions.items()),
    ]
    files = [
        (name, path, digest) for name, f in c.targets.items() for path, digest in f.sha256.items()
    ]
    sums = scroll(table(("Export", "File", "sha256"), files, class_="missing"))
    return [
        scroll(table(("What", "Which"), rows, class_="missing")),
        element("details", element("summary", "Checksums of the files"), sums),
    ]


def _footer() -> Markup:
    rows = [
        (
            "Means",
            "That the files compute what the student computes. Not that the student is right.",
        ),
        ("Source", "Made by pskd certify from certificate.json and nothing else."),
    ]
    pairs = (join([element("dt", name), element("dd", text)]) for name, text in rows)
    return element("footer", element("dl", *pairs))
