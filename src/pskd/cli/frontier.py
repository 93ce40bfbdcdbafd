"""`pskd frontier`: how small a student may be, from a grid of widths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pskd.cli.console import JsonFlag, cache, print_json, say
from pskd.cli.grids import (
    DataRoots,
    GridFolder,
    Overrides,
    roots,
    tell_of_failed,
    train_cells,
    write_study,
)
from pskd.recipe.grid import Cell, cells, load_grid, own_recipes

app = typer.Typer()


@app.command()
def frontier(
    grid: Annotated[
        str, typer.Argument(help="Name of a grid, a YAML file, or the folder of a trained grid.")
    ] = "frontier",
    overrides: Overrides = None,
    data_root: DataRoots = None,
    folder: GridFolder = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Cells at a time. Default: all cores.")
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option("--time", metavar="A,B", help="Runtimes. Default: ONNX and C, if they are."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train students of several widths, with teachers and alone, and draw accuracy against size.

    The folder of a grid that was trained before is only drawn, and measured again with --time.
    Stopped or killed, the same command goes on where it was.

    Example: pskd frontier --data-root ~/data/utd-mhad
    """
    from pskd.edge.costs import measure, timeable, usable
    from pskd.evaluate.study.frontier import frontiers, read_costs
    from pskd.evaluate.study.frontier_page import answer, write_frontier

    names = usable() if targets is None else timeable(targets)
    costs = None
    failed: list[str] = []
    every: tuple[Cell, ...] = ()
    if (Path(grid) / "grid.json").is_file():
        folder = Path(grid)
        costs = read_costs(folder / "costs.json") if targets is None else None
    else:
        read, beside = load_grid(grid, overrides or ())
        every = cells(read, beside)
        folder = folder or Path("runs") / read.name
        failed = train_cells(
            read,
            every,
            recipes=own_recipes(read, beside),
            out=folder,
            data_roots=roots(data_root),
            cache=cache(),
            workers=jobs,
        )
    study, _ = write_study(folder)
    costs = costs or measure(study, names, folder)
    found = frontiers(study, costs)
    page = write_frontier(study, found, folder)
    if as_json:
        print_json({"page": page, "answers": {f.table.name: answer(f) for f in found}})
    else:
        say(*(answer(each) for each in found))
        say(f"Page: {page}")
    tell_of_failed(failed, len(every))
