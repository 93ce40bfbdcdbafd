"""The picture of a pair."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from pskd.datasets.folder.picture import picture
from pskd.errors import DataError, UsageError


def test_the_picture(make: Any, tmp_path: Path) -> None:
    path = picture(make(), "one", tmp_path / "one.png")
    height, width, _ = imread(io.BytesIO(path.read_bytes()), format="png").shape
    assert width == 1200 and height > 800
    again = picture(make(), "one", tmp_path / "again.png")
    assert again.read_bytes() == path.read_bytes()


def test_names_do_not_become_formulas_or_paths(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = (
        "recording,label,subject,accelerometer,skeleton\n"
        "../a/$x^{$,$\\frac{1}$,$_,accelerometer/one.csv,skeleton/one.csv\n"
        "two,sit,p2,,skeleton/two.csv\n"
    )
    assert picture(make({"manifest.csv": manifest}), "../a/$x^{$") == Path(".._a_x_.png")
    assert (tmp_path / ".._a_x_.png").exists()


def test_what_cannot_be_drawn(make: Any, tmp_path: Path) -> None:
    manifest = "recording,label,subject,skeleton\none,walk,p1,\ntwo,sit,p2,skeleton/two.csv\n"
    root = make({"manifest.csv": manifest + "bad,sit,p2,nothing.csv\n"})
    for name, kind, message in (
        ("three", UsageError, "no recording 'three'"),
        ("one", DataError, "'one' is no pair of a second or more"),
        ("two", DataError, "'two' is the only pair"),
        ("bad", DataError, r"'bad' cannot be drawn: manifest.csv, line 4"),
    ):
        with pytest.raises(kind, match=message):
            picture(root, name, tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
