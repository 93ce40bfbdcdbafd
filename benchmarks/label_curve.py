"""The curve of few labels: fused teacher, PSKD and the student alone against the share labelled.

Reads the cells of the grid `few-labels`, table `clips`, and trains nothing. Lines are means over
seeds, dots are seeds.

Example: python benchmarks/label_curve.py runs/few-labels docs/few-labels.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from pskd.evaluate.study import StudyTable, load_study


class Line(NamedTuple):
    """A stage of the cells, what it is called and how it is drawn."""

    stage: str
    name: str
    colour: str
    marker: str


LINES = (
    Line("fused", "fused teacher (skeleton and accelerometer)", "#c77a00", "s"),
    Line("student", "PSKD student (accelerometer)", "#0062a8", "o"),
    Line("student_alone", "student alone, the same labels", "#8a8a8a", "^"),
)


def draw(table: StudyTable) -> Figure:
    """One panel: accuracy in percent against the share of labelled clips."""
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6.6, 3.8), layout="constrained")
        axes = figure.add_subplot()
        for line in LINES:
            shares, means = [], []
            for method in table.methods:
                runs = [cell.run for cell in method.cells]
                found = [100 * run.summary.stages[line.stage].test.accuracy for run in runs]
                share = 100 * float(runs[0].recipe.get("labelled", 1.0))
                shares.append(share)
                means.append(sum(found) / len(found))
                axes.plot([share] * len(found), found, ".", color=line.colour, alpha=0.45)
            axes.plot(
                shares, means, marker=line.marker, color=line.colour, label=line.name, linewidth=2
            )
        axes.set_xscale("log")
        axes.set_xticks(shares, [f"{share:g} %" for share in shares])
        axes.minorticks_off()
        axes.set_xlabel("training clips with a label; all are pairs")
        axes.set_ylabel("accuracy on new people, %")
        axes.grid(axis="y", alpha=0.3)
        axes.legend(frameon=False, loc="lower right")
    return figure


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grid", type=Path, help="folder of the grid few-labels")
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    (table,) = (table for table in load_study(options.grid).tables if table.name == "clips")
    draw(table).savefig(options.picture, dpi=150)


if __name__ == "__main__":
    main()
