"""Seconds that an epoch of each stage of a recipe takes on this machine.

Example: python benchmarks/epochs.py utd-mhad --data-root ~/data
"""

import argparse
import itertools
import json
import statistics
import tempfile
from pathlib import Path

from pskd.recipe import load_recipe
from pskd.train.run import train


def main() -> None:
    """Train every stage for a few epochs and print the median of all but the first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", nargs="?", default="demo")
    parser.add_argument("overrides", nargs="*", help="key.path=value")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs must be at least 2: the first is a warm-up")

    names = [stage.name for stage in load_recipe(options.recipe, options.overrides).chain]
    epochs = [f"chain.{name}.fit.epochs={options.epochs}" for name in names]
    recipe = load_recipe(options.recipe, [*options.overrides, *epochs])
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            recipe,
            data_root=options.data_root,
            out=Path(folder) / "run",
            cache=Path(folder) / "cache",
        )
        lines = (run / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    ends: dict[str, list[float]] = {}
    for row in rows:
        ends.setdefault(row["stage"], []).append(row["seconds"])
    print(f"{'stage':<16} seconds an epoch ({recipe.name}, {recipe.compute.threads} threads)")
    for stage, times in ends.items():
        steps = [b - a for a, b in itertools.pairwise(times)]
        print(f"{stage:<16} {statistics.median(steps):.2f}")


if __name__ == "__main__":
    main()
