"""Times Gramian angular fields against pyts, after checking that both give the same images.

Times are the best of several runs, so that other work on the machine counts least.
`fresh` makes new images, `reused` writes them to the same memory each time (`out=`).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

# numpy, and so pyts, asks for huge pages on Linux; torch does when told so before it starts.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import numpy as np
import torch

from pskd.signal.gaf import METHODS, gramian_angular_field

GOAL = 10.0


def milliseconds(job: Callable[[], object], repeats: int) -> float:
    """Best time of a job, after one run that does not count."""
    job()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def compare(x: torch.Tensor, method: str, repeats: int) -> dict[str, float]:
    """Milliseconds of pyts and of pskd, fresh and reused; raises if their images differ."""
    from pyts.image import GramianAngularField

    series = x.flatten(0, 1).double().numpy()  # what pyts calculates in: no conversion is timed
    pyts = GramianAngularField(method=method)
    out = torch.empty(*x.shape, x.shape[-1])
    gramian_angular_field(x, method=method, out=out)
    error = np.abs(out.flatten(0, 1).numpy() - pyts.transform(series)).max()
    if error > 1e-5:
        raise SystemExit(f"{method}: images differ from those of pyts by {error:.2g}")
    jobs: dict[str, Callable[[], object]] = {
        "pyts": lambda: pyts.transform(series),
        "fresh": lambda: gramian_angular_field(x, method=method),
        "reused": lambda: gramian_angular_field(x, method=method, out=out),
    }
    return {name: milliseconds(job, repeats) for name, job in jobs.items()}


def main() -> None:
    """Print a table, and a line of JSON for a program to read."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: python benchmarks/gaf.py --batch 256 --samples 128"
    )
    parser.add_argument("--batch", type=int, default=256, help="windows (default: 256)")
    parser.add_argument("--samples", type=int, default=128, help="samples (default: 128)")
    parser.add_argument("--repeats", type=int, default=20, help="timed runs (default: 20)")
    chosen = parser.parse_args()

    x = torch.randn(chosen.batch, 3, chosen.samples, generator=torch.Generator().manual_seed(0))
    rows: list[dict[str, Any]] = []
    print(
        f"{chosen.batch} x 3 x {chosen.samples}, milliseconds, times faster than pyts in brackets"
    )
    print(f"{'method':<12}{'threads':>7}{'pyts':>9}{'fresh':>17}{'reused':>17}")
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        for method in METHODS:
            took = compare(x, method, chosen.repeats)
            ratios = {name: took["pyts"] / took[name] for name in ("fresh", "reused")}
            cells = "".join(f"{took[n]:>9.1f} {f'({r:.1f})':>7}" for n, r in ratios.items())
            print(f"{method:<12}{threads:>7}{took['pyts']:>9.1f}{cells}", flush=True)
            rows.append({"method": method, "threads": threads, "milliseconds": took, **ratios})
    single = [row for row in rows if row["threads"] == 1]  # pyts never uses more
    print(
        json.dumps(
            {
                "shape": list(x.shape),
                "goal": GOAL,
                "ratio": min(row["reused"] for row in single),
                "ratio_fresh": min(row["fresh"] for row in single),
                "rows": rows,
                "versions": {name: version(name) for name in ("torch", "pyts", "numpy")},
            }
        )
    )


if __name__ == "__main__":
    main()
