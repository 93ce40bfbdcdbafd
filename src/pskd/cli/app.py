"""The commands of training and of its results: parse, call, print."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.markup import escape
from rich.table import Table

from pskd import __version__
from pskd.cli import (
    adapt,
    certify,
    data,
    export,
    finetune,
    frontier,
    grids,
    hub,
    live,
    serve,
    stream_eval,
)
from pskd.cli.console import (
    DataRoot,
    JsonFlag,
    Plugins,
    Rate,
    Unit,
    bar,
    cache,
    err,
    out,
    print_json,
    remark,
    resumable,
    say,
    training_bars,
)
from pskd.errors import PskdError, UsageError
from pskd.recipe import Recipe, load_recipe, shipped
from pskd.train.plugins import load_plugins

app = typer.Typer(
    help="Distil what a camera sees into a model that a smartwatch can run.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
for commands in (
    grids, export, certify, finetune, adapt, frontier, hub, live, serve, stream_eval,
):  # fmt: skip
    app.add_typer(commands.app)
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY.PATH=VALUE", help="Changes to the recipe."),
]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print it.")] = False) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Run folder.")] = Path("runs/demo"),
    as_json: JsonFlag = False,
) -> None:
    """Train the whole method on simulated people: no download, a few minutes on a laptop.

    Example: pskd demo
    """
    _train(load_recipe("demo"), None, folder, as_json)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a YAML file.")],
    overrides: Overrides = None,
    data_root: DataRoot = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Run folder. Default: runs/RECIPE-seedN.")
    ] = None,
    plugin: Plugins = None,
    as_json: JsonFlag = False,
) -> None:
    """Train every stage of a recipe, and the student alone beside it.

    Stopped or killed, the same command goes on where it was.

    Example: pskd train utd-mhad --data-root ~/data seed=1
    """
    load_plugins(plugin or ())
    resolved = load_recipe(recipe, overrides or ())
    folder = folder or Path("runs") / f"{resolved.name}-seed{resolved.seed}"
    _train(resolved, data_root, folder, as_json)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data_root: DataRoot = None,
    plugin: Plugins = None,
    as_json: JsonFlag = False,
) -> None:
    """Predict the test side again from the saved weights of a run, and score it.

    Example: pskd evaluate runs/demo
    """
    from pskd.train.run import evaluate as evaluate_run

    load_plugins(plugin or ())
    evaluate_run(run, data_root=data_root, cache=cache())
    _show([run], as_json)


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(help="A run folder, one a seed, or one grid's folder.")
    ],
    page: Annotated[
        Path | None, typer.Option("--out", help="HTML page. Default: RUN/report.html for one run.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Of a grid: compare with this method, not with the grid's baseline."),
    ] = None,
    as_json: JsonFlag = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """Make the report of a run, of several seeds, or of a grid, from the run files alone.

    Example: pskd report runs/utd-mhad-seed*
    """
    from pskd.evaluate.report import markdown_table, write_report

    if len(runs) == 1 and (runs[0] / "grid.json").is_file():
        if markdown:
            grids.print_tables(runs[0], against)
        else:
            grids.show_study(runs[0], page, against=against, as_json=as_json)
        return
    if against:
        raise UsageError(
            "--against is for the folder of a grid",
            where=runs[0],
            remedy="Name the folder that `pskd compare` wrote",
        )
    if among := [run for run in runs if (run / "grid.json").is_file()]:
        raise UsageError(
            "the folder of a grid among others",
            where=among[0],
            remedy="Report it by itself, and name the runs by theirs",
        )
    if markdown:
        typer.echo(markdown_table(runs))
        return
    page = page or (runs[0] / "report.html" if len(runs) == 1 else Path("report.html"))
    written = write_report(runs, page)
    _show(runs, as_json)
    if not as_json:
        say(f"Report: {written}")


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder, or a student folder.")],
    file: Annotated[Path, typer.Argument(help="CSV or parquet: t,x,y,z, or x,y,z and --rate.")],
    unit: Unit = "auto",
    rate: Rate = None,
    hop: Annotated[float | None, typer.Option(help="Seconds between windows.")] = None,
    plugin: Plugins = None,
    as_json: JsonFlag = False,
) -> None:
    """Recognise what was done in a recording of a watch.

    Example: pskd predict runs/demo walk.csv --unit m/s2 --json
    """
    from pskd.data.accelerometer_file import read_recording
    from pskd.edge.predict import predict_windows
    from pskd.models.student_folder import find_student, load_student

    load_plugins(plugin or ())
    student, config = load_student(find_student(run))
    recording = read_recording(file, rate=rate, unit=unit)
    windows = predict_windows(student, config, recording, hop_seconds=hop)
    for note in recording.notes:
        remark(note)
    if as_json:
        rows = [asdict(w) for w in windows]
        print_json({"file": str(file), "notes": recording.notes, "windows": rows})
        return
    table = Table("from s", "to s", "class", "probability")
    for w in windows:
        name = escape(w.class_name)
        table.add_row(f"{w.start_s:.2f}", f"{w.end_s:.2f}", name, f"{w.probability:.3f}")
    out.print(table)


@app.command()
def recipes(as_json: JsonFlag = False) -> None:
    """List the recipes that ship.

    Example: pskd recipes
    """
    if as_json:
        print_json(shipped())
        return
    table = Table("recipe", "about")
    for name, about in shipped().items():
        table.add_row(name, about)
    out.print(table)


def main() -> NoReturn:
    """Run the command line: exit code 0, 1 where something failed, 2 for wrong use."""
    try:
        app(standalone_mode=True)
    except PskdError as error:
        err.print(f"pskd: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    sys.exit(0)


def _train(recipe: Recipe, data_root: Path | None, folder: Path, as_json: bool) -> None:
    from pskd.train.run import train as train_run

    with resumable():
        train_run(
            recipe,
            data_root=data_root,
            out=folder,
            cache=cache(),
            progress=training_bars,
            reading=partial(bar, "reading data"),
        )
    _show([folder], as_json)
    if not as_json:
        say(f"Report: {folder / 'report.html'}")


def _show(runs: list[Path], as_json: bool) -> None:
    from pskd.evaluate.report import as_json as to_json
    from pskd.evaluate.report import terminal_table

    if as_json:
        print_json(to_json(runs))
    else:
        out.print(terminal_table(runs))
