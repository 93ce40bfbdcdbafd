"""Where the student fails on people it has not seen, and why: a picture and the figures behind it.

Above, the errors of each training subject, held out in turn, by the student alone (three seeds, as
`lab.py alone` left them) and by the fused teacher. Below, the habits: an action of somebody that
the student mostly takes for another one. How far are those clips from the other people's clips of
their own action, and how far from those of the action that they are taken for, by acceleration
and by skeleton (dynamic time warping, the nearest clip)?

Example: python benchmarks/inner_folds/failures.py --data-root ~/data --work /tmp/lab --out a.png
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import matplotlib as mpl
import torch
from judge import CLASSES, FOLDS, SEEDS, Data, Mistake, habits, mistakes
from lab import kept, read
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from teachers import teacher, tell
from torch import Tensor
from torch.nn import functional
from views import dtw, places_and_moves

from pskd.datasets.utd_mhad import UtdMhad

TRIALS = 4
STEPS = 64
TONES = {"acceleration": "#c24d00", "skeleton": "#3d7ea6"}
SIGNALS = tuple(TONES)


def described(data: Data, clips: Tensor, signal: str) -> Tensor:
    """Clips over time [n, STEPS, D]: in g, or where each joint is and how it moves."""
    if signal == "acceleration":
        return functional.adaptive_avg_pool1d(data.x[clips], STEPS).mT
    return places_and_moves(data.skeleton[clips])


def nearest(data: Data, clips: Tensor, others: Tensor, signal: str) -> float:
    """Distance to the nearest of the others, mean over the clips."""
    a, b = clips.repeat_interleave(len(others)), others.repeat(len(clips))
    _, apart = dtw(described(data, a, signal), described(data, b, signal), STEPS)
    return float(apart.view(len(clips), -1).min(1).values.mean())


def ratio(data: Data, mistake: Mistake, signal: str) -> float:
    """How much farther the own action of the others is than the one that it is taken for."""
    subject, *actions = mistake
    own = data.subjects == subject
    clips = (own & (data.labels == actions[0])).nonzero().flatten()
    right, wrong = (
        nearest(data, clips, (~own & (data.labels == action)).nonzero().flatten(), signal)
        for action in actions
    )
    return right / wrong


def draw(panel: Axes, made: dict[str, Counter[Mistake]], names: list[str]) -> None:
    """Errors in percent by subject and action, one row for each who was asked."""
    rows, shares = [], []
    for subject in FOLDS:
        for who, errors in made.items():
            asked = TRIALS * (len(SEEDS) if who == "student" else 1)
            row = [0.0] * CLASSES
            for (one, true, _), n in errors.items():
                if one == subject:
                    row[true] += 100 * n / asked
            rows.append(row)
            shares.append(f"{who}, subject {subject}")
    panel.imshow(rows, cmap="Oranges", vmin=0, vmax=100, aspect="auto")
    panel.set_xticks(range(CLASSES), names, rotation=90)
    panel.set_yticks(range(len(rows)), shares)
    for y, row in enumerate(rows):
        for x, share in enumerate(row):
            if share:
                tone = "white" if share > 60 else "black"
                panel.text(x, y, f"{share:.0f}", ha="center", va="center", fontsize=7, color=tone)
    for y in range(len(made), len(rows), len(made)):
        panel.axhline(y - 0.5, color="white", lw=3)
    panel.set_title("Errors, % of the clips of an action", loc="left")


def main() -> None:
    """Draw it, and print the habits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="that of lab.py")
    parser.add_argument("--out", type=Path, required=True, help="a PNG")
    options = parser.parse_args()
    data = read(options.data_root, options.work)
    names = [name.replace("_", " ") for name in UtdMhad.classes]
    said = torch.load(kept(options.work, "alone", SEEDS), weights_only=True)
    student = mistakes(
        (fold, logits, data.labels[data.fold(fold)[1]]) for (fold, _), logits in said.items()
    )
    experts = []
    for fold in FOLDS:
        _, test = data.fold(fold)
        model = teacher(data, (fold,), "fused", options.work)
        experts.append((fold, tell(model, data, test), data.labels[test]))
    made = {"student": student, "teacher": mistakes(experts)}
    known = sorted(habits(student, len(SEEDS)).items(), key=lambda pair: -pair[1])
    ratios = [{signal: ratio(data, mistake, signal) for signal in SIGNALS} for mistake, _ in known]

    with mpl.rc_context({"font.size": 9, "figure.facecolor": "#fbfaf6"}):
        drawn = Figure(figsize=(12, 8.5), dpi=100, layout="constrained")
        above, below = drawn.subplots(2, 1, height_ratios=[1.0, 0.9])
        draw(above, made, names)
        labels = []
        for y, ((mistake, n), both) in enumerate(zip(known, ratios, strict=True)):
            subject, true, other = mistake
            labels.append(
                f"subject {subject}: {names[true]},\ntaken for {names[other]} ({n} of 12)"
            )
            for signal in SIGNALS:
                below.plot(both[signal], y, "o", ms=8, color=TONES[signal])
            line = {"habit": mistake, "action": names[true], "taken_for": names[other], "trials": n}
            taught = sum(m for key, m in made["teacher"].items() if key[:2] == mistake[:2])
            print(json.dumps({**line, "errors_of_the_teacher": taught, "ratio": both}), flush=True)
        below.axvline(1, color="black", lw=1)
        below.set_yticks(range(len(labels)), labels)
        below.invert_yaxis()
        below.set_xscale("log")
        below.set_xticks([0.5, 0.7, 1, 1.4, 2], ["0.5", "0.7", "1", "1.4", "2"])
        below.minorticks_off()
        below.set_xlabel(
            "Distance to others' clips of the own action / to those of the action it is taken for"
        )
        for signal in SIGNALS:
            below.plot([], [], "o", color=TONES[signal], label=f"by {signal}")
        below.legend(loc="lower right")
        below.set_title("Habits: right of 1, the clips look more like the wrong action", loc="left")
        drawn.savefig(options.out, metadata={"Software": None})


if __name__ == "__main__":
    main()
