"""What may be said of a study, and the words for it."""

from __future__ import annotations

from collections.abc import Sequence

from pskd.evaluate.markup import Markup, element, join
from pskd.evaluate.study.bootstrap import RESAMPLES
from pskd.evaluate.study.parts import MethodResult, StudyTable
from pskd.evaluate.study.statistics import Difference
from pskd.evaluate.words import p_words, signed

NAMED = 3
"""So many methods are named in a sentence; the table has the others."""

DASH = "\N{EN DASH}"

Pair = tuple[MethodResult, Difference]
"""A method and its difference against the baseline."""


def can_be_told(difference: Difference | None) -> bool:
    """Whether there is a difference that may be claimed."""
    return difference is not None and difference.clear


def seeds_of(table: StudyTable) -> str:
    """The seeds that have figures, and how many the grid asks for where that is more."""
    done = [s for s in table.seeds if any(s in method.seeds for method in table.methods)]
    words = f"seed{'s' * (len(done) > 1)} {', '.join(map(str, done))}"
    return words if len(done) == len(table.seeds) else f"{words} of {len(table.seeds)}"


def compared(table: StudyTable) -> list[Pair]:
    """The methods that have a difference, greatest first."""
    pairs = [(m, m.difference) for m in table.methods if m.difference is not None]
    return sorted(pairs, key=lambda pair: -pair[1].mean)


def fewer_seeds(method: MethodResult) -> str:
    """How many seeds a difference is over, where the baseline lacks some of the method's."""
    d = method.difference
    if d is None or len(d.seeds) == len(method.seeds):
        return ""
    return f" ({len(d.seeds)} of {len(method.seeds)} seeds)"


def interval_words(interval: tuple[float, float] | None) -> str:
    """An interval in points."""
    return f"{signed(interval[0])} to {signed(interval[1])}" if interval else "no interval"


def interval_meaning(pairs: Sequence[Pair], *, known: bool) -> str:
    """What the intervals of the mean difference are over: trainings, people, or both.

    `known` people were trained on too: nothing is said of others.
    """
    seeds = max(len(d.seeds) for _, d in pairs)
    subjects = max(len(d.by_subject) for _, d in pairs)
    people = "people who are on both sides" if known else "people"
    if seeds == subjects == 1:
        return "with one seed and one test subject there is no interval"
    if seeds == 1:
        return f"its mean with a 95 % interval over {people}, not over trainings: one seed"
    if subjects == 1:
        return "its mean with a 95 % interval over trainings, not over people: one test subject"
    meaning = f"its mean with a 95 % interval over trainings and {people}"
    alone = any(len(d.seeds) == 1 for _, d in pairs)
    return meaning + (", or with one seed done over people alone" if alone else "")


def interval_method(pairs: Sequence[Pair]) -> str:
    """How the intervals were made, as a sentence."""
    seeds = max(len(d.seeds) for _, d in pairs)
    if max(len(d.by_subject) for _, d in pairs) == 1:
        return "Intervals: Student's t over seeds." if seeds > 1 else ""
    drawn = f"{'seeds and ' if seeds > 1 else ''}test subjects"
    return (
        f"Intervals: paired bootstrap over {drawn}, {RESAMPLES:,} resamples, percentiles stretched "
        "to Student's t."
    )


def verdict(table: StudyTable) -> Markup:
    """What helps, by how much, and how sure that is, or that nothing can be told."""
    pairs, base = compared(table), table.baseline
    if not pairs:
        return join([f"Nothing can be told: no method has a seed in common with {base}."])
    up = [(m, d) for m, d in pairs if d.clear and d.mean > 0]
    down = [(m, d) for m, d in reversed(pairs) if d.clear and d.mean < 0]
    rest = len(pairs) - len(up) - len(down)
    if rest == len(pairs):
        return join([_nothing(pairs, base)])
    sentences = [_claim(up, "helps", "help", base), _claim(down, "hurts", "hurt", base)]
    if not up:
        sentences.insert(0, join([f"No method can be told to help against {base}. "]))
    if rest:
        others = "Of the other method" if rest == 1 else f"Of the other {rest} methods"
        sentences.append(join([f"{others} nothing can be told."]))
    return join(sentences)


def _claim(pairs: Sequence[Pair], one: str, many: str, base: str) -> Markup:
    if not pairs:
        return Markup()
    if len(pairs) == 1:
        ((method, d),) = pairs
        return join([element("b", method.name), f" {one} by {_by(d)} against {base}. "])
    words = [f"{len(pairs)} methods {many} against {base}: "]
    for k, (method, d) in enumerate(pairs[:NAMED]):
        words += ["; " if k else "", element("b", method.name), f" by {_by(d)}"]
    left = len(pairs) - NAMED
    return join([*words, f"; and {left} more. " if left > 0 else ". "])


def _by(d: Difference) -> str:
    interval = interval_words(d.interval)
    return f"{signed(d.mean)} points (95 % interval {interval}, corrected {p_words(d.p_corrected)})"


def _nothing(pairs: Sequence[Pair], base: str) -> str:
    what = pairs[0][0].name if len(pairs) == 1 else f"any of the {len(pairs)} methods"
    if all(d.interval is None for _, d in pairs):
        why = "too few seeds and test subjects for an interval"
    else:
        why = "no interval excludes 0 with a corrected p below 0.05"
    return f"Nothing can be told of {what} against {base}: {why}."


def p_figure(p: float) -> str:
    """A p value for a column that says p."""
    return p_words(p).removeprefix("p ").removeprefix("= ")


def tone(difference: Difference | None) -> str:
    """Colour of a method: blue helps, red hurts, grey cannot be told, ink is the baseline."""
    if difference is None:
        return "ink"
    if not difference.clear:
        return "alone"
    return "student" if difference.mean > 0 else "down"
