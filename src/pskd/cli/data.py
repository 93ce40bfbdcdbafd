"""The commands of data: what there is, where it comes from, whether it is sound."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.table import Table

from pskd.cli.console import DataRoot, JsonFlag, bar, cache, out, print_json, resumable, say
from pskd.errors import UsageError

if TYPE_CHECKING:
    from pskd.datasets.catalogue import DatasetInfo

app = typer.Typer(help="Find, fetch, make, check and audit data.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="DATASET", help="As `pskd data list` has it.")]
LEVELS = {"leak": "bold red", "warning": "yellow", "fact": None}
ACCESS = {
    "none": "nothing to fetch",
    "download": "pskd data fetch",
    "page": "from its homepage",
    "request": "on request",
}


@app.command("list")
def list_datasets(as_json: JsonFlag = False) -> None:
    """List the datasets that can be read.

    Example: pskd data list
    """
    from pskd.datasets.catalogue import entries

    if as_json:
        print_json([asdict(entry) for entry in entries()])
        return
    table = Table("dataset", "what it holds", "recordings", "people", "classes", "to be had")
    for e in entries():
        people, classes = (str(n) if n else "any" for n in (e.subjects, e.classes))
        table.add_row(e.name, e.holds, e.recordings, people, classes, ACCESS[e.access])
    out.print(table)


@app.command()
def info(name: Name, as_json: JsonFlag = False) -> None:
    """Say all about a dataset: contents, licence, citation, files, and how to come by it.

    Example: pskd data info berkeley_mhad
    """
    from pskd.datasets.catalogue import info as about

    entry = about(_name(name))
    if as_json:
        print_json(asdict(entry))
        return
    _introduce(entry)
    for kind, text in (
        ("holds", entry.holds),
        ("recordings", entry.recordings),
        ("sensors", entry.sensors),
        ("how", entry.how),
    ):
        say(f"{kind}: {text}")
    for file in entry.files:
        need = "required" if file.required else "optional"
        say(f"file: {file.name} ({need}): {file.holds}")
        if file.url:
            note = "" if file.checked else " (this address could not be tried by us)"
            say(f"  {file.url}{note}")


@app.command()
def fetch(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="The folder of all your datasets.")],
    files: Annotated[
        list[str] | None, typer.Option("--file", help="Only this file; may be repeated.")
    ] = None,
    mirror: Annotated[str | None, typer.Option(help="Download from here instead.")] = None,
) -> None:
    """Download a dataset; stopped, the same command goes on where it was.

    Example: pskd data fetch utd_mhad data
    """
    from pskd.datasets import fetch as fetching

    with resumable(), bar("downloading", transfer=True) as told:
        report = fetching.fetch(
            _name(name),
            folder,
            files=files,
            mirror=mirror,
            announce=_introduce,
            progress=lambda _, done, total: told(done, total),
        )
    for file in report.there:
        say(f"{file}: was there and is right")
    for file in report.fetched:
        say(f"{file}: fetched into {report.folder}")


@app.command()
def verify(name: Name, data_root: DataRoot = Path(), as_json: JsonFlag = False) -> None:
    """Compare the files of a dataset, by content, with what is known of them.

    Example: pskd data verify utd_mhad --data-root data
    """
    from pskd.datasets.verify import verify as compare

    report = compare(_name(name), data_root or Path())
    if as_json:
        print_json({"passed": report.passed} | asdict(report))
    else:
        for state in report.files:
            known = f", {state.right} files of recordings right" if state.right else ""
            where = f" ({state.path})" if state.path else ""
            why = f": {state.detail}" if state.detail else ""
            say(f"{state.file.name}: {state.state}{known}{why}{where}")
            for kind in ("wrong", "missing", "unknown"):
                names = getattr(state, kind)
                if names:
                    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
                    say(f"  {kind}: {', '.join(names[:10])}{more}")
    if not report.passed:
        raise typer.Exit(1)


@app.command()
def simulate(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    subjects: Annotated[int, typer.Option(help="How many people.")] = 4,
    trials: Annotated[int, typer.Option(help="How often each does each action.")] = 2,
    classes: Annotated[int | None, typer.Option(help="How many classes, from the first.")] = None,
    seed: Annotated[int, typer.Option(help="Other people, other takes.")] = 0,
    traps: Annotated[
        bool, typer.Option("--traps", help="Add what goes wrong in the real files.")
    ] = False,
) -> None:
    """Write a simulated dataset in the official layout and file formats of a real one.

    Example: pskd data simulate berkeley_mhad /tmp/twin --subjects 12 --trials 5
    """
    from pskd.datasets import twins

    with bar("simulating") as told:
        written = twins.simulate(
            _name(name),
            folder,
            subjects=subjects,
            trials=trials,
            classes=classes,
            seed=seed,
            traps=traps,
            progress=told,
        )
    say(f"{written} recordings of simulated people in {folder}")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Your folder, or a zip or tar of it.")],
    recording: Annotated[
        str | None, typer.Option(help="The pair to draw. Default: the one most worth a look.")
    ] = None,
    picture: Annotated[Path, typer.Option(help="Where to draw it.")] = Path("check.png"),
    as_json: JsonFlag = False,
) -> None:
    """Say, file by file, what is wrong with your own data and how to mend it; draw one pair.

    The exit code is 1 where a recording cannot be used.

    Example: pskd data check my-recordings
    """
    from pskd.datasets.folder.check import check as examine

    with bar("checking") as told:
        report = examine(folder, told)
    if as_json:
        print_json(asdict(report))
    else:
        say(report.text())
    chosen = recording or report.pair_to_draw
    if chosen:
        from pskd.datasets.folder.picture import picture as draw

        drawn = draw(folder, chosen, picture)
        if not as_json:
            say(f"Picture of {chosen}: {drawn}")
    if report.errors:
        raise typer.Exit(1)


@app.command()
def audit(
    name: Name,
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Options of the protocol. Default: those in print for the dataset.",
        ),
    ] = None,
    protocol: Annotated[str, typer.Option(help="Name of the protocol.")] = "cross_subject",
    reader: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the dataset's reader."),
    ] = None,
    data_root: DataRoot = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what the sides of a protocol share and what gives the classes away.

    Every training runs the same audit first. The exit code is 1 where there is a leak.

    Example: pskd data audit utd_mhad --data-root data --protocol leave_one_subject_out held_out=3
    """
    from pskd.data.audit import audit as examine
    from pskd.data.protocols import make_split
    from pskd.data.store import open_store
    from pskd.datasets import dataset

    source = dataset(_name(name), data_root, _settings(reader))
    with resumable(), bar("reading data") as told:
        store = open_store(source, cache(), progress=told)
    chosen = _settings(options) or source.protocols.get(protocol, {})
    found = examine(store, make_split(protocol, store.info, source.classes, chosen), source.classes)
    if as_json:
        print_json(asdict(found))
    else:
        sides = ", ".join(f"{n} {side}" for side, n in found.recordings.items() if n)
        say(f"{source.title}, {found.protocol}: {found.note} ({sides})")
        for f in sorted(found.findings, key=lambda f: list(LEVELS).index(f.level)):
            say(f"{f.level}: {f.sentence}", style=LEVELS[f.level])
            if f.level != "fact":
                say(*("  " + " / ".join(names) for names in f.recordings))
    if found.leaks:
        raise typer.Exit(1)


def _settings(pairs: list[str] | None) -> dict[str, Any]:
    """Read `key=value`, the value as YAML."""
    settings = {}
    for pair in pairs or ():
        key, equals, text = pair.partition("=")
        try:
            settings[key] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):  # also a date, or lists in lists
            equals = ""
        if not key or not equals:
            raise UsageError(
                f"{pair[:100]!r} is no setting", remedy="Write KEY=VALUE, as train=[1,2]"
            )
    return settings


def _introduce(entry: DatasetInfo) -> None:
    """Say whose data these are, before anything is done with them."""
    say(entry.title, style="bold")
    for kind, text in (
        ("licence", entry.licence),
        ("please cite", entry.citation),
        ("home", entry.homepage),
    ):
        if text:
            say(f"{kind}: {text}")


def _name(name: str) -> str:
    """Names of datasets as people write them."""
    return name.lower().replace("-", "_")
