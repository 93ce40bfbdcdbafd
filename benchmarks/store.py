"""Time and memory of building, opening and reading a store of many clips.

The recordings are random, of the size of MMAct: 500 accelerometer samples, 150 frames of 17 joints
in pixels. Every figure is of a process of its own. Needs 60 kB of disk for each clip.

Example: python benchmarks/store.py --clips 35000
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pskd.data.recording import Recording
from pskd.data.skeleton import SkeletonLayout
from pskd.data.store import Store, open_store

SAMPLES, FRAMES, BATCH = 128, 64, 64


class Synthetic:
    """As many random recordings as one likes; leaves the peak memory of the process that reads."""

    name, version = "synthetic", 1
    layout = SkeletonLayout("chain", tuple(map(str, range(17))), (0, *range(16)), (1, 0), 1, 2)

    def __init__(self, clips: int, peaks: Path) -> None:
        self.clips, self.peaks = clips, peaks

    def key(self) -> str:
        """Return something for each number of clips."""
        return str(self.clips)

    def trials(self) -> list[str]:
        """Return running numbers."""
        return [f"{n:06d}" for n in range(self.clips)]

    def load(self, trial: str) -> Recording:
        """Draw one recording."""
        rng = np.random.default_rng(int(trial))
        if int(trial) % 20 == 0:
            (self.peaks / str(os.getpid())).write_text(str(peak()))
        return Recording(
            id=trial,
            dataset=self.name,
            label=int(trial) % 37,
            subject=str(int(trial) % 20),
            trial=trial,
            acceleration=rng.standard_normal((500, 3), np.float32),
            rate=100.0,
            skeleton=rng.standard_normal((150, 17, 2), np.float32),
        )


def peak() -> int:
    """Most memory that this process has had, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1000


def build(source: Synthetic, folder: Path) -> dict[str, float]:
    """Build the store."""
    began = time.perf_counter()
    open_store(source, folder)
    seconds = time.perf_counter() - began
    workers = [int(file.read_text()) for file in source.peaks.iterdir()]
    return {"seconds": seconds, "parent_mb": peak(), "worker_mb": max(workers)}


def opening(source: Synthetic, folder: Path) -> dict[str, float]:
    """Open it."""
    began = time.perf_counter()
    store: Store = open_store(source, folder)
    return {"seconds": time.perf_counter() - began, "recordings": len(store), "mb": peak()}


def clips(source: Synthetic, folder: Path) -> dict[str, float]:
    """Stretch all its recordings."""
    from pskd.data.clips import make_clips

    store, before = open_store(source, folder), peak()
    began = time.perf_counter()
    make_clips(store, range(len(store)), SAMPLES, FRAMES)
    return {"seconds": time.perf_counter() - began, "mb": peak(), "mb_before": before}


def batches(source: Synthetic, folder: Path) -> dict[str, float]:
    """Read random batches: first when the files are in no cache, then again."""
    import torch

    from pskd.data.clips import VERSION, make_clips

    store = open_store(source, folder)
    began = time.perf_counter()
    made = make_clips(store, range(len(store)), SAMPLES, FRAMES)
    figures = {"open_ms": 1000 * (time.perf_counter() - began)}
    for file in (store.folder / f"clips-{VERSION}-{SAMPLES}x{FRAMES}").glob("*.npy"):
        with file.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    for state in ("uncached", "cached"):
        order = torch.randperm(len(made), generator=torch.Generator().manual_seed(0))
        times = []
        for index in order.split(BATCH):
            began = time.perf_counter()
            for name in ("acceleration", "skeleton"):
                made.read(name, index)
            times.append(1000 * (time.perf_counter() - began))
        p50, p99 = np.percentile(times, [50, 99])
        figures |= {f"{state}_p50_ms": p50, f"{state}_p99_ms": p99}
    return figures


STAGES = {"build": build, "open": opening, "clips": clips, "batches": batches}


def main() -> None:
    """Run every stage at a tenth of the clips, then at all; print figures and whole time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=35_000)
    parser.add_argument("--stage", choices=STAGES, help="this alone, in this process")
    parser.add_argument("--folder", type=Path, help="folder that this stage works in")
    options = parser.parse_args()
    if options.stage:
        peaks = options.folder / f"peaks-{options.clips}"
        peaks.mkdir(parents=True, exist_ok=True)
        figures = STAGES[options.stage](Synthetic(options.clips, peaks), options.folder)
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
        return
    with tempfile.TemporaryDirectory() as folder:
        for number in (options.clips // 10, options.clips):
            for stage in STAGES:
                command = [sys.executable, __file__, f"--stage={stage}", f"--clips={number}"]
                began = time.perf_counter()
                done = subprocess.run(
                    [*command, f"--folder={folder}"], check=True, stdout=subprocess.PIPE, text=True
                )
                whole = time.perf_counter() - began
                print(f"{number:>7} clips  {stage:<8} {done.stdout.strip()} in {whole:.2f} s")


if __name__ == "__main__":
    main()
