"""The page of a study: one HTML file made of grid.json and run files only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pskd.evaluate.compare import settings
from pskd.evaluate.markup import Markup, element, join, page, table
from pskd.evaluate.sections import badge, figure, fold, join_words, key, lead, scroll, section
from pskd.evaluate.study.figures import cost_map, difference_scale, forest
from pskd.evaluate.study.heat import class_gains, person_gains
from pskd.evaluate.study.parts import MethodResult, Study, StudyTable
from pskd.evaluate.study.sections import Place, missing, results
from pskd.evaluate.study.tables import study_latex, study_markdown
from pskd.evaluate.study.words import compared, interval_meaning, seeds_of, tone, verdict
from pskd.evaluate.words import SCORES, clips, count
from pskd.files import write_atomic

_COLOURS = {
    "student": "helps",
    "down": "hurts",
    "alone": "cannot be told",
    "ink": "baseline, or not compared",
}


def write_study_report(study: Study, out: Path) -> Path:
    """Write the page of a study. The same run files give the same bytes.

    Args:
        study: As `load_study` gives it.
        out: The page, or a folder to put `report.html` in; its links lead from there to the run
            folders.

    Returns:
        Where the page is.

    Raises:
        PskdError: The page cannot be written.
    """
    path = out / "report.html" if out.is_dir() else out
    text = page(study.name, _body(study, path))
    write_atomic(
        path, text.encode(), remedy="Free some space or choose another place for the report"
    )
    return path


def _body(study: Study, page: Path) -> Markup:
    places = [Place(k, page, t) for k, t in enumerate(study.tables)]
    return join(
        [
            _header(study),
            _contents(places) if len(places) > 1 else Markup(),
            *(_chapter(place) for place in places),
            section("again", "Make it again", *_again(study)),
            _footer(study),
        ]
    )


def _header(study: Study) -> Markup:
    cells = sum(len(m.cells) for t in study.tables for m in t.methods)
    tables = len(study.tables)
    about = [
        f"{tables} table{'s' * (tables != 1)}",
        f"{cells:,} finished cell{'s' * (cells != 1)}",
    ]
    empty = f"Nothing finished yet: {', '.join(study.empty)}." if study.empty else ""
    return element(
        "header",
        element("p", "PSKD study", class_="eyebrow"),
        element("h1", study.name),
        element("p", join_words(about), class_="about"),
        *(element("p", words, class_="note") for words in (study.about, empty) if words),
    )


def _contents(places: list[Place]) -> Markup:
    items = [
        element("li", element("a", p.table.name, href=f"#{p.anchor('top')}"), " ", verdict(p.table))
        for p in places
    ]
    return element("nav", element("ul", *items), aria_label="Tables", class_="contents")


def _chapter(place: Place) -> Markup:
    t = place.table
    folds = f"{len(t.folds)} folds pooled" if len(t.folds) > 1 else ""
    about = [
        t.dataset.title,
        t.protocol.name,
        clips(t.clips),
        folds,
        seeds_of(t),
        f"against {t.baseline}",
    ]
    return join(
        [
            element("h2", t.name, class_="recipe", id=place.anchor("top")),
            element(
                "div",
                element("p", join_words(about), badge(t.protocol), class_="about"),
                *(element("p", w, class_="lead") for w in (t.about, t.protocol.note) if w),
                element("p", verdict(t), class_="verdict"),
                class_="chapter",
            ),
            section(
                place.anchor("results"),
                "Results",
                _how_to_read(t),
                results(place),
                fold("Markdown", study_markdown(t)),
                fold("LaTeX", study_latex(t)),
            ),
            _differences(place),
            _costs(place),
            _people(place),
            _classes(place),
            _ablations(place),
            _missing(place),
        ]
    )


def _how_to_read(t: StudyTable) -> Markup:
    words = "Mean ± standard deviation over the seeds. " if len(t.seeds) > 1 else ""
    words += "A method unfolds to the files behind it."
    if t.varies:
        words += f" Methods differ in {', '.join(t.varies)} too."
    if pairs := compared(t):
        meaning = interval_meaning(pairs, known=not t.protocol.subject_independent)
        words += (
            f" The difference is in points, {meaning}. p is that of McNemar's exact tests over the "
            "seeds, corrected for the number of methods by Holm's method. Bold: the interval "
            "excludes 0 and p is below 0.05, both in one direction."
        )
    return lead(words)


def _differences(place: Place) -> Markup:
    pairs = compared(place.table)
    if not pairs:
        return Markup()
    return section(
        place.anchor("forest"),
        f"Against {place.table.baseline}",
        lead(
            f"{SCORES[place.table.dataset.headline]}, difference in points. Square: mean. Dots: "
            "seeds. Line: 95 % interval."
        ),
        _paint(m for m, _ in pairs),
        forest(pairs, "dots", difference_scale(pairs, "dots"), place.links),
    )


def _paint(methods: Iterable[MethodResult]) -> Markup:
    used = {tone(m.difference) for m in methods}
    return key((words, colour) for colour, words in _COLOURS.items() if colour in used)


def _costs(place: Place) -> Markup:
    t = place.table
    score = SCORES[t.dataset.headline]
    pictures, same = [], []
    for what, attribute in (("parameters", "parameters"), ("MACs a clip", "macs")):
        shown = [m for m in place.rows if getattr(m, attribute)]
        costs = [getattr(m, attribute) for m in shown]
        if len(set(costs)) > 1:
            picture = cost_map(shown, costs, what, score, place.links)
            pictures.append(
                scroll(
                    element(
                        "div",
                        figure(picture, f"{score} in percent against {what}, logarithmic"),
                        class_="cost",
                    )
                )
            )
        elif costs:
            same.append(f"{count(costs[0])} {what}")
    if not pictures and not same:
        return Markup()
    words = [f"All methods have the same {' and '.join(same)}."] if same else []
    return section(
        place.anchor("cost"),
        "What it costs",
        lead(*words) if words else Markup(),
        _paint(place.rows) if pictures else Markup(),
        *pictures,
    )


def _people(place: Place) -> Markup:
    heat = person_gains(place)
    if not heat:
        return Markup()
    return section(
        place.anchor("people"),
        "Person by person",
        lead(
            f"Difference of the accuracy on each test subject against {place.table.baseline}, in "
            "points, mean over the seeds. Beside it 95 % intervals of the difference that the "
            "results have: over people, for these trainings, and over trainings, for these people."
        ),
        heat,
    )


def _classes(place: Place) -> Markup:
    heat = class_gains(place)
    if not heat:
        return Markup()
    return section(
        place.anchor("classes"),
        "Class by class",
        lead(
            f"Difference of the F1 of each class against {place.table.baseline}, in points, mean "
            "over the seeds. Outlined: its own 95 % interval excludes 0. These are not corrected: "
            "some are outlined by chance."
        ),
        heat,
    )


def _ablations(place: Place) -> Markup:
    methods = place.table.methods
    pairs = [(m, m.difference) for m in methods if m.group and m.difference is not None]
    if not pairs:
        return Markup()
    scale = difference_scale(pairs, "bar")
    parts = []
    for group in dict.fromkeys(m.group for m, _ in pairs):
        members = [pair for pair in pairs if pair[0].group == group]
        parts += [element("h3", group), forest(members, "bar", scale, place.links)]
    return section(
        place.anchor("groups"),
        "Group by group",
        lead(
            f"Difference against {place.table.baseline} in points, in the order of the grid and "
            "on one scale. Whisker: 95 % interval."
        ),
        _paint(m for m, _ in pairs),
        *parts,
    )


def _missing(place: Place) -> Markup:
    found = missing(place)
    return section(place.anchor("missing"), "What is missing", found) if found else Markup()


def _again(study: Study) -> list[Markup]:
    grid = study.path / "grid.yaml"
    parts = [
        lead(
            "Here, with --data-root and --plugin as before; finished cells are kept: ",
            element("code", "pskd compare grid.yaml --out ."),
        )
    ]
    if grid.exists():
        parts.append(fold("grid.yaml", grid.read_text(encoding="utf-8", errors="replace")))
    if rows := [(name, ", ".join(values)) for name, values in versions(study).items()]:
        listing = scroll(table(("Environment", "All runs"), rows, class_="versions"))
        parts.append(element("details", element("summary", "Versions and machines"), listing))
    return parts


def versions(study: Study) -> dict[str, list[str]]:
    """What environment.json says in all runs: every value that a key has, once."""
    found: dict[str, set[str]] = {}
    for t in study.tables:
        for cell in (cell for method in t.methods for cell in method.cells):
            first = dict(cell.run.environment)
            resumed = first.pop("resumed", None)
            later = resumed if isinstance(resumed, list) else []
            for environment in (first, *(e for e in later if isinstance(e, dict))):
                for name, value in settings(environment).items():
                    found.setdefault(name, set()).add(value)
    return {name: sorted(values) for name, values in found.items()}


def _footer(study: Study) -> Markup:
    datasets = list({t.dataset.title: t.dataset for t in study.tables}.values())
    rows = [("Data", f"{d.title}. {d.citation}".strip()) for d in datasets]
    rows += [("Licence", f"{d.title}: {d.licence}") for d in datasets if d.licence]
    rows += [
        (
            "Scores",
            "Share of the test clips that are right after the last epoch, and the mean of the F1 "
            "of the classes. Every seed is tested on the same clips; folds are pooled.",
        ),
        ("Source", "Made by pskd compare from grid.json and the run folders and nothing else."),
    ]
    pairs = (join([element("dt", name), element("dd", text)]) for name, text in rows)
    return element("footer", element("dl", *pairs))
