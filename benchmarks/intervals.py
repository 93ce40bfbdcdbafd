"""How often the 95 % intervals of a comparison hold the truth, on simulated predictions.

Method and baseline are equally good, so that the truth is 0: each seed and each person adds its own
to either's chance of a right clip, and each clip is hard or easy for both.

Example: python benchmarks/intervals.py --studies 400
"""

from __future__ import annotations

import argparse

import numpy as np

from pskd.evaluate.run_files import Headline, Predictions
from pskd.evaluate.study.bootstrap import RESAMPLES, Counts, Interval, draws, over_both

CLASSES = [str(k) for k in range(27)]
SCORES: tuple[Headline, ...] = ("accuracy", "macro_f1")

Said = list[Predictions]
"""One a seed."""

SPREADS = {
    "clips": (0.0, 0.0),
    "seeds": (0.03, 0.0),
    "people": (0.0, 0.05),
    "both": (0.02, 0.04),
}
"""Standard deviations of what a seed and what a person add to a chance of 0.88."""


def study(
    rng: np.random.Generator, seeds: int, people: int, clips: int, of_seed: float, of_person: float
) -> tuple[Said, Said]:
    """Draw what a method and a baseline as good as it say of the same clips, one a seed."""
    n = people * clips
    who = np.repeat(np.arange(people), clips)
    true = np.tile(np.arange(clips) % len(CLASSES), people)
    hard = rng.normal(0, 0.1, n)
    said: list[Said] = []
    for _ in range(2):
        person, rows = rng.normal(0, of_person, people), []
        for _ in range(seeds):
            chance = 0.88 + rng.normal(0, of_seed) + person[who] + hard
            other = (true + rng.integers(1, len(CLASSES), n)) % len(CLASSES)
            rows.append(
                Predictions(
                    recordings=tuple(map(str, range(n))),
                    subjects=tuple(map(str, who)),
                    true=true,
                    predicted=np.where(rng.random(n) < chance, true, other),
                    probabilities=np.empty((n, 0)),
                )
            )
        said.append(rows)
    return said[0], said[1]


def intervals(method: Said, baseline: Said, score: Headline) -> tuple[Interval, Interval]:
    """The interval of the difference, and plain percentiles of the same resamples."""
    people = sorted(set(method[0].subjects))
    seeds, weights = draws(len(method), len(people))
    mine, theirs = (Counts.of(said, people, len(CLASSES)) for said in (method, baseline))
    found = [
        mine.score(w, score) - theirs.score(w, score) for w in (np.ones((1, len(people))), weights)
    ]
    low, high = np.quantile((found[1] * seeds).mean(axis=1), [0.025, 0.975])
    stretched = over_both(found[0][0], found[1], seeds, len(people))
    assert stretched is not None
    return stretched, (float(low), float(high))


def main() -> None:
    """Print the shares and the mean widths as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200)
    studies = parser.parse_args().studies
    print(
        f"{studies} studies a row, {RESAMPLES} resamples. Share that holds 0 in %, width in points."
    )
    print("\n| seeds | people | what varies | score | interval | width | percentiles | width |")
    print("|---:|---:|---|---|---:|---:|---:|---:|")
    for seeds, people in ((2, 12), (3, 4), (5, 4), (5, 8)):
        for name, spreads in SPREADS.items():
            rng = np.random.default_rng(0)
            pairs = [study(rng, seeds, people, 108, *spreads) for _ in range(studies)]
            for score in SCORES:
                ends = np.array([intervals(*pair, score) for pair in pairs])
                held = 100 * ((ends[..., 0] <= 0) & (ends[..., 1] >= 0)).mean(axis=0)
                wide = 100 * (ends[..., 1] - ends[..., 0]).mean(axis=0)
                cells = f"{held[0]:.0f} | {wide[0]:.1f} | {held[1]:.0f} | {wide[1]:.1f}"
                print(f"| {seeds} | {people} | {name} | {score} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
