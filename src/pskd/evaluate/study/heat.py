"""Tables of differences, painted by their size: class by class and person by person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pskd.evaluate.markup import Markup, element
from pskd.evaluate.sections import scroll
from pskd.evaluate.study.sections import Place
from pskd.evaluate.study.statistics import Difference, excludes_zero
from pskd.evaluate.study.words import Pair, compared, interval_words
from pskd.evaluate.words import signed


def class_gains(place: Place) -> Markup:
    """Methods by classes: gain of F1 in points, outlined where its interval excludes 0."""
    pairs, classes = compared(place.table), place.table.dataset.classes
    present = [c for c in classes if any(c in d.per_class for _, d in pairs)]
    return _heat(place, pairs, present, lambda d: d.per_class, lambda d: d.per_class_interval, {})


def person_gains(place: Place) -> Markup:
    """Methods by test subjects: gain of accuracy in points, and intervals of either kind alone."""
    pairs = compared(place.table)
    people = list(pairs[0][1].by_subject) if pairs else []
    if len(people) < 2:
        return Markup()
    further: dict[str, Callable[[Difference], str]] = {}
    if any(d.subject_interval for _, d in pairs):
        further["over people"] = lambda d: interval_words(d.subject_interval)
    if any(d.seed_interval for _, d in pairs):
        further["over trainings"] = lambda d: interval_words(d.seed_interval)
    return _heat(place, pairs, people, lambda d: d.by_subject, lambda _: {}, further)


def _heat(
    place: Place,
    pairs: Sequence[Pair],
    columns: Sequence[str],
    gains: Callable[[Difference], Mapping[str, float]],
    intervals: Callable[[Difference], Mapping[str, tuple[float, float]]],
    further: Mapping[str, Callable[[Difference], str]],
) -> Markup:
    """The table; `further` has columns of words beside the painted ones, by their heading."""
    if not columns:
        return Markup()
    most = max(abs(g) for _, d in pairs for g in gains(d).values()) or 1.0
    titles = (element("th", element("span", name), scope="col") for name in (*columns, *further))
    rows = []
    for method, d in pairs:
        link = place.links[method.name]
        name = element("a", method.name, href=link, title=method.name)
        cells = [_cell(c, gains(d).get(c), intervals(d).get(c), most, link) for c in columns]
        cells += [
            element("td", element("a", words(d), href=link), class_="words")
            for words in further.values()
        ]
        rows.append(element("tr", element("th", name, scope="row"), *cells))
    head = element("thead", element("tr", element("td"), *titles))
    return scroll(element("table", head, element("tbody", *rows), class_="matrix heat"))


def _cell(
    name: str, change: float | None, interval: tuple[float, float] | None, most: float, link: str
) -> Markup:
    if change is None:
        return element("td")
    kinds = ["hit" if change > 0 else "miss"]
    if abs(change) > 0.75 * most:
        kinds.append("deep")
    if excludes_zero(interval):
        kinds.append("apart")
    points = f"{100 * change:+.0f}".replace("-", "\N{MINUS SIGN}")
    within = f", {interval_words(interval)}" if interval else ""
    return element(
        "td",
        element("a", "0" if points[1:] == "0" else points, href=link),
        class_=" ".join(kinds),
        style=f"--a:{abs(change) / most:.2f}",
        title=f"{name}: {signed(change)} points{within}",
    )
