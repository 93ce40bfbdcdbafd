"""Try damaged files on every parser, and damaged datasets on the making of stores.

Each parser runs in a process of its own that may take `MEMORY` bytes and, for a file, `SECONDS`
of the processor or twenty times that on the clock; a warning counts as a failure. What fails is
kept, cut down, in a folder. What must hold of stores stands in `fuzz.stores`.

    python -m fuzz.run --inputs 10000 --stores 500 --json figures.json
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from fuzz.mutate import damaged
from fuzz.stores import try_stores
from fuzz.targets import TARGETS, Target

SECONDS = 5.0
MEMORY = 2 << 30
_STATE = struct.Struct("<5Q")  # next input, accepted, refused, failed, and the slowest in ms
_COLUMNS = ("inputs", "accepted", "refused", "failed", "slowest_ms", "peak_mib", "seconds")
_MOST_KEPT = 20  # failures of a target, after which it is left alone


@dataclass
class Tally:
    """What came of the inputs of a target."""

    name: str
    inputs: int
    accepted: int
    refused: int
    failed: int
    slowest_ms: int
    peak_mib: int
    seconds: int


def make_input(target: Target, seed: int, number: int) -> bytes:
    """Make an input anew from its number."""
    random = Random(f"{seed}/{target.name}/{number}")
    data = random.choice(target.seeds)
    return damaged(random, data, target.seeds, target.kinds)


def limit(memory: int) -> None:
    """Limit the address space to what this process has and some bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def fault_of(target: Target, data: bytes) -> BaseException | bool:
    """Try an input; what it raised but may not, or whether it was accepted."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # their signals end the process
    signal.setitimer(signal.ITIMER_REAL, 20 * SECONDS)
    try:
        target.parse(data)
    except target.refuses:
        return False
    except Exception as error:
        return error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return True


def shortest(target: Target, data: bytes, fault: BaseException) -> bytes:
    """Cut off what is not needed to fail in the same way."""
    size, end = len(data) // 2, time.monotonic() + SECONDS
    while size and time.monotonic() < end:
        for cut in (data[:-size], data[size:]):
            if type(fault_of(target, cut)) is type(fault):
                data = cut
                break
        else:
            size //= 2
    return data


def keep(folder: Path, target: Target, number: int, data: bytes, story: str) -> None:
    """Keep an input that failed, and why."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{target.name.replace(' ', '-')}-{number}"
    (folder / f"{name}.bin").write_bytes(data)
    (folder / f"{name}.txt").write_text(story)


def _child(
    target: Target, seed: int, until: tuple[int, float], state: mmap.mmap, out: Path
) -> None:
    """Try inputs from where the state is; notes in the state outlive this process."""
    warnings.simplefilter("error")
    limit(MEMORY)
    number, accepted, refused, failed, slowest = _STATE.unpack_from(state)
    while number < until[0] and time.monotonic() < until[1] and failed < _MOST_KEPT:
        data = make_input(target, seed, number)
        start = time.process_time()
        found = fault_of(target, data)
        slowest = max(slowest, int(1000 * (time.process_time() - start)))
        if isinstance(found, BaseException):
            story = "".join(traceback.format_exception(found))
            keep(out, target, number, shortest(target, data, found), story)
        number, failed = number + 1, failed + isinstance(found, BaseException)
        accepted, refused = accepted + (found is True), refused + (found is False)
        _STATE.pack_into(state, 0, number, accepted, refused, failed, slowest)


def try_target(target: Target, seed: int, inputs: int, seconds: float, out: Path) -> Tally:
    """Try inputs on a target in child processes, until there were enough or the time is over."""
    target.seeds  # noqa: B018 - made once, here
    state, peak, start = mmap.mmap(-1, _STATE.size), 0, time.monotonic()
    until = (inputs, start + seconds)
    while True:
        child = os.fork()
        if not child:
            try:
                _child(target, seed, until, state, out)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        _, status, usage = os.wait4(child, 0)
        peak = max(peak, usage.ru_maxrss)
        number, accepted, refused, failed, slowest = _STATE.unpack_from(state)
        if status == 0:
            break
        code = os.waitstatus_to_exitcode(status)
        story = f"exit code {code}"
        if code in (-signal.SIGPROF, -signal.SIGALRM):
            story = f"took more than {SECONDS:g} s"
        keep(out, target, number, make_input(target, seed, number), story)
        _STATE.pack_into(state, 0, number + 1, accepted, refused, failed + 1, slowest)
    took = round(time.monotonic() - start)
    return Tally(target.name, number, accepted, refused, failed, slowest, peak >> 10, took)


def main() -> None:
    """Print a table, write the figures, and fail if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--inputs", type=int, default=1000, help="inputs a parser (1000)")
    parser.add_argument("--seconds", type=float, default=1e9, help="at most so long a parser")
    parser.add_argument("--stores", type=int, default=0, help="damaged datasets (0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(TARGETS), help="these parsers alone")
    parser.add_argument("--failures", type=Path, default=Path("runs/fuzz"), help="folder for them")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    chosen = parser.parse_args()
    shutil.rmtree(chosen.failures, ignore_errors=True)
    print(f"{'parser':24}" + "".join(f"{key:>11}" for key in _COLUMNS))
    tallies = []
    with tempfile.TemporaryDirectory(prefix="pskd-fuzz-") as scratch:
        tempfile.tempdir = scratch  # what a process that is killed leaves goes with it
        for name in TARGETS if chosen.only is None else chosen.only:
            t = try_target(
                TARGETS[name], chosen.seed, chosen.inputs, chosen.seconds, chosen.failures
            )
            tallies.append(t)
            print(f"{name:24}" + "".join(f"{getattr(t, key):11}" for key in _COLUMNS), flush=True)
        total = {key: sum(getattr(t, key) for t in tallies) for key in _COLUMNS[:4]}
        print(f"parsers: {total}", flush=True)
        stores = try_stores(chosen.stores, chosen.seed, chosen.failures, print)
        print(f"stores: {stores}")
    if chosen.json:
        figures = {"parsers": [asdict(t) for t in tallies], "total": total, "stores": stores}
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n")
    if failed := total["failed"] + stores["failed"]:
        sys.exit(f"{failed} failed; they are in {chosen.failures}")


if __name__ == "__main__":
    main()
