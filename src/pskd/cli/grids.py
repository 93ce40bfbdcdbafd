"""`pskd compare`: many runs from one grid, and the page that compares them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from pskd.cli.console import (
    JsonFlag,
    Plugins,
    cache,
    err,
    out,
    print_json,
    resumable,
    say,
    tasks_bar,
)
from pskd.errors import PskdError, UsageError
from pskd.files import write_atomic
from pskd.recipe import shipped
from pskd.recipe.grid import Cell, Grid, cells, load_grid, own_recipes, select

if TYPE_CHECKING:
    from pskd.evaluate.study import Study

app = typer.Typer()
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY.PATH=VALUE", help="Changes to every recipe."),
]
DataRoots = Annotated[
    list[str] | None,
    typer.Option(metavar="[DATASET=]FOLDER", help="Folder of a dataset's own files; again."),
]
GridFolder = Annotated[
    Path | None, typer.Option("--out", help="Folder of the grid. Default: runs/GRID.")
]
Names = Annotated[str | None, typer.Option(metavar="A,B", help="Only these, by commas.")]


@app.command()
def compare(
    grid: Annotated[str, typer.Argument(help="Name of a shipped grid, or a YAML file.")],
    overrides: Overrides = None,
    data_root: DataRoots = None,
    folder: GridFolder = None,
    methods: Names = None,
    tables: Names = None,
    seeds: Names = None,
    engine: Annotated[
        Literal["joblib", "ray", "dask"], typer.Option(help="Who runs the cells.")
    ] = "joblib",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Cells at a time. Default: all cores or the cluster.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray or Dask cluster that runs already.")
    ] = None,
    plugin: Plugins = None,
    stack: Annotated[
        bool, typer.Option("--stack", help="Train the seeds of a student as one model.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells, train none.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train every cell of a grid and compare the methods.

    Teachers are trained once and shared, finished cells are skipped, a cell that fails is named and
    the rest finish. Stopped or killed, the same command goes on where it was.

    Example: pskd compare demo-methods --jobs 2
    """
    from pskd.train.grid_checks import state_of

    read, beside = load_grid(grid, overrides or ())
    every = cells(read, beside)
    wanted = select(
        read, every, methods=_split(methods), tables=_split(tables), seeds=_numbers(seeds)
    )
    folder = folder or Path("runs") / read.name
    if dry_run:
        states = {cell.path.as_posix(): state_of(folder, cell) for cell in wanted}
        if as_json:
            print_json([{"cell": c, "done": s == "done", "state": s} for c, s in states.items()])
        else:
            say(*(f"{c}  {s}".rstrip() for c, s in states.items()))
        return
    failed = train_cells(
        read,
        every,
        wanted=wanted,
        recipes=own_recipes(read, beside),
        out=folder,
        data_roots=roots(data_root),
        cache=cache(),
        engine=engine,
        workers=jobs,
        address=address,
        plugins=plugin or (),
        stack=stack,
    )
    show_study(folder, as_json=as_json)
    tell_of_failed(failed, len(wanted))


def train_cells(grid: Grid, every: Sequence[Cell], **options: Any) -> list[str]:
    """`pskd.train.grid.compare` with a bar; returns the cells that failed."""
    from pskd.train.grid import compare as compare_cells

    def notice(text: str) -> None:
        err.print(text, style="yellow", markup=False, soft_wrap=True)

    with resumable(), tasks_bar() as told:
        failed = []
        for outcome in compare_cells(grid, every, notice=notice, **options):
            told(outcome)
            if outcome.error and outcome.task.cell:
                failed.append(str(outcome.task))
    return failed


def show_study(
    folder: Path, page: Path | None = None, *, against: str | None = None, as_json: bool = False
) -> None:
    """Write the page and the tables of a grid's folder, and print the tables.

    Against another method than the grid's own baseline, or with another page, nothing in the
    folder is written anew.

    Raises:
        PskdError: A cell cannot be read; all else is shown before.
    """
    from pskd.evaluate.study import load_study, study_json, study_terminal, write_study_report

    if against is None and page is None:
        study, page = write_study(folder)
    else:
        study = load_study(folder, against)
        page = write_study_report(study, page) if page else None
    if as_json:
        print_json(study_json(study))
    else:
        for table in study.tables:
            out.print(study_terminal(table))
        if page:
            say(f"Report: {page}")
    _tell_of_torn(study)


def print_tables(folder: Path, against: str | None = None) -> None:
    """Print the tables of a grid's folder in Markdown; raises as `show_study` does."""
    from pskd.evaluate.study import load_study, study_markdown

    study = load_study(folder, against)
    typer.echo("\n".join(study_markdown(table) for table in study.tables))
    _tell_of_torn(study)


def _tell_of_torn(study: Study) -> None:
    """Say what is not in the tables: where another method was asked about, and what is torn."""
    if study.left_out:
        words = f"Not shown, for they have nothing to compare: {', '.join(study.left_out)}"
        err.print(words, markup=False, soft_wrap=True)
    if torn := study.torn:
        more = f", and {len(torn) - 1} more" if len(torn) > 1 else ""
        raise PskdError(
            f"a finished cell cannot be read{more}: {torn[0].error.removesuffix('.')}",
            where=study.path,
        )


def write_study(folder: Path) -> tuple[Study, Path]:
    """Write the page and the tables of a grid's folder; returns what is in them, and the page.

    Pages of cells that were kept without theirs are made again: the grid's page points to them.
    """
    from pskd.evaluate.report import write_report
    from pskd.evaluate.study import load_study, study_latex, study_markdown, write_study_report

    study = load_study(folder)
    for cell in (c for table in study.tables for method in table.methods for c in method.cells):
        if not (cell.path / "report.html").exists():
            write_report([cell.path], cell.path / "report.html")
    page = write_study_report(study, folder / "report.html")
    for table in study.tables:
        for suffix, text in (("md", study_markdown(table)), ("tex", study_latex(table))):
            path = folder / f"{table.name}.{suffix}"
            write_atomic(path, text.encode(), remedy="Free some space, or name a page by --out")
    return study, page


def tell_of_failed(failed: Sequence[str], of: int) -> None:
    """Raise PskdError if cells failed."""
    if failed:
        raise PskdError(
            f"{len(failed)} of {of} cells failed: {', '.join(failed[:5])}"
            f"{', ...' if len(failed) > 5 else ''}",
            remedy="grid.json and the report say why; the same command tries them again",
        )


@app.command()
def grids(as_json: JsonFlag = False) -> None:
    """List the grids that ship.

    Example: pskd grids
    """
    if as_json:
        print_json(shipped("grid"))
        return
    table = Table("grid", "about")
    for name, about in shipped("grid").items():
        table.add_row(name, about)
    out.print(table)


def _split(names: str | None) -> list[str] | None:
    return [name.strip() for name in names.split(",")] if names is not None else None


def _numbers(seeds: str | None) -> list[int] | None:
    try:
        return None if seeds is None else [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise UsageError(
            f"--seeds {seeds!r} are not whole numbers", remedy="Write --seeds 0,1,2"
        ) from None


def roots(texts: Sequence[str] | None) -> dict[str, Path]:
    """Folders of datasets by their names; "" for any other."""
    return dict(_root(text) for text in texts or ())


def _root(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals:
        return "", Path(text)
    from pskd.datasets import DATASETS
    from pskd.errors import nearest

    if name not in DATASETS:
        raise UsageError(f"unknown dataset {name!r} in --data-root", remedy=nearest(name, DATASETS))
    return name, Path(path)
