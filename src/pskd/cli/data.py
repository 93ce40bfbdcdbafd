"""The commands of data: what there is, where it comes from, whether it is sound."""

from __future__ import annotations

import typer

app = typer.Typer(help="Find, fetch, make, check and audit data.", no_args_is_help=True)
