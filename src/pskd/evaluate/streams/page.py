"""The page of `pskd stream-eval`: one HTML file made of its JSON alone."""

from __future__ import annotations

from pathlib import Path

from pskd.evaluate.markup import Markup, element, join, page, table
from pskd.evaluate.sections import figure, join_words, key, lead, scroll, section, tile
from pskd.evaluate.streams import figures
from pskd.evaluate.streams.facts import EventFacts, PointFacts, StreamEvaluation
from pskd.evaluate.words import duration, percent
from pskd.files import write_atomic

DASH = "\N{EN DASH}"


def write_stream_page(e: StreamEvaluation, out: Path) -> Path:
    """Write the page of an evaluation; the same evaluation gives the same bytes.

    Raises:
        PskdError: The page cannot be written.
    """
    text = page(f"On a stream: {e.run}", _body(e))
    write_atomic(out, text.encode(), remedy="Free some space or choose another place for the page")
    return out


def _body(e: StreamEvaluation) -> Markup:
    return join(
        [
            _header(e),
            _tiles(e.total),
            section(
                "timeline",
                f"The first minutes of {e.streams[0].name}",
                lead(
                    "Above, the norm of the acceleration. A block is an action: done, and reported "
                    "below it. The stroke is when the user was told; a report counts if it names "
                    "the action that it overlaps. ",
                ),
                key([("found", "student"), ("missed, or a false alarm", "down")]),
                scroll(element("div", *figures.timeline(e), class_="cost", style="padding:1rem")),
            ),
            section(
                "time",
                "When a user is told, and how often in vain",
                lead(
                    "Left: how long after an action began it was reported. Right: what other "
                    f"thresholds of rejection by {e.score} would give, all else as it is; the "
                    "large dot is the setting in use."
                ),
                _beside(e),
            ),
            section("recordings", "Recording by recording", _how_to_read(), _recordings(e)),
            section("classes", "Class by class", *_classes(e)),
            section("settings", "How it was done", _settings(e), *_notices(e)),
            _footer(),
        ]
    )


def _header(e: StreamEvaluation) -> Markup:
    about = [
        f"{e.total.true:,} actions in {duration(e.total.seconds)}",
        f"{percent(e.total.idle_share)} % of the time idle",
        str(e.student["dataset"]),
        str(e.student["protocol"]),
        e.date,
    ]
    return element(
        "header",
        element("p", "PSKD on a stream", class_="eyebrow"),
        element("h1", e.run),
        element("p", join_words(about), class_="about"),
        element("p", e.source, class_="verdict"),
    )


def _tiles(t: EventFacts) -> Markup:
    delay = DASH if t.median_delay is None else f"{t.median_delay:.1f}"
    late = DASH if t.late_delay is None else f"{t.late_delay:.1f}"
    return element(
        "div",
        tile("Actions found", percent(t.recall), "%", f"{t.matched:,} of {t.true:,}", "first"),
        tile(
            "False alarms",
            f"{t.false_alarms_an_hour:,.0f}",
            "an hour",
            f"{t.insertions_an_hour:,.0f} while idle, {t.substitutions_an_hour:,.0f} as another",
        ),
        tile("Delay", delay, "s", f"median; nine of ten within {late} s"),
        tile("Event F1", percent(t.f1), "%", f"{percent(t.precision)} % of reports were right"),
        class_="tiles",
    )


def _beside(e: StreamEvaluation) -> Markup:
    in_use = PointFacts(threshold=float(e.settings["threshold"]), figures=e.total)
    return element(
        "div",
        element("article", figure(figures.delays(e.total.delays), "Actions by delay")),
        element(
            "article",
            figure(figures.trade_off(e.curve, in_use), "Actions found against false alarms"),
        ),
        class_="grid wide",
    )


def _how_to_read() -> Markup:
    return lead(
        "A report finds an action if it has its name and overlaps it; each is used once, and as "
        "many are paired as can be. Idle: reports while next to nothing was done. As another: "
        "reports that lie mostly over actions of another name. Again: over an action that another "
        "report has found. Delay: from the start of the action to the end of the window that it "
        "was reported with."
    )


def _recordings(e: StreamEvaluation) -> Markup:
    head = (
        "Recording", "Actions", "Found %", "Right %", "F1 %", *(f"F1 % at {k}" for k in
        e.total.f1_at), "Idle /h", "As another /h", "Again /h", "Delay s", "90 % within s",
    )  # fmt: skip
    rows = [(stream.name, *_cells(stream.figures)) for stream in e.streams]
    if len(rows) > 1:
        rows.append(("all", *_cells(e.total)))
    iou = (
        f"Segment IoU: {percent(e.segment_iou)} % over the actions, "
        f"{percent(e.segment_iou_idle)} % with idle time as a class. F1 at: the same with at least "
        "that intersection over union."
    )
    return join([scroll(table(head, rows, class_="study")), element("p", iou)])


def _cells(f: EventFacts) -> list[str]:
    return [
        str(f.true),
        percent(f.recall),
        percent(f.precision),
        percent(f.f1),
        *map(percent, f.f1_at.values()),
        f"{f.insertions_an_hour:.0f}",
        f"{f.substitutions_an_hour:.0f}",
        f"{f.repeats_an_hour:.0f}",
        DASH if f.median_delay is None else f"{f.median_delay:.2f}",
        DASH if f.late_delay is None else f"{f.late_delay:.2f}",
    ]


def _classes(e: StreamEvaluation) -> list[Markup]:
    best_first = sorted(e.classes.items(), key=lambda item: (-item[1].f1, item[0]))
    bars = [
        figures.class_bar(name, f.f1, f"{f.matched} of {f.true} found, {f.reported} reports")
        for name, f in best_first
    ]
    half = -(-len(bars) // 2)
    lists = (element("dl", *part, class_="bars") for part in (bars[:half], bars[half:]) if part)
    return [
        lead("F1 of the events of each class, best first."),
        element("div", *(element("article", part) for part in lists), class_="grid wide"),
    ]


def _settings(e: StreamEvaluation) -> Markup:
    s = e.student
    rows = [
        ("Student", f"{s['model']}, weights {s['sha256']}"),
        ("Window", f"{s['window_seconds']:g} s, {s['samples']} samples"),
        ("Worn", str(s["placement"])),
        ("Protocol", str(s["protocol_note"])),
        *((name, str(value)) for name, value in e.settings.items() if name != "format"),
    ]
    if e.seed is not None:
        rows.append(("Seed of the recordings", str(e.seed)))
    return scroll(table(("What", "Which"), rows, class_="missing"))


def _notices(e: StreamEvaluation) -> list[Markup]:
    rows = [(stream.name, notice) for stream in e.streams for notice in stream.notices]
    return [scroll(table(("Recording", "Notice"), rows, class_="missing"))] if rows else []


def _footer() -> Markup:
    rows = [
        (
            "Means",
            "What a user would have been told, and when. In recordings that were made of short "
            "ones the pauses are made up: daily life holds more that is mistaken for an action.",
        ),
        ("Source", "Made by pskd stream-eval from its JSON and nothing else."),
    ]
    pairs = (join([element("dt", name), element("dd", text)]) for name, text in rows)
    return element("footer", element("dl", *pairs))
