"""The manifest: all that can be wrong with it, and what no file of it can do."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pskd.datasets.folder.line import COLUMNS, SIDES
from pskd.datasets.folder.manifest import MAX_LINE, read_manifest
from pskd.datasets.folder.row import BadRow, Row
from pskd.datasets.folder.settings import Settings
from pskd.errors import DataError, PskdError

NAMES = ("accelerometer/one.csv", "accelerometer/two.parquet", "skeleton/one.csv")


def parse(text: str | bytes, **settings: Any) -> list[Row | BadRow]:
    data = text.encode() if isinstance(text, str) else text
    return read_manifest(data, NAMES, Settings(**settings))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("recording,label,subject\n", "names no recordings"),
        ("recording,label\na,b\n", r"line 1: no column 'subject' in the header 'recording,label'"),
        ("recording;label;subject\na;b;c\n", r"no column 'recording'.*separated by commas"),
        ("recording,label,subject,label\na,b,c,d\n", "two columns 'label'"),
        ("recording,label,subject,sesion\n", "unknown column 'sesion'.* Did you mean 'session'"),
        ("recording,label,subject\nx,\0,p1\n", "holds zero bytes"),
        (b"recording,label,subject\nx,\xff,p1\n", "is not a text file"),
        ('recording,label,subject\n"x,walk,p1\n', r"line 2: is no CSV \(unexpected end"),
        ('recording,label,subject\n"x"y,walk,p1\n', r"line 2: is no CSV"),
        ("recording,label,subject\n" + "x" * (MAX_LINE + 1), r"is no CSV \(line longer than 65536"),
        ("recording" + ",x" * 200, "line 1: 201 columns. Leave 200 at most"),
        ("," * 1_000_000, r"is no CSV \(line longer than"),
        ('recording,label,subject\n"' + "x\n" * 100_000, r"is no CSV \(field larger than"),
    ],
)
def test_manifests_that_are_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        parse(text)
    assert str(caught.value).startswith("manifest.csv")


HEADER = "recording,label,subject," + ",".join(COLUMNS[3:])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"recording": ""}, "recording is empty"),
        ({"label": " "}, "label is empty"),
        ({"subject": ""}, "subject is empty"),
        ({"split": "testing"}, "split is 'testing'. Did you mean 'test'"),
        ({"accelerometer": "accelerometer/One.csv"}, "missing, but 'accelerometer/one.csv' is"),
        (
            {"accelerometer": "skeleton/two.csv"},
            "accelerometer file 'skeleton/two.csv' is missing",
        ),
        ({"accelerometer": "C:\\one.csv"}, "lies outside the folder"),
        ({"accelerometer": "/etc/passwd"}, "lies outside the folder"),
        ({"skeleton": "../one.csv"}, "lies outside the folder"),
        ({"skeleton": "accelerometer/two.parquet"}, "Give one of .csv, .npy, .bvh"),
        ({"recording": "three", "accelerometer": ""}, "neither accelerometer/three.csv nor"),
        ({"start": "soon"}, "start is 'soon'. Give seconds in the accelerometer file's own time"),
        ({"start": "nan"}, "start is 'nan'"),
        ({"start": "2", "stop": "1.5"}, "stop 1.5 is not after start 2"),
        ({"rate": "0"}, "rate is '0'. Give a number from 1 to 10000"),
        ({"rate": "fast"}, "rate is 'fast'"),
        ({"skeleton_rate": "inf"}, "skeleton_rate is 'inf'. Give a number from 1 to 1000"),
        ({"unit": "m/s"}, "unit is 'm/s'. Did you mean 'm/s2'"),
        ({"alignment": "streched"}, "alignment is 'streched'. Did you mean 'stretch'"),
        ({"label": "x" * 1001}, "label is longer than 1000 characters"),
        ({"label": '"a\nb"'}, "label is longer than 1000 characters, or not plain text"),
    ],
)
def test_lines_that_cannot_be_used(cells: dict[str, str], message: str) -> None:
    line = {"recording": "one", "label": "walk", "subject": "p1"} | cells
    text = f"{HEADER}\n" + ",".join(line.get(column, "") for column in COLUMNS)
    (row,) = parse(text)
    assert isinstance(row, BadRow)
    assert any(message in str(error) for error in row.errors)
    assert re.match(r"manifest.csv, line [23]: ", str(row.errors[0]))


def test_all_that_is_wrong_with_a_line_is_said() -> None:
    (row,) = parse(f"{HEADER}\none,,p1,,,,tset,nothing.csv,,x,,,,G,\n")
    assert isinstance(row, BadRow)
    faults = ["label is empty", "start is 'x'", "split is 'tset'", "nothing.csv", "unit is 'G'"]
    for fault, error in zip(faults, row.errors, strict=True):
        assert fault in str(error)


def test_a_line_with_too_many_cells() -> None:
    (row,) = parse("recording,label,subject\none,sit, slowly,p1\n")
    assert isinstance(row, BadRow) and "has 4 cells, the header has 3" in str(row.errors[0])
    assert "double quotes" in str(row.errors[0])


def test_labels_outside_the_classes() -> None:
    (row,) = parse("recording,label,subject\none,wlak,p1\n", classes=("walk", "sit"))
    assert isinstance(row, BadRow)
    assert "label 'wlak' is none of the classes" in str(row.errors[0])
    assert "Did you mean 'walk'" in str(row.errors[0])


def test_empty_cells_take_what_holds_for_all() -> None:
    defaults: dict[str, Any] = {
        "unit": "g", "rate": 20.0, "skeleton_rate": 12.0, "alignment": "none",
    }  # fmt: skip
    (row,) = parse(f"{HEADER}\none,walk,p1{',' * 12}\n", **defaults)
    assert isinstance(row, Row)
    assert {name: getattr(row, name) for name in defaults} == defaults
    own = parse(f"{HEADER}\none,walk,p1,,,,,,,,,50,30,m/s2,clock\n", **defaults)[0]
    assert isinstance(own, Row)
    assert (own.rate, own.skeleton_rate, own.unit, own.alignment) == (50, 30, "m/s2", "clock")


def test_a_skeleton_is_found_unless_its_cell_is_empty() -> None:
    assert parse("recording,label,subject\none,walk,p1\n")[0].files == NAMES[::2]
    assert parse("recording,label,subject,skeleton\none,walk,p1,\n")[0].files == NAMES[:1]
    assert parse("recording,label,subject\ntwo,walk,p1\n")[0].files == NAMES[1:2]


def test_a_file_that_is_there_twice() -> None:
    names = ("accelerometer/one.csv", "accelerometer/one.parquet")
    (row,) = read_manifest(b"recording,label,subject\none,walk,p1\n", names, Settings())
    assert isinstance(row, BadRow)
    assert "is there twice: accelerometer/one.csv and accelerometer/one.parquet" in str(
        row.errors[0]
    )


CELLS = st.one_of(
    st.sampled_from(["one", "two", "walk", *NAMES, *SIDES, "g", "clock", "1", "-1e9", "nan", '"']),
    st.text(max_size=20),
)
LINES = st.lists(CELLS, max_size=17).map(",".join)
HEADERS = st.one_of(st.just(HEADER), st.lists(st.sampled_from(COLUMNS)).map(",".join), LINES)


@given(HEADERS, st.lists(LINES, max_size=6), st.sampled_from(["\n", "\r\n", "\r"]))
def test_whatever_a_manifest_says(header: str, lines: list[str], end: str) -> None:
    try:
        rows = parse(end.join([header, *lines]).encode("utf-8", "surrogatepass"))
    except PskdError:
        return
    names = [row.recording if isinstance(row, Row) else row.name for row in rows]
    assert len(set(names)) == len(names)
    assert all(set(row.files) <= set(NAMES) for row in rows)
    assert all(row.errors for row in rows if isinstance(row, BadRow))


@given(st.binary(max_size=300))
def test_whatever_bytes_a_manifest_holds(data: bytes) -> None:
    for content in (data, HEADER.encode() + b"\n" + data):
        try:
            parse(content)
        except PskdError as error:
            assert str(error).startswith("manifest.csv")


@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_an_umlaut_is_one_character_or_two(written: str) -> None:
    """As the manifest and the disk have it: they look the same."""
    there = f"accelerometer/{unicodedata.normalize('NFD', 'jürgen')}.csv"
    name = unicodedata.normalize(written, "jürgen")
    for line in (f"{name},walk,p1,", f"two,walk,p1,accelerometer/{name}.csv"):
        text = f"recording,label,subject,accelerometer\n{line}\n"
        (row,) = read_manifest(text.encode(), [there], Settings(rate=50.0))
        assert isinstance(row, Row) and row.accelerometer == there
