"""What a certificate says in words: verdicts and number formats."""

from __future__ import annotations

from pskd.evaluate.certificate.facts import Certificate, Latency, Parity, Status, TargetFacts
from pskd.evaluate.words import percent, signed

DASH = "\N{EN DASH}"

FLOOR = 64 << 10
"""Bytes below which a peak of memory says nothing."""

STATUS: dict[Status, str] = {
    "passed": "is the student",
    "failed": "NOT the student",
    "accepted": "breaks a limit, kept",
    "not measured": "not measured",
}


def headline(c: Certificate) -> str:
    """How many exports are the student."""
    total, passed = len(c.exports), len(c.of("passed"))
    if not total:
        return "PyTorch alone was measured"
    verb = "is" if passed == 1 else "are"
    return f"{passed} of {total} export{'s' * (total != 1)} {verb} the student"


def verdict(c: Certificate) -> str:
    """What that means, in a few sentences."""
    compared = [(f, f.parity) for f in c.exports.values() if f.parity and f.status == "passed"]
    exact = [p for f, p in compared if not f.int8]
    rounded = [p for f, p in compared if f.int8]
    words = []
    if exact:
        worst = max(p.difference or 0.0 for p in exact)
        words.append(
            f"Without rounding to 8 bits, at accelerations that a watch can measure, no score of a "
            f"class differs from PyTorch by more than {small(worst)}; "
            f"{small(c.limits.difference)} is allowed."
        )
    if rounded:
        drop = max(p.drop for p in rounded)
        lost = f"costs {percent(drop)} points of accuracy at most" if drop > 0 else "costs nothing"
        allowed = percent(c.limits.drop)
        words.append(f"Rounding to 8 bits {lost}; {allowed} points are allowed.")
    for status, say in (
        ("failed", "Do not ship"),
        ("accepted", "Kept although they break a limit:"),
        ("not measured", "Not measured here, so nothing is said of"),
    ):
        if names := c.of(status):  # type: ignore[arg-type]
            words.append(f"{say} {', '.join(names)}.")
    return " ".join(words)


def small(value: float | None) -> str:
    """A small number in two digits."""
    if value is None:
        return "not finite"
    if value >= 0.01 or value == 0:
        return f"{value:.2g}"
    return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-")


def size(number: int) -> str:
    """Bytes in KB of 1024."""
    return f"{number / 1024:,.1f}" if number < 102400 else f"{number / 1024:,.0f}"


def memory(number: int) -> str:
    """A peak in KB, where it can be told from freed pages that are used again."""
    return size(number) if number >= FLOOR else f"< {FLOOR >> 10}"


def time(us: float) -> str:
    """Microseconds in three digits."""
    return f"{us:,.0f}" if us >= 100 else f"{us:.3g}"


def drop(parity: Parity) -> str:
    """Accuracy against PyTorch's, in points."""
    return signed(parity.accuracy - parity.torch_accuracy)


def ratio(latency: Latency, other: Latency | None) -> str:
    """Median time as a multiple of another."""
    return f"{latency.p50_us / other.p50_us:.2g}" if other else DASH


def why(facts: TargetFacts) -> list[str]:
    """All that is wrong with an export, or was not measured of it."""
    broken = list(facts.parity.failures) if facts.parity else []
    missing = [f"{what}: {reason}" for what, reason in facts.missing.items()]
    return [*broken, *([facts.reason] if facts.reason else []), *missing]
