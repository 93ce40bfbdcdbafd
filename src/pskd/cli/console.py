"""What all commands share: where they print, their common options, the cache, progress bars."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pooch
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from pskd.train.fit import Progress as EpochDone
    from pskd.train.grid import Outcome

# Nothing printed is meant as an emoji: `:CD:` stands in fingerprints of certificates.
out = Console(width=None if sys.stdout.isatty() else 120, emoji=False)  # tables keep their words
err = Console(stderr=True, emoji=False)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Unit = Annotated[
    Literal["g", "m/s2", "auto"],
    typer.Option(help="Unit of the recording; auto reads it off gravity."),
]
Rate = Annotated[float | None, typer.Option(help="Samples a second, without a t.")]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Folder with the dataset's own files.")
]

Student = Annotated[
    Path | None, typer.Option(help="Student folder that `pskd adapt` made of the run's.")
]

Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="Python file with models or losses of your own; again."),
]


def print_json(content: Any) -> None:
    """Print plain values and paths for a program to read."""
    typer.echo(json.dumps(content, indent=2, default=os.fspath))


def say(*lines: str, style: str | None = None) -> None:
    """Print lines that may hold anything, such as names of files, as they are."""
    for line in lines:
        out.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def remark(line: str) -> None:
    """Print a line beside the results, on stderr, as it is."""
    err.print(line, markup=False, highlight=False, soft_wrap=True)


def cache() -> Path:
    """Folder of parsed datasets: PSKD_CACHE, or where the platform keeps caches."""
    return Path(os.environ.get("PSKD_CACHE") or pooch.os_cache("pskd"))


@contextmanager
def training_bars() -> Iterator[Callable[[EpochDone], None]]:
    """A bar a stage, with loss and time left; silent where nobody looks at a terminal."""
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=err, disable=not err.is_terminal) as bars:

        def told(done: EpochDone) -> None:
            if done.stage not in tasks:
                tasks[done.stage] = bars.add_task(done.stage, total=done.epochs, loss=0.0)
            bars.update(tasks[done.stage], completed=done.epoch, loss=done.loss)

        yield told


@contextmanager
def tasks_bar() -> Iterator[Callable[[Outcome], None]]:
    """One bar over the tasks of a grid; each one that ends is a line where nobody looks."""
    columns = (TextColumn("tasks"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task("", total=None)

        def told(outcome: Outcome) -> None:
            bars.update(task, completed=outcome.done, total=outcome.of)
            word = f"failed: {outcome.error}" if outcome.error else "done"
            err.print(
                f"[{outcome.done}/{outcome.of}] {outcome.task}: {word}",
                style="red" if outcome.error else None,
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

        yield told


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C ends a command that goes on where it was with a word about that."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("Stopped. The same command goes on where it was.")
        raise typer.Exit(1) from None


@contextmanager
def bar(what: str, *, transfer: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """One bar from 0 to a total, if known, of bytes if `transfer`; silent where nobody looks."""
    amount: ProgressColumn = DownloadColumn() if transfer else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
