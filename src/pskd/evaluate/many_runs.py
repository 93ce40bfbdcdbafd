"""The page of several runs: means over seeds and paired gains, recipe by recipe."""

from __future__ import annotations

from pskd.evaluate import sections
from pskd.evaluate.compare import Comparison, Group
from pskd.evaluate.figures import gain_strip
from pskd.evaluate.markup import Markup, element, join, table
from pskd.evaluate.sections import lead, scroll, section, tile
from pskd.evaluate.words import (
    SCORES,
    clips,
    count,
    no_interval,
    p_words,
    percent,
    signed,
    spread_words,
)

_STRIP = "Points gained. Dots: seeds. Line: their mean. Band: its 95 % interval."


def many_runs(comparison: Comparison) -> Markup:
    """What holds over the seeds. Curves and maps belong to the page of each run."""
    groups = comparison.groups
    name = ", ".join(dict.fromkeys(run.summary.recipe for run in comparison.runs))
    runs = f"{len(comparison.runs)} runs"
    several = len(groups) > 1
    body = [_side_by_side(comparison)] if several else []
    for k, group in enumerate(groups):
        suffix = f"-{k}" if several else ""
        if several:
            body.append(element("h2", group.label, class_="recipe"))
        body += [
            _tiles(group),
            section(f"results{suffix}", "Results", _means(group), sections.results(group)),
            _gains(group, suffix),
            section(
                f"subjects{suffix}",
                "Person by person",
                lead("Mean accuracy in percent for each test subject."),
                sections.subjects(group),
            ),
            section(
                f"classes{suffix}",
                "Class by class",
                lead("Mean F1 of each class, and what the teachers changed in points."),
                sections.class_gains(group),
            ),
            section(
                f"recipe{suffix}",
                "Recipe",
                sections.fold("recipe.yaml of the first run", group.runs[0].recipe_text),
            ),
        ]
    return join(
        [
            sections.headline(comparison, name, runs),
            *body,
            section("data", "Data", sections.set_aside(comparison), sections.audit(comparison)),
            sections.footer(comparison),
        ]
    )


def _side_by_side(comparison: Comparison) -> Markup:
    rows = [
        (
            group.label,
            str(len(group.runs)),
            spread_words(group.alone.score) if group.alone else "\N{EN DASH}",
            element("b", spread_words(group.student.score)),
            signed(group.gain.difference.mean) if group.gain else "\N{EN DASH}",
            _interval(group),
        )
        for group in comparison.groups
    ]
    head = ("Recipe", "Seeds", "Alone %", "Student %", "Gain", "95 % interval")
    return section("recipes", "Side by side", scroll(table(head, rows, class_="recipes")))


def _interval(group: Group) -> str:
    if group.gain is None or group.gain.interval is None:
        return "\N{EN DASH}"
    low, high = group.gain.interval
    return f"{signed(low)} to {signed(high)}"


def _tiles(group: Group) -> Markup:
    student, alone, gain = group.student, group.alone, group.gain
    score = SCORES[group.runs[0].summary.dataset.headline]
    seeds = ", ".join(str(run.summary.seed) for run in group.runs)
    tiles = [
        tile(
            "Student",
            spread_words(student.score),
            "%",
            f"{score} of {clips(student.facts.test.n)}, seeds {seeds}",
            "first",
        )
    ]
    if gain and alone:
        note = f"95 % interval {_interval(group)}" if gain.interval else no_interval(gain)
        tiles += [
            tile("Same student, no teachers", spread_words(alone.score), "%", "same recipe"),
            tile("Gain", signed(gain.difference.mean), "points", note),
        ]
    cost = f"{count(student.facts.macs)} multiply-adds a clip"
    tiles.append(tile("What the watch runs", count(student.facts.parameters), "parameters", cost))
    return element("div", *tiles, class_="tiles")


def _means(group: Group) -> Markup:
    n = len(group.runs)
    return lead(f"Mean ± standard deviation over {n} seed{'s' * (n > 1)}.")


def _gains(group: Group, suffix: str) -> Markup:
    if group.gain is None or group.alone is None:
        return Markup()
    seeds = [run.summary.seed for run in group.runs]
    students, alones = group.student.score.values, group.alone.score.values
    rows = [
        (
            f"seed {run.summary.seed}",
            percent(alone),
            percent(student),
            element("b", signed(gain)),
            str(pair.won),
            str(pair.lost),
            p_words(pair.p),
            run.path.name,
        )
        for run, alone, student, gain, pair in zip(
            group.runs,
            alones,
            students,
            group.gain.difference.values,
            group.gain.pairs,
            strict=True,
        )
    ]
    head = (
        "Run", f"{group.alone.name} %", f"{group.student.name} %", "Gain",
        "Clips won", "Clips lost", "McNemar", "Folder",
    )  # fmt: skip
    return section(
        f"seeds{suffix}",
        "Gain, seed by seed",
        lead(
            "The student against the same student without teachers. The interval is Student's t on "
            "the paired differences: it tells how training varies, not how other people would, "
            "since all seeds are tested on the same clips."
        ),
        element("div", sections.figure(gain_strip(group.gain, seeds), _STRIP), class_="strip"),
        scroll(table(head, rows, class_="seeds")),
    )
