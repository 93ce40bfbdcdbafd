"""Tables in results/ are what the predictions that are kept with them say."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from pskd.evaluate.study import load_study, study_markdown

RESULTS = Path(__file__).parents[1] / "results"
KEPT = sorted((RESULTS / "cells").glob("*.tar.xz"))


@pytest.mark.parametrize("archive", KEPT, ids=lambda path: path.name.removesuffix(".tar.xz"))
def test_a_table_is_what_its_cells_say(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as kept:
        kept.extractall(tmp_path, filter="data")
    name = archive.name.removesuffix(".tar.xz")  # of a table, or of a grid with several
    said = "".join(path.read_text() for path in RESULTS.glob(f"{name}*.md"))
    tables = load_study(tmp_path).tables
    assert tables
    for table in tables:
        assert study_markdown(table).strip() in said
