"""The page of a single run."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pskd.evaluate import sections
from pskd.evaluate.compare import Comparison, Group
from pskd.evaluate.figures import (
    COLOURS,
    accuracy_curve,
    choice_area,
    dot,
    embedding_map,
    loss_curve,
    principal_plane,
)
from pskd.evaluate.markup import Markup, element, join
from pskd.evaluate.metrics import confusion_matrix
from pskd.evaluate.run_files import Epoch, Run
from pskd.evaluate.sections import figure, key, lead, scroll, section, tile
from pskd.evaluate.statistics import McNemar
from pskd.evaluate.words import (
    SCORES,
    clips,
    count,
    p_words,
    percent,
    scores_in_order,
    signed,
    won_lost,
)

TERMS = {"label": "k4", "distillation": "k6", "semantic": "k5", "motion": "k7"}
"""Colours of the loss terms; any other term is grey."""

WIDE = 14
"""With more classes than this the confusion matrix takes the whole width of the page."""


def one_run(comparison: Comparison) -> Markup:
    """Everything that there is to see of one run."""
    (group,) = comparison.groups
    (run,) = group.runs
    by_stage = {
        name: [e for e in run.epochs if e.stage == name]
        for name in run.summary.stages
        if any(e.stage == name for e in run.epochs)
    }
    return join(
        [
            sections.headline(comparison, run.summary.recipe, f"seed {run.summary.seed}"),
            _tiles(group),
            section("results", "Results", sections.results(group)),
            _curves(by_stage, group),
            _choices(by_stage, group),
            _confusions(run),
            section(
                "subjects",
                "Person by person",
                lead("Accuracy in percent for each test subject, and the gain of the student."),
                sections.subjects(group),
            ),
            section(
                "classes",
                "Class by class",
                lead("F1 of each class, and what the teachers changed in points."),
                sections.class_gains(group),
            ),
            _map(run),
            section("data", "Data", sections.set_aside(comparison), sections.audit(comparison)),
            section(
                "recipe",
                "Recipe and environment",
                sections.fold("recipe.yaml", run.recipe_text),
                sections.fold("environment.json", json.dumps(run.environment, indent=2)),
            ),
            sections.footer(comparison),
        ]
    )


def _tiles(group: Group) -> Markup:
    student, alone, gain = group.student, group.alone, group.gain
    test = student.facts.test
    first, other = scores_in_order(group.runs[0].summary.dataset)
    cost = tile(
        "What the watch runs",
        count(student.facts.parameters),
        "parameters",
        f"{count(student.facts.macs)} multiply-adds a clip, {' + '.join(student.facts.inputs)}",
    )
    tiles = [
        tile(
            "Student",
            percent(student.score.mean),
            "%",
            f"{SCORES[first]} of {clips(test.n)}; {SCORES[other]} {percent(getattr(test, other))}",
            "first",
        )
    ]
    if gain is None or alone is None:
        return element("div", *tiles, cost, class_="tiles")
    (pair,) = gain.pairs
    tiles += [
        tile("Same student, no teachers", percent(alone.score.mean), "%", "same recipe, views"),
        tile(
            "Gain",
            signed(gain.difference.mean),
            "points",
            won_lost(pair),
        ),
        cost,
    ]
    return join([element("div", *tiles, class_="tiles"), lead(_verdict(pair))])


def _verdict(pair: McNemar) -> str:
    net = pair.won - pair.lost
    if net == 0:
        return "The teachers changed which test clips the student has right, not how many."
    start = f"With its teachers the student has {abs(net):,} {'more' if net > 0 else 'fewer'} of "
    start += "the test clips right than without"
    test = f"exact McNemar test, {p_words(pair.p)}"
    if pair.p < 0.05:
        return f"{start}: more than chance would give between two equally good models ({test})."
    return f"{start}, which chance alone could give ({test}): compare several seeds."


def _curves(by_stage: Mapping[str, list[Epoch]], group: Group) -> Markup:
    if not by_stage:
        return Markup()
    paint = sections.colours(group)
    used = {
        term
        for epochs in by_stage.values()
        for e in epochs
        for term, value in e.terms.items()
        if value
    }
    order = [*(t for t in TERMS if t in used), *sorted(used - TERMS.keys())]
    terms = {name: TERMS.get(name, "alone") for name in order}
    cards = []
    for name, epochs in by_stage.items():
        own = {t: c for t, c in terms.items() if any(e.terms.get(t) for e in epochs)}
        cards.append(
            element(
                "article",
                element("h3", sections.swatch(paint[name]), name),
                figure(accuracy_curve(epochs, paint[name]), "Accuracy"),
                figure(loss_curve(epochs, own), "Loss"),
            )
        )
    checked = any(e.validation_accuracy is not None for epochs in by_stage.values() for e in epochs)
    dashed = " Dashed: validation side." if checked else ""
    return section(
        "training",
        "Training",
        lead(
            "Accuracy on the training views, and the loss with its terms before they are weighted, "
            f"by epoch.{dashed}"
        ),
        key([("total loss", "ink"), *terms.items()]),
        element("div", *cards, class_="grid"),
    )


def _choices(by_stage: Mapping[str, list[Epoch]], group: Group) -> Markup:
    paint = {**sections.colours(group), "label": "alone", "nobody": "ink"}
    chosen = {n: epochs for n, epochs in by_stage.items() if any(e.choices for e in epochs)}
    if not chosen:
        return Markup()
    seen = {c for epochs in chosen.values() for e in epochs for c in e.choices or {}}
    names = [*(n for n in paint if n in seen), *sorted(seen - paint.keys())]
    cards = [
        element(
            "article",
            element("h3", sections.swatch(paint[stage]), stage),
            figure(
                choice_area(epochs, {n: paint.get(n, "k1") for n in names if _ever(n, epochs)}),
                _last_choice(epochs),
            ),
        )
        for stage, epochs in chosen.items()
    ]
    return section(
        "choices",
        "Whom it followed",
        lead(
            "For every clip, the adaptive-confidence loss picks one teacher to mimic, or the label "
            "where no teacher is both right and confident; nobody, where there is no label either. "
            "How often each was picked, by epoch."
        ),
        key([(n, paint.get(n, "k1")) for n in names]),
        element("div", *cards, class_="grid"),
    )


def _last_choice(epochs: list[Epoch]) -> str:
    shares = next(e.choices for e in reversed(epochs) if e.choices)
    ranked = sorted(shares.items(), key=lambda pair: -pair[1])
    return "Last epoch: " + ", ".join(f"{name} {percent(share)} %" for name, share in ranked)


def _ever(name: str, epochs: list[Epoch]) -> bool:
    return any(name in (e.choices or {}) for e in epochs)


def _confusions(run: Run) -> Markup:
    classes, said = run.summary.dataset.classes, run.predictions[run.summary.student]
    matrix = confusion_matrix(said.true, said.predicted, len(classes))
    layout = "beside" if len(classes) <= WIDE else "dense"
    return section(
        "confusions",
        "What it mixes up",
        lead("Clips of the student: a row is what was done, a column what it was read as."),
        element("div", _matrix(matrix, classes), _pairs(matrix, classes), class_=layout),
    )


def _matrix(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> Markup:
    """The confusion matrix as a table, shaded by the share of its row."""
    support = np.maximum(matrix.sum(axis=1), 1)
    rows = []
    for k, name in enumerate(classes):
        cells = []
        for j, n in enumerate(matrix[k]):
            kind = "hit" if j == k else "miss"
            shade = f"--a:{0.12 + 0.88 * n / support[k]:.2f}"
            deep = " deep" if n / support[k] > 0.5 else ""
            cell = {"class_": kind + deep, "style": shade} if n else {}
            cells.append(element("td", str(n) if n else "", **cell))
        rows.append(element("tr", element("th", name, scope="row"), *cells))
    head = (element("th", element("span", name), scope="col") for name in classes)
    top = element("tr", element("td"), *head)
    return scroll(element("table", element("thead", top), element("tbody", *rows), class_="matrix"))


def _pairs(matrix: NDArray[np.int64], classes: tuple[str, ...], most: int = 6) -> Markup:
    """The pairs of classes most often taken for each other, in words."""
    support = matrix.sum(axis=1)
    both = {
        (a, b): int(matrix[a, b] + matrix[b, a])
        for a in range(len(classes))
        for b in range(a)
        if matrix[a, b] + matrix[b, a]
    }
    if not both:
        return element("p", "It mixed up nothing.")
    items = []
    for (a, b), total in sorted(both.items(), key=lambda pair: -pair[1])[:most]:
        if matrix[a, b] < matrix[b, a]:
            a, b = b, a
        words = f"{matrix[a, b]} of {support[a]} {classes[a]} read as {classes[b]}"
        if matrix[b, a]:
            words += f", {matrix[b, a]} of {support[b]} the other way"
        names = element("b", f"{classes[a]} / {classes[b]}")
        items.append(element("li", names, element("span", words), element("em", str(total))))
    return element("div", element("h3", "Most confused"), element("ol", *items, class_="pairs"))


def _map(run: Run) -> Markup:
    said, classes = run.predictions[run.summary.student], run.summary.dataset.classes
    shown = principal_plane(said.embeddings) if said.embeddings is not None else None
    if shown is None:
        return Markup()
    plane, share = shown
    entries = []
    for k, name in enumerate(classes):
        mark = element("path", d=dot(k, 6, 6), class_=f"dot c-k{k % COLOURS}")
        icon = element("svg", mark, viewBox="0 0 12 12", class_="mark", aria_hidden="true")
        entries.append(element("li", icon, name))
    return section(
        "map",
        "Embedding map",
        lead(
            "The student's embedding of every test clip on its first two principal components, "
            f"which hold {percent(share)} % of the variance. Hollow: misread."
        ),
        scroll(element("div", embedding_map(plane, said, classes), class_="map")),
        element("ul", *entries, class_="key"),
    )
