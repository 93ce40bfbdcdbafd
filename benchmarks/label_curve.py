"""The curve of few labels: teacher, PSKD, self-training and the student alone by share labelled.

Reads the cells of the grid `few-labels`, tables `clips` and `camera_*`, in one folder or two, and
trains nothing. Lines are means over seeds, dots are seeds.

Example: python benchmarks/label_curve.py runs/few-labels docs/few-labels.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from pskd.evaluate.study import StudyTable, load_study


class Line(NamedTuple):
    """A stage of some methods' cells, what it is called and how it is drawn."""

    methods: str
    stage: str
    name: str
    colour: str
    marker: str


LINES = (
    Line("labelled_", "fused", "fused teacher (skeleton and accelerometer)", "#c77a00", "s"),
    Line("labelled_", "student", "PSKD student (accelerometer)", "#0062a8", "o"),
    Line("labelled_", "student_alone", "student alone, the same labels", "#8a8a8a", "^"),
    Line("self_", "student", "self-training, all clips, no skeleton", "#8c3f9e", "v"),
)


def draw(tables: Sequence[StudyTable]) -> Figure:
    """One panel: accuracy in percent against the share of labelled clips."""
    methods = {method.name: method for table in tables for method in table.methods}
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6.6, 3.8), layout="constrained")
        axes, shares = figure.add_subplot(), set[float]()
        for line in LINES:
            means: dict[float, float] = {}
            for method in (m for name, m in methods.items() if name.startswith(line.methods)):
                runs = [cell.run for cell in method.cells]
                found = [100 * run.summary.stages[line.stage].test.accuracy for run in runs]
                share = 100 * float(runs[0].recipe.get("labelled", 1.0))
                means[share] = sum(found) / len(found)
                axes.plot([share] * len(found), found, ".", color=line.colour, alpha=0.45)
            if not means:
                raise SystemExit(f"no cells of {line.methods}*: compare the tables that it needs")
            axes.plot(
                *zip(*sorted(means.items()), strict=True),
                marker=line.marker,
                color=line.colour,
                label=line.name,
                linewidth=2,
            )
            shares |= means.keys()
        axes.set_xscale("log")
        axes.set_xticks(sorted(shares), [f"{share:g} %" for share in sorted(shares)])
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
    parser.add_argument("grids", nargs="+", type=Path, help="folders of the grid few-labels")
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    tables = [table for grid in options.grids for table in load_study(grid).tables]
    draw([t for t in tables if t.name == "clips" or t.name.startswith("camera_")]).savefig(
        options.picture, dpi=150
    )


if __name__ == "__main__":
    main()
