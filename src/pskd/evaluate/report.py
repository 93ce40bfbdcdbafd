"""Write the report: one HTML page that needs nothing beside it, made of run files only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pskd.evaluate.many_runs import many_runs
from pskd.evaluate.markup import page
from pskd.evaluate.one_run import one_run
from pskd.evaluate.tables import as_json, load_comparison, markdown_table, terminal_table
from pskd.evaluate.words import title
from pskd.files import write_atomic

__all__ = ["as_json", "markdown_table", "terminal_table", "write_report"]


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write the page of one run, or of several on the same test clips.

    The same run files give the same bytes.

    Args:
        runs: Run folders.
        out: The page, or a folder to put `report.html` in.

    Returns:
        Where the page is.

    Raises:
        UsageError: No run, no such folder, or runs that must not share a table.
        CheckpointError: A run file is missing, torn, or newer than this version.
        PskdError: The page cannot be written.
    """
    comparison = load_comparison(runs)
    body = one_run(comparison) if len(runs) == 1 else many_runs(comparison)
    path = out / "report.html" if out.is_dir() else out
    text = page(title(comparison), body)
    write_atomic(
        path, text.encode(), remedy="Free some space or choose another place for the report"
    )
    return path
