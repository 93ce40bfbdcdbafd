"""`pskd finetune`: a student that loses less when it is quantised."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pskd.cli.console import (
    DataRoot,
    JsonFlag,
    Plugins,
    bar,
    cache,
    out,
    print_json,
    resumable,
    say,
    training_bars,
)

app = typer.Typer()


@app.command()
def finetune(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    data_root: DataRoot = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training clips. Default: 10.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Run folder. Default: RUN-int8.")
    ] = None,
    plugin: Plugins = None,
    as_json: JsonFlag = False,
) -> None:
    """Train the student of a run on with simulated int8, so that its int8 exports lose less.

    Its teachers, where it had any, teach again; nothing else is trained again. Stopped or killed,
    the same command goes on where it was.

    Example: pskd finetune runs/demo
    """
    from pskd.evaluate.report import as_json as to_json
    from pskd.evaluate.report import terminal_table
    from pskd.train.finetune import EPOCHS
    from pskd.train.finetune import finetune as finetune_run
    from pskd.train.plugins import load_plugins

    load_plugins(plugin or ())
    run = run.resolve()
    folder = folder or run.with_name(f"{run.name}-int8")
    with resumable():
        finetune_run(
            run,
            data_root=data_root,
            out=folder,
            cache=cache(),
            epochs=epochs or EPOCHS,
            progress=training_bars,
            reading=partial(bar, "reading data"),
        )
    if as_json:
        print_json(to_json([folder]))
        return
    out.print(terminal_table([folder]))
    say(f"Report: {folder / 'report.html'}")
