"""Builds and reads the store of a simulated MMAct, and measures time and memory.

The data are simulated once into a folder, in the official archives, and used again if they are
there. The store is then built, opened and read in processes of their own. Memory is resident memory
as /proc says, of the building process and of those that it starts, sampled ten times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GOALS = {"rss": 2048.0, "open": 1.0, "batch": 20.0}
"""MiB of all processes together, seconds to open a built store, ms of a batch."""

BATCH = 64


def simulate(data: Path, clips: int) -> None:
    """Write the simulated dataset, unless it is there."""
    from pskd.datasets.twins.mmact import write

    if (data / "trimmed_pose.zip").exists():
        return
    takes = -(-clips // (20 * 35 * 4))
    start = time.perf_counter()
    part = data.with_name(f".{data.name}.part")  # so that half of it is never taken for all
    shutil.rmtree(part, ignore_errors=True)
    written = write(part, subjects=20, trials=takes, clips=clips, progress=bar)
    part.rename(data)
    print(f"\nsimulated {written} clips in {time.perf_counter() - start:.0f} s", flush=True)


def bar(done: int, total: int) -> None:
    """Show progress, about a hundred times in all."""
    if done * 100 // total != (done - 4) * 100 // total:
        print(f"\r{done} of {total}", end="", flush=True)


def build(data: Path, cache: Path) -> None:
    """Build the store; print a line for each hundredth of it, then what it came to as JSON."""
    from pskd.data.store import open_store
    from pskd.datasets.mmact import MMAct

    start = time.perf_counter()

    def progress(done: int, total: int) -> None:
        if done * 100 // total != (done - 1) * 100 // total:
            print(done, flush=True)

    store = open_store(MMAct(data), cache, progress=progress)
    print(json.dumps([len(store), len(store.set_aside), time.perf_counter() - start]), flush=True)


def read(data: Path, cache: Path) -> None:
    """Open the built store, make clips and read batches; print one line of JSON."""
    import numpy as np
    import torch

    from pskd.data.clips import make_clips
    from pskd.data.store import open_store
    from pskd.datasets.mmact import MMAct

    start = time.perf_counter()
    store = open_store(MMAct(data), cache)
    took = {"open_s": time.perf_counter() - start}
    took["clip_s"] = sum(i.seconds for i in store.info) / len(store)
    start = time.perf_counter()
    make_clips(store, range(len(store)), samples=128, frames=64)
    took["stretch_s"] = time.perf_counter() - start
    start = time.perf_counter()
    clips = make_clips(store, range(len(store)), samples=128, frames=64)
    took["clips_again_s"] = time.perf_counter() - start
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(500):
        index = torch.from_numpy(rng.integers(0, len(clips), BATCH))
        start = time.perf_counter()
        for name in ("acceleration", "skeleton"):
            clips.read(name, index)
        batches.append(1000 * (time.perf_counter() - start))
    took["batch_p50_ms"], took["batch_p99_ms"] = np.percentile(batches, [50, 99]).tolist()
    print(json.dumps(took))


def resident(pid: int) -> dict[int, float]:
    """Resident memory of a process and of all below it, MiB."""
    found: dict[int, float] = {}
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it has ended
        found[pid] = pages * os.sysconf("SC_PAGESIZE") / 2**20
    return found


class Peak:
    """Highest memory of the first process, of any other, and of all together."""

    def __init__(self) -> None:
        self.parent = self.worker = self.all = 0.0

    def see(self, found: dict[int, float], parent: int) -> None:
        """Take a sample into account."""
        workers = [size for pid, size in found.items() if pid != parent]
        self.parent = max(self.parent, found.get(parent, 0.0))
        self.worker = max(self.worker, *workers, 0.0)
        self.all = max(self.all, sum(found.values()))


def measured_build(data: Path, cache: Path) -> dict[str, Any]:
    """Build the store in a process of its own and watch it."""
    command = [sys.executable, __file__, "--step", "build", str(data), "--cache", str(cache)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    peak, said = Peak(), b""
    tenth: dict[str, float] | None = None
    while process.poll() is None:
        peak.see(resident(process.pid), process.pid)
        said += process.stdout.read() or b""
        if tenth is None and said.count(b"\n") > 10:  # a line for each hundredth, and one before
            tenth = dict(vars(peak))
        time.sleep(0.1)
    said += process.stdout.read() or b""
    if process.returncode:
        raise SystemExit("the build failed")
    recordings, set_aside, seconds = json.loads(said.splitlines()[-1])
    return {
        "clips": recordings + set_aside,
        "set_aside": set_aside,
        "seconds": seconds,
        "rss_at_a_tenth_mib": tenth,
        "rss_mib": vars(peak),
    }


def main() -> None:
    """Print what was measured, and a line of JSON for a program to read."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: python benchmarks/mmact.py /tmp/mmact --clips 1000"
    )
    parser.add_argument("data", type=Path, help="folder of the simulated data, made if missing")
    parser.add_argument("--clips", type=int, default=35_000, help="how many (default: 35000)")
    parser.add_argument("--cache", type=Path, help="folder of the store (default: a temporary one)")
    parser.add_argument("--step", choices=["build", "read"], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        {"build": build, "read": read}[chosen.step](chosen.data, chosen.cache)
        return
    simulate(chosen.data, chosen.clips)
    with tempfile.TemporaryDirectory(dir=chosen.cache, prefix="pskd-") as folder:
        cache = Path(folder)
        result = measured_build(chosen.data, cache)
        command = [sys.executable, __file__, "--step", "read", str(chosen.data), "--cache", folder]
        result |= json.loads(subprocess.check_output(command, text=True))
        result["store_mib"] = sum(f.stat().st_size for f in cache.rglob("*")) / 2**20
    print(
        f"{result['clips']} clips, {result['set_aside']} of them set aside: "
        f"{result['seconds']:.1f} s, {result['clips'] / result['seconds']:.0f} a second, "
        f"{os.cpu_count()} processors; a clip has {result['clip_s']:.1f} s on average"
    )
    for when, peak in (("a tenth", result["rss_at_a_tenth_mib"]), ("all", result["rss_mib"])):
        print(
            f"resident memory until {when}: {peak['parent']:.0f} MiB, workers up to "
            f"{peak['worker']:.0f} each, {peak['all']:.0f} together (goal {GOALS['rss']:.0f})"
        )
    print(f"opening the store: {result['open_s']:.2f} s (goal {GOALS['open']:g})")
    print(
        f"batch of {BATCH}: {result['batch_p50_ms']:.1f} ms, 99th percentile "
        f"{result['batch_p99_ms']:.1f} (goal {GOALS['batch']:g})"
    )
    print(json.dumps({"goals": GOALS, **result}))


if __name__ == "__main__":
    main()
