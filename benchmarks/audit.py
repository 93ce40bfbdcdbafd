"""What the audit takes for a copy: false alarms on honest splits, and planted copies found.

Honest splits: comparisons of two recordings, how many are called copies, and the smallest
discrepancy of any that would pass for a copy but for its size. `any pair` holds every recording
against every other one; the thresholds were chosen among the training subjects. Planted copies:
recordings of training subjects, changed and put on the test side.

Example: python benchmarks/audit.py --data-root ~/data --subjects 250
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pskd.data.audit import audit
from pskd.data.audit.candidates import Candidates
from pskd.data.audit.copies import LEAK, WARNING
from pskd.data.audit.near import near_duplicates
from pskd.data.audit.shared_samples import Fingerprints
from pskd.data.audit.signals import Signals, read_signals
from pskd.data.protocols import Split, make_split
from pskd.data.store import Store, open_store
from pskd.datasets import Dataset, dataset
from pskd.errors import DataError

Signal = NDArray[np.float64]
Change = Callable[[Signal, np.random.Generator], Signal]


def resampled(x: Signal, share: float) -> Signal:
    """Interpolate linearly, with nothing done against aliasing: the worst way."""
    at = np.linspace(0, len(x) - 1, round(share * len(x)))
    return np.stack([np.interp(at, np.arange(len(x)), axis) for axis in x.T], axis=1)


def shifted(x: Signal, rng: np.random.Generator, share: float) -> Signal:
    """Begin later, and rest at the end."""
    n = round(share * len(x))
    return np.concatenate([x[n:], x[-1] + rng.normal(0, 0.01, (n, 3))])


def cropped(x: Signal, rng: np.random.Generator, share: float) -> Signal:
    """Cut some off both ends."""
    n = round(share * len(x))
    start = rng.integers(0, n + 1)
    return x[start : len(x) - (n - start)]


def turned(x: Signal, rng: np.random.Generator, degrees: float) -> Signal:
    """Turn about any axis."""
    axis = rng.normal(size=3)
    angle = Rotation.from_rotvec(degrees * axis / np.linalg.norm(axis), degrees=True)
    return angle.apply(x)


def noisy(x: Signal, rng: np.random.Generator, size: float) -> Signal:
    """Add white noise."""
    return x + rng.normal(0, size, x.shape)


CHANGES: dict[str, Change] = {
    "resampled to 0.8": lambda x, rng: resampled(x, 0.8),
    "noise 0.01 g": lambda x, rng: noisy(x, rng, 0.01),
    "noise 0.02 g": lambda x, rng: noisy(x, rng, 0.02),
    "noise 0.05 g": lambda x, rng: noisy(x, rng, 0.05),
    "shift 5 %": lambda x, rng: shifted(x, rng, 0.05),
    "crop 5 %": lambda x, rng: cropped(x, rng, 0.05),
    "crop 10 %": lambda x, rng: cropped(x, rng, 0.10),
    "gain 1.05": lambda x, rng: 1.05 * x,
    "8 bits over 16 g": lambda x, rng: np.round(x * 16) / 16,
    "turned by 5 degrees": lambda x, rng: turned(x, rng, 5),
    "crop 10 %, noise 0.02 g": lambda x, rng: noisy(cropped(x, rng, 0.1), rng, 0.02),
    "crop 5 %, 1.05, 5 degrees, 0.02 g": lambda x, rng: noisy(
        turned(1.05 * cropped(x, rng, 0.05), rng, 5), rng, 0.02
    ),
}


def honest(source: Dataset, store: Store, train: list[int], trials: list[int]) -> None:
    """Print a line for each honest split."""
    signals = read_signals(store)
    candidates, fingerprints = Candidates(signals), Fingerprints(signals)
    for name, splits in _splits(source, store, train, trials):
        pairs, nearest, called = 0, np.inf, {"leak": 0, "warning": 0}
        for split in splits:
            ours, theirs = np.array(split.train), np.array(split.test)
            pairs += len(ours) * len(theirs)
            found = [m.discrepancy for m in near_duplicates(signals, candidates, ours, theirs)]
            nearest = min([nearest, *found])
            called["leak"] += sum(d < LEAK for d in found)
            called["leak"] += len(fingerprints.between(ours, theirs))
            called["warning"] += sum(LEAK <= d < WARNING for d in found)
        size = f"{nearest:.3f}" if nearest < np.inf else "none"
        print(
            f"{source.name:<14}{name:<24}{pairs:>14,}{called['leak']:>7}{called['warning']:>9}"
            f"{size:>10}",
            flush=True,
        )


def _splits(
    source: Dataset, store: Store, train: list[int], trials: list[int]
) -> Iterator[tuple[str, list[Split]]]:
    infos = store.info
    people = sorted({int(i.subject) for i in infos})
    known = [i for i, info in enumerate(infos) if int(info.subject) in train]
    if len(infos) < 5000:
        yield "any pair, training", list(_halves(known))
        yield "any pair", list(_halves(list(range(len(infos)))))
        folds = [
            make_split("leave_one_subject_out", infos, source.classes, {"held_out": p})
            for p in people
        ]
        yield "leave_one_subject_out", folds
    test = [p for p in people if p not in train]
    chosen = {"train": train, "test": test}
    yield "cross_subject", [make_split("cross_subject", infos, source.classes, chosen)]
    others = sorted({int(i.trial) for i in infos} - set(trials))
    chosen = {"train": trials, "test": others}
    yield "trial_split", [make_split("trial_split", infos, source.classes, chosen)]


def _halves(indices: list[int]) -> Iterator[Split]:
    """Divide in halves, in as many ways as it takes to separate every pair at least once."""
    for bit in range(len(indices).bit_length()):
        first = tuple(i for n, i in enumerate(indices) if n >> bit & 1)
        second = tuple(i for n, i in enumerate(indices) if not n >> bit & 1)
        if first and second:
            yield Split("halves", first, (), second, False, "")


def planted(source: Dataset, store: Store, train: list[int], count: int) -> None:
    """Print a line for each kind of copy."""
    signals = read_signals(store)
    known = np.array([i for i, info in enumerate(store.info) if int(info.subject) in train])
    rest = np.setdiff1d(np.arange(len(signals)), known)
    for kind, change in CHANGES.items():
        rng = np.random.default_rng(0)
        originals = rng.choice(known, min(count, len(known)), replace=False)
        copies = [change(signals.of(i).astype(np.float64), rng) for i in originals]
        both = _with(signals, [c.astype(np.float32) for c in copies], signals.rates[originals])
        theirs = np.concatenate([rest, np.arange(len(signals), len(both))])
        truth = dict(zip(range(len(signals), len(both)), originals.tolist(), strict=True))
        matches = near_duplicates(both, Candidates(both), known, theirs)
        right = [m.discrepancy for m in matches if truth.get(m.second) == m.first]
        stretches = Fingerprints(both).between(known, theirs)
        same = sum(truth.get(s.second) == s.first for s in stretches)
        leak, warned = (sum(d < line for d in right) / len(truth) for line in (LEAK, WARNING))
        print(
            f"{source.name:<14}{kind:<34}{leak:>8.1%}{warned:>12.1%}{same / len(truth):>14.1%}",
            flush=True,
        )


def _with(signals: Signals, more: list[NDArray[np.float32]], rates: NDArray[np.float64]) -> Signals:
    lengths = np.concatenate([signals.lengths, [len(x) for x in more]])
    return replace(
        signals,
        samples=np.concatenate([signals.samples, *more]),
        starts=np.cumsum([0, *lengths[:-1]]),
        lengths=lengths,
        rates=np.concatenate([signals.rates, rates]),
    )


def main() -> None:
    """Print both tables, and what an audit of everything costs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, help="with UTD-MHAD, Berkeley-MHAD, or both")
    parser.add_argument("--cache", type=Path, help="folder of the stores (default: a new one)")
    parser.add_argument("--subjects", type=int, default=20, help="simulated people (default: 20)")
    parser.add_argument("--count", type=int, default=200, help="copies planted (default: 200)")
    options = parser.parse_args()
    people = options.subjects
    simulated = dataset("simulated", None, {"subjects": people, "trials": 10})
    cases = [(simulated, list(range(1, people * 4 // 5 + 1)), list(range(1, 9)))]
    for name, train, trials in (
        ("utd_mhad", [1, 3, 5, 7], [1, 2]),
        ("berkeley_mhad", [1, 2, 3, 4, 5, 6, 7], [1, 2, 3]),
    ):
        with suppress(DataError):  # it is not there
            cases.append((dataset(name, options.data_root), train, trials))
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        opened = [(source, open_store(source, cache), *chosen) for source, *chosen in cases]
        print(
            f"{'dataset':<14}{'honest split':<24}{'comparisons':>14}{'leaks':>7}{'warnings':>9}",
            end="",
        )
        print(f"{'nearest':>10}")
        for case in opened:
            honest(*case)
        print(f"\n{'dataset':<14}{'planted':<34}{'leak':>8}{'or warning':>12}{'same samples':>14}")
        for source, store, train, _ in opened:
            planted(source, store, train, options.count)
        print(f"\n{'dataset':<14}{'recordings':>10}{'seconds of a core':>20}")
        for source, store, train, trials in opened:
            *_, (_, (split,)) = _splits(source, store, train, trials)
            start = time.process_time()
            audit(store, split, source.classes)
            print(f"{source.name:<14}{len(store):>10,}{time.process_time() - start:>20.1f}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"at most {peak / 1e6:.1f} GB of memory in all of this")


if __name__ == "__main__":
    main()
