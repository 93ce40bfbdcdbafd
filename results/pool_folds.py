"""Pool the folds of leave_one_subject_out: every recording is tested once a seed.

Example: python results/pool_folds.py runs/berkeley-mhad-loso/* > results/berkeley-mhad-loso.md
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from pskd.evaluate import load_run
from pskd.evaluate.metrics import score

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("runs", nargs="+", type=Path, help="run folders, one a fold and seed")
runs = [load_run(path) for path in parser.parse_args().runs]

folds = defaultdict(list)
for run in runs:
    assert run.summary.protocol.name == "leave_one_subject_out", run.path
    folds[run.summary.seed].append(run)

scores = {}
for seed, members in sorted(folds.items()):
    tested = [run.predictions[run.summary.student] for run in members]
    names = [name for said in tested for name in said.recordings]
    assert len(set(names)) == len(names), f"seed {seed}: a recording is tested twice"
    scores[seed] = score(
        np.concatenate([said.true for said in tested]),
        np.concatenate([said.predicted for said in tested]),
        [subject for said in tested for subject in said.subjects],
        members[0].summary.dataset.classes,
    )

facts = runs[0].summary
accuracy, f1 = (
    [100 * getattr(s, name) for s in scores.values()] for name in ("accuracy", "macro_f1")
)
deviation = f" ± {np.std(accuracy, ddof=1):.1f}" if len(scores) > 1 else ""
print(f"**{facts.dataset.title}, leave_one_subject_out: all recordings tested once a seed**\n")
print("| seed | recordings | accuracy % | macro-F1 % |\n|---|---:|---:|---:|")
for seed, s in scores.items():
    print(f"| {seed} | {s.n} | {100 * s.accuracy:.1f} | {100 * s.macro_f1:.1f} |")
print(f"| mean | | {np.mean(accuracy):.1f}{deviation} | {np.mean(f1):.1f} |\n")
people = sorted({name for s in scores.values() for name in s.per_subject}, key=int)
means = (np.mean([100 * s.per_subject[name] for s in scores.values()]) for name in people)
words = ", ".join(f"{name}: {mean:.0f}" for name, mean in zip(people, means, strict=True))
print(f"Accuracy by subject, mean over seeds: {words}.")
