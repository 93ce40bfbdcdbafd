"""The page: self-contained, well-formed, safe, and true to its run files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pskd.errors import CheckpointError, PskdError, UsageError
from pskd.evaluate import load_run, score, write_report
from tests.evaluate.html_page import Page

MakeRun = Callable[..., Path]


def page(runs: list[Path], tmp_path: Path) -> Page:
    return Page(write_report(runs, tmp_path / "out" / "report.html").read_text(encoding="utf-8"))


def test_one_run(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run(validation=True)
    shown = page([path], tmp_path)
    assert shown.ids() == [
        "results", "training", "choices", "confusions", "subjects", "classes", "map", "data",
        "recipe",
    ]  # fmt: skip
    run = load_run(path)
    for stage in run.summary.stages.values():
        assert f"{100 * stage.test.accuracy:.1f}" in shown.text
    for subject in ("s2", "s4", "s6", "s8"):
        assert f"{100 * run.summary.stages['student'].test.per_subject[subject]:.1f}" in shown.text
    assert "a8_s1_t4 no accelerometer file" in shown.text
    assert "subject-independent" in shown.text and "NOT" not in shown.text
    assert '"torch": "2.13.0"' in shown.text
    pictures = [a for tag, a in shown.tags if tag == "svg" and "aria-hidden" not in a]
    assert len(pictures) == 5 * 2 + 3 + 1
    assert all(a["role"] == "img" and a["aria-label"] for a in pictures)


def test_the_matrix_counts_every_clip(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run()
    html = write_report([path], tmp_path).read_text()
    said = load_run(path).predictions["student"]
    hits = [int(n) for n in re.findall(r'<td class="hit[^>]*>(\d+)<', html)]
    misses = [int(n) for n in re.findall(r'<td class="miss[^>]*>(\d+)<', html)]
    assert sum(hits) == (said.true == said.predicted).sum()
    assert sum(hits) + sum(misses) == 192


def test_the_worst_pair_is_named_in_words(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run(subjects=("s2",), trials=3, stages=("student",))
    table = path / "predictions" / "student.csv"
    summary = path / "summary.json"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    for row in rows[1:]:
        row[4] = row[3]  # all right ...
    rows[1][4] = rows[2][4] = "1"  # ... but two swipes left, read as swipes right
    rows[4][4] = "0"  # ... and one the other way
    table.write_text("\n".join(",".join(row) for row in rows) + "\n")
    tree = json.loads(summary.read_text())
    true, predicted = zip(*((int(row[3]), int(row[4])) for row in rows[1:]), strict=True)
    scores = score(true, predicted, [row[1] for row in rows[1:]], tree["dataset"]["classes"])
    tree["stages"]["student"]["test"] = asdict(scores)
    summary.write_text(json.dumps(tree))
    shown = page([path], tmp_path).text
    assert "2 of 3 swipe left read as swipe right, 1 of 3 the other way" in shown


def test_not_subject_independent_is_loud(make_run: MakeRun, tmp_path: Path) -> None:
    changes = {"protocol.name": "trial_split", "protocol.subject_independent": False}
    a, b = (make_run(f"r{s}", seed=s, changes=changes) for s in range(2))
    for runs in ([a], [a, b]):
        html = write_report(runs, tmp_path / "r.html").read_text()
        assert '<b class="badge bad">NOT subject-independent</b>' in html
        assert re.search("<title>.*NOT subject-independent.*</title>", html)


def test_nothing_is_fetched(make_run: MakeRun, tmp_path: Path) -> None:
    html = write_report([make_run()], tmp_path).read_text()
    assert not re.search(
        r"<(script|link|img|iframe|object|embed|base)\b|@import|url\(|\ssrc=", html
    )
    assert "http" not in html.replace("http-equiv", "")


def test_the_same_files_give_the_same_bytes(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run()
    first = write_report([path], tmp_path / "a.html").read_bytes()
    assert write_report([path], tmp_path / "b.html").read_bytes() == first


HOSTILE = (
    '</title></style><script>alert("x")</script><img src=x onerror=alert(1)>$title${body}&amp;'
)


def test_hostile_names_stay_words(make_run: MakeRun, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        f"{part}.{key}": HOSTILE
        for part, key in (
            ("dataset", "name"), ("dataset", "title"), ("dataset", "citation"),
            ("dataset", "licence"), ("protocol", "name"), ("protocol", "note"),
        )
    }  # fmt: skip
    changes["protocol.sides"] = {HOSTILE: 3, "test": 4}
    changes["dataset.set_aside"] = [{"id": HOSTILE, "reason": HOSTILE}]
    options: dict[str, Any] = {
        "recipe": HOSTILE,
        "classes": ("<script>", HOSTILE, "c'", 'd"'),
        "subjects": ("<b>s2", "s4"),
        "changes": changes,
    }
    a = make_run("a", settings={"k": HOSTILE}, **options)
    b = make_run("b", settings={"k": "other"}, **options)
    for path in (a, b):
        log = path / "metrics.jsonl"
        log.write_text(log.read_text().replace('"label"', '"<u>label"'))
        (path / "environment.json").write_text('{"<script>": "</pre><script>"}')
    for runs in ([a], [a, b]):
        html = write_report(runs, tmp_path / "r.html").read_text()
        assert not re.search(r"<(script|img|u)\b|<b>s2", html)
        shown = Page(html)
        assert {tag for tag, _ in shown.tags} <= {
            "html", "head", "meta", "title", "style", "body", "header", "p", "h1", "h2", "h3",
            "span", "b", "div", "small", "section", "table", "thead", "tbody", "tr", "th", "td",
            "i", "ul", "ol", "li", "em", "article", "figure", "figcaption", "svg", "path", "text",
            "circle", "dl", "dt", "dd", "details", "summary", "pre", "footer",
        }  # fmt: skip
        assert not any(key.startswith("on") for _, attrs in shown.tags for key in attrs)
        assert HOSTILE in "".join(shown.words)


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({"embeddings": False}, "map"),
        ({"choices": False}, "choices"),
        ({"epochs": 0}, "training"),
    ],
)
def test_missing_pieces_leave_their_section_out(
    make_run: MakeRun, tmp_path: Path, options: dict[str, Any], gone: str
) -> None:
    ids = page([make_run(**options)], tmp_path).ids()
    assert gone not in ids and "results" in ids and "confusions" in ids


@pytest.mark.parametrize(
    "stages", [("student",), ("skeleton", "student"), ("student", "student_alone")]
)
def test_short_chains(make_run: MakeRun, tmp_path: Path, stages: tuple[str, ...]) -> None:
    a, b = (make_run(f"r{s}", seed=s, stages=stages) for s in range(2))
    for runs in ([a], [a, b]):
        assert "Results" in page(runs, tmp_path).text


def test_tiny_run(make_run: MakeRun, tmp_path: Path) -> None:
    changes = {"dataset.set_aside": [], "dataset.citation": "", "protocol.note": ""}
    path = make_run(classes=("a", "b"), subjects=("s1",), trials=1, epochs=1, changes=changes)
    shown = page([path], tmp_path)
    assert "none was set aside" in shown.text and "2 test clips" in shown.text


def test_several_runs(make_run: MakeRun, tmp_path: Path) -> None:
    paths = [make_run(f"r{s}", seed=s) for s in range(3)]
    shown = page(paths, tmp_path)
    assert shown.ids() == ["results", "seeds", "subjects", "classes", "recipe", "data"]
    assert re.search(r"95 % interval \S+ to \S+", shown.text)
    assert "Mean ± standard deviation over 3 seeds" in shown.text


def test_several_recipes(make_run: MakeRun, tmp_path: Path) -> None:
    paths = [make_run(f"r{s}", seed=s) for s in range(2)] + [make_run("o", recipe="other")]
    shown = page(paths, tmp_path)
    assert shown.ids()[0] == "recipes" and len(set(shown.ids())) == len(shown.ids())
    assert "one seed: no interval" in shown.text


def test_many_recordings_set_aside_are_folded(make_run: MakeRun, tmp_path: Path) -> None:
    out = [{"id": f"r{k}", "reason": "torn"} for k in range(40)]
    shown = page([make_run(changes={"dataset.set_aside": out})], tmp_path)
    assert "40 were set aside: Show them" in shown.text and "r39 torn" in shown.text


def test_errors_leave_nothing_behind(make_run: MakeRun, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UsageError):
        write_report([], out)
    path = make_run()
    (path / "metrics.jsonl").unlink()
    with pytest.raises(CheckpointError):
        write_report([path], out)
    assert not list(out.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(PskdError, match="cannot be written"):
        write_report([make_run("good")], tmp_path / "file" / "report.html")
    (out / "report.html").mkdir()
    with pytest.raises(PskdError, match="cannot be written"):
        write_report([tmp_path / "good"], out)
    assert [p.name for p in out.iterdir()] == ["report.html"]
