"""The words and number formats that all reports share."""

from __future__ import annotations

from pskd.evaluate.compare import Comparison, Gain
from pskd.evaluate.run_files import DatasetFacts, Headline, ProtocolFacts
from pskd.evaluate.statistics import McNemar, Spread

NOT_INDEPENDENT = "NOT subject-independent"
"""Stands beside every figure of a protocol that has the same people on both sides."""

SCORES = {"accuracy": "Accuracy", "macro_f1": "Macro-F1"}

ROLES = {
    "teacher": "teacher",
    "student": "student",
    "alone": "student alone",
    "start": "student before fine-tuning",
}


def title(comparison: Comparison) -> str:
    """Say what a table is of: dataset, protocol, test clips, seeds."""
    seeds = sorted({run.summary.seed for run in comparison.runs})
    n = comparison.groups[0].student.facts.test.n
    which = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    return f"{comparison.dataset.title}, {protocol(comparison.protocol)}, {clips(n)}, {which}"


def protocol(facts: ProtocolFacts) -> str:
    """Name a protocol, with the warning that it may need."""
    return facts.name if facts.subject_independent else f"{facts.name} ({NOT_INDEPENDENT})"


def scores_in_order(facts: DatasetFacts) -> list[Headline]:
    """Both scores, the one that is usual for the dataset first."""
    both: tuple[Headline, Headline] = ("accuracy", "macro_f1")
    return sorted(both, key=lambda name: name != facts.headline)


def gain_words(gain: Gain) -> str:
    """Say by how much the student beats itself alone, and how sure that is."""
    points = f"{signed(gain.difference.mean)} points"
    seeds = len(gain.difference.values)
    if seeds == 1:
        pair = gain.pairs[0]
        return f"{points} ({won_lost(pair)}; exact McNemar {p_words(pair.p)})"
    if gain.interval is None:
        return f"{points} ({no_interval(gain)})"
    low, high = gain.interval
    return f"{points} (95 % t interval {signed(low)} to {signed(high)}, {seeds} seeds, paired)"


def no_interval(gain: Gain) -> str:
    """Say why a gain has none."""
    seeds = len(gain.difference.values)
    return "one seed: no interval" if seeds == 1 else f"the same in {seeds} seeds: no interval"


def won_lost(pair: McNemar) -> str:
    """How many clips only the student has right, and how many only the student alone."""
    return f"{pair.won:,} clip{'s' * (pair.won != 1)} won, {pair.lost:,} lost"


def p_words(p: float) -> str:
    """A p value in two digits."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def clips(n: int) -> str:
    """So many test clips."""
    return f"{n:,} test clip{'s' * (n != 1)}"


def percent(share: float) -> str:
    """A fraction in percent, without the sign."""
    return f"{100 * share:.1f}"


def signed(share: float) -> str:
    """A difference of fractions in points, with its sign."""
    points = f"{100 * share:+.1f}"
    return "0.0" if float(points) == 0 else points.replace("-", "\N{MINUS SIGN}")


def spread_words(across: Spread) -> str:
    """Mean and standard deviation in percent."""
    sd = f" ± {percent(across.sd)}" if across.sd is not None else ""
    return percent(across.mean) + sd


def count(number: int | None) -> str:
    """A count in few digits; an unknown one is a dash."""
    if number is None:
        return "\N{EN DASH}"
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:,}"


def duration(seconds: float) -> str:
    """A time as a person would say it."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
