"""Cells an hour that `pskd compare` makes with each engine and number of workers.

Every run starts with an empty folder, and engines are asked in turn, so that a busy machine slows
all of them. The ratio is to joblib with one worker: a plain loop in one process.

Example: python benchmarks/engines.py demo-methods --jobs 1 2 --repeats 3
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LOOP = ("joblib", 1)


def measure(options: argparse.Namespace, engine: str, jobs: int) -> tuple[float, int]:
    """Return the cells an hour of one run of the grid, its start included, and its cells."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "grid"
        command = [sys.executable, "-c", "from pskd.cli import main; main()", "compare"]
        command += [options.grid, *options.overrides, "--out", str(out), "--json"]
        command += ["--engine", engine, "--jobs", str(jobs)]
        start = time.perf_counter()
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **options.env}
        )
        seconds = time.perf_counter() - start
        cells = json.loads((out / "grid.json").read_text())["cells"]
    done = sum(cell["state"] == "done" for cell in cells)
    return 3600 * done / seconds, done


def main() -> None:
    """Time every engine with every number of workers and print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grid", nargs="?", default="demo-methods")
    parser.add_argument("overrides", nargs="*", help="key.path=value")
    parser.add_argument("--engines", nargs="+", default=["joblib", "ray", "dask"])
    parser.add_argument("--jobs", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    options.env = {"OMP_NUM_THREADS": "1"}

    ways = [(engine, jobs) for engine in options.engines for jobs in options.jobs]
    if LOOP not in ways:
        ways.insert(0, LOOP)
    rates: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    for _ in range(options.repeats):
        for way in ways:
            rate, cells = measure(options, *way)
            rates[way].append(rate)
            print(f"{way[0]} {way[1]}: {cells} cells, {rate:.0f} an hour", file=sys.stderr)
    loop = statistics.median(rates[LOOP])
    print(f"{'engine':<8} {'workers':>7} {'cells an hour':>14} {'range':>13} {'ratio':>6}")
    for (engine, jobs), found in rates.items():
        middle = statistics.median(found)
        spread = f"{min(found):.0f}-{max(found):.0f}"
        print(f"{engine:<8} {jobs:>7} {middle:>14.0f} {spread:>13} {middle / loop:>6.2f}")


if __name__ == "__main__":
    main()
