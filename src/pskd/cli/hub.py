"""`pskd push` and `pskd pull`: students on the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pskd.cli.console import JsonFlag, print_json, say

app = typer.Typer()
Repo = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the Hub.")]
WithExports = Annotated[bool, typer.Option("--with-exports", help="The exports too.")]


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, a student or its exports.")],
    repo: Repo,
    private: Annotated[
        bool, typer.Option("--private", help="For you alone; refused where it is public already.")
    ] = False,
    with_exports: WithExports = False,
    as_json: JsonFlag = False,
) -> None:
    """Upload a trained student, with its model card, to the Hugging Face Hub.

    The token is that of `hf auth login`, or HF_TOKEN.

    Example: pskd push runs/demo me/wrist-student --private
    """
    from pskd.edge.hub import push as push_student

    pushed = push_student(folder, repo, private=private, exports=with_exports)
    if as_json:
        print_json(asdict(pushed))
        return
    say(*pushed.files, f"Pushed: {pushed.url}")


@app.command()
def pull(
    repo: Repo,
    revision: Annotated[
        str | None, typer.Option(metavar="SHA|TAG", help="Commit, tag or branch.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder that is made. Default: NAME.")
    ] = None,
    with_exports: WithExports = False,
    as_json: JsonFlag = False,
) -> None:
    """Download a student from the Hugging Face Hub, checked before it is there; nothing is run.

    Example: pskd pull me/wrist-student --revision v1
    """
    from pskd.edge.hub import pull as pull_student

    pulled = pull_student(repo, revision=revision, out=folder, exports=with_exports)
    if as_json:
        print_json({**asdict(pulled), "config": pulled.config.model_dump(mode="json")})
        return
    config = pulled.config
    say(
        f"{pulled.folder}: {config.model}, {len(config.classes)} classes of {config.dataset}, "
        f"{config.samples} samples over {config.window_seconds:g} s in {config.unit}, "
        f"worn: {config.placement}",
        f"Commit: {pulled.commit}",
        f"Use it: pskd predict {pulled.folder} recording.csv --unit g",
    )
