from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from pskd.datasets import DATASETS, catalogue
from pskd.datasets.catalogue import entries, info
from pskd.datasets.utd_mhad import UtdMhad
from pskd.errors import UsageError

HASHES = Path(catalogue.__file__).with_name("hashes")


def test_every_dataset_has_an_entry_and_says_whose_it_is() -> None:
    assert [entry.name for entry in entries()] == list(DATASETS)
    for entry in entries():
        for field in ("title", "holds", "recordings", "sensors", "licence", "how", "directory"):
            text = getattr(entry, field)
            assert text and "{" not in text and not text.endswith(".")
        reader = DATASETS[entry.name]
        assert (entry.citation, entry.homepage) == (reader.citation, reader.homepage)


@pytest.mark.parametrize(
    ("name", "subjects", "classes", "access"),
    [
        ("utd_mhad", 8, 27, "download"),
        ("berkeley_mhad", 12, 11, "page"),
        ("mmact", 20, 37, "request"),
        ("simulated", 8, 14, "none"),
        ("folder", 0, 0, "none"),
    ],
)
def test_sizes_and_ways(name: str, subjects: int, classes: int, access: str) -> None:
    entry = info(name)
    assert (entry.subjects, entry.classes, entry.access) == (subjects, classes, access)
    assert bool(entry.files) == (access != "none")
    assert all(bool(file.url) == (access == "download") for file in entry.files if file.required)
    if access in ("page", "request"):
        assert entry.homepage in entry.how and f"{entry.directory}/" in entry.how


def test_addresses_are_https_and_say_that_nobody_tried_them() -> None:
    files = {file.name: file for file in info("utd_mhad").files}
    assert files.keys() == {"Inertial.zip", "Skeleton.zip"}
    for name, file in files.items():
        assert file.url and re.fullmatch(rf"https://[a-z.]*utdallas\.edu/.*/{name}", file.url)
        assert not file.checked


@pytest.mark.parametrize(("name", "recordings"), [("utd_mhad", 861), ("berkeley_mhad", 658)])
def test_only_hashes_of_the_data_are_shipped(name: str, recordings: int) -> None:
    file = HASHES / f"{name}.csv"
    assert file.stat().st_size < 100_000
    with file.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["recording", *(c for f in info(name).files for c in f.columns)]
    assert len({row[0] for row in rows}) == len(rows) == recordings
    hashes = [value for row in rows for value in row[1:]]
    assert all(re.fullmatch("[0-9a-f]{12}", value) for value in hashes)
    assert len(set(hashes)) == len(hashes)  # so that no two recordings are the same


def test_an_unknown_dataset_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'berkeley'.*'berkeley_mhad'"):
        info("berkeley")


def test_a_reader_without_an_entry_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that somebody has just added, in one file and a line of the tuple."""
    reader = type("Kitchen", (UtdMhad,), {"name": "kitchen", "homepage": "https://k.example"})
    monkeypatch.setitem(DATASETS, "kitchen", reader)
    assert "kitchen" in [entry.name for entry in entries()]
    assert info("kitchen").how == "From https://k.example"
