"""The page of a study: true to its run files, linked to them, and safe."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from pskd.errors import PskdError
from pskd.evaluate.study import Study, load_study
from pskd.evaluate.study.page import versions, write_study_report
from tests.evaluate.html_page import Page
from tests.evaluate.study.study_folder import CLASSES, write_study

HOSTILE = '<b>"5 % #1?" & ünï\'c:ö</b>'


def shown(study: Study) -> Page:
    return Page(write_study_report(study, study.path).read_text(encoding="utf-8"))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Study]:
    """Write a study's folder and load it."""

    def write(**options: Any) -> Study:
        tmp_path.joinpath("out").mkdir()
        return load_study(write_study(tmp_path / "out", **options))

    return write


def clear(method: str, seed: int) -> float:
    return 1.0 if method == "pskd" else 0.7


def read(out: Path, method: str, seed: int, stage: str) -> tuple[np.ndarray, np.ndarray]:
    path = out / "cells" / "main" / method / f"seed{seed}" / "predictions" / f"{stage}.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return tuple(np.array([int(r[key]) for r in rows]) for key in ("true", "predicted"))


def subjects(out: Path, method: str, seed: int, stage: str) -> dict[str, list[bool]]:
    path = out / "cells" / "main" / method / f"seed{seed}" / "predictions" / f"{stage}.csv"
    right: dict[str, list[bool]] = {}
    for row in csv.DictReader(path.read_text().splitlines()):
        right.setdefault(row["subject"], []).append(row["true"] == row["predicted"])
    return right


def f1(true: np.ndarray, predicted: np.ndarray, k: int) -> float:
    hits = int(((true == k) & (predicted == k)).sum())
    return 2 * hits / max(int((true == k).sum() + (predicted == k).sum()), 1)


def test_figures_are_those_of_the_predictions(make: Callable[..., Study]) -> None:
    study = make(chance=clear, clips=30)
    page = shown(study)
    right = {
        stage: np.array([np.equal(*read(study.path, "pskd", s, stage)).mean() for s in range(3)])
        for stage in ("student", "student_alone")
    }
    for scores in right.values():
        assert f"{100 * scores.mean():.1f} ± {100 * scores.std(ddof=1):.1f}" in page.text
    gain = f"+{100 * (right['student'] - right['student_alone']).mean():.1f}"
    low, high = study.tables[0].methods[0].difference.interval
    interval = f"+{100 * low:.1f} to +{100 * high:.1f}"
    assert f"pskd helps by {gain} points (95 % interval {interval}, corrected p" in page.text
    assert "against student_alone. Of the other method nothing can be told." in page.text
    assert set(page.bold) == {"subject-independent", "pskd", gain}


FIGURE = r'[^>]*><a href="#t0-files-\d">([^<]+)<'


def first_row(html: str, part: str) -> str:
    heat = html.split(f'id="{part}"')[1].split('class="matrix heat"')[1].split("</table>")[0]
    return heat.split("<tbody>")[1].split("</tr>")[0]


def test_gains_of_people_are_differences_of_accuracy(make: Callable[..., Study]) -> None:
    study = make(chance=clear, clips=30)
    html = write_study_report(study, study.path).read_text()
    cells = re.findall(rf'title="(\w+): {FIGURE}', first_row(html, "t0-people"))
    gains: dict[str, list[float]] = {}
    for seed in range(3):
        sides = [subjects(study.path, "pskd", seed, s) for s in ("student", "student_alone")]
        for subject in sides[0]:
            gain = np.mean(sides[0][subject]) - np.mean(sides[1][subject])
            gains.setdefault(subject, []).append(float(gain))
    assert len(gains) > 1
    assert dict(cells) == {name: f"{100 * np.mean(values):+.0f}" for name, values in gains.items()}
    change = study.tables[0].methods[0].difference
    for low, high in (change.subject_interval, change.seed_interval):
        assert f">+{100 * low:.1f} to +{100 * high:.1f}</a></td>" in first_row(html, "t0-people")


def test_class_gains_are_differences_of_f1(make: Callable[..., Study]) -> None:
    study = make(chance=clear, clips=30)
    html = write_study_report(study, study.path).read_text()
    first = first_row(html, "t0-classes")
    cells = re.findall(rf'class="([^"]+)" style="--a:([\d.]+)" title="(\w+):{FIGURE}', first)
    change = study.tables[0].methods[0].difference
    gains = [
        np.mean([f1(*read(study.path, "pskd", s, "student"), k)
                 - f1(*read(study.path, "pskd", s, "student_alone"), k) for s in range(3)])
        for k in range(3)
    ]  # fmt: skip
    most = max(abs(g) for m in study.tables[0].methods for g in m.difference.per_class.values())
    assert [c[2] for c in cells] == list(CLASSES)
    for (kind, shade, name, words), g in zip(cells, gains, strict=True):
        assert words == f"{100 * g:+.0f}"
        assert float(shade) == pytest.approx(abs(g) / most, abs=0.006)
        low, high = change.per_class_interval[name]
        assert ("apart" in kind) == (low > 0 or high < 0)
    assert "apart" in first


def test_nothing_is_claimed_where_nothing_differs(make: Callable[..., Study]) -> None:
    study = make(chance=lambda method, seed: 0.7)
    page = shown(study)
    assert "Nothing can be told of any of the 2 methods against student_alone" in page.text
    assert page.bold == ["subject-independent"]
    assert "c-student" not in " ".join(page.all("rect", "class"))


def test_every_link_leads_somewhere(make: Callable[..., Study]) -> None:
    methods = (HOSTILE, "kd", "温度 τ")
    study = make(methods=methods, baseline="kd")
    page = shown(study)
    links = page.all("a", "href")
    files = [link for link in links if not link.startswith("#")]
    assert len(files) == 3 * 3 * 2  # methods, seeds, summary and predictions; no pages yet
    for link in files:
        assert not urlsplit(link).scheme and (study.path / unquote(link)).is_file(), link
        assert re.fullmatch(r"[\w./%~-]+", link, re.ASCII)
    for method in methods:
        predictions = f"cells/main/{method}/seed1/predictions/student.csv"
        assert predictions in [unquote(link) for link in files]
    ids = page.ids()
    assert len(ids) == len(set(ids))
    anchors = {link[1:] for link in links if link.startswith("#")}
    assert anchors <= set(ids) and len(anchors) == 3


def test_pages_of_runs_are_linked_where_they_are(make: Callable[..., Study]) -> None:
    study = make(seeds=(0, 1))
    cell = study.path / "cells" / "main" / "kd" / "seed1"
    (cell / "report.html").write_text("")
    assert shown(study).all("a", "href").count("cells/main/kd/seed1/report.html") == 1
    elsewhere = study.path.parent / "pages" / "a.html"
    links = Page(write_study_report(study, elsewhere).read_text()).all("a", "href")
    assert "../out/cells/main/kd/seed1/report.html" in links


def test_the_student_alone_links_to_its_own_predictions(make: Callable[..., Study]) -> None:
    study = make(seeds=(0,))
    assert study.tables[0].alone is not None
    links = shown(study).all("a", "href")
    assert "cells/main/pskd/seed0/predictions/student_alone.csv" in links


def test_a_student_alone_for_each_method_has_a_column(make: Callable[..., Study]) -> None:
    def cell(method: str, seed: int, fold: str) -> dict[str, Any]:
        hits = [True] * 12 + [False] * (12 if method == "kd" else 9) + [True] * 3 * (method != "kd")
        return {"right": {"student": [True] * 24, "student_alone": hits}}

    study = make(cell=cell)
    assert study.tables[0].alone is None
    text = shown(study).text
    assert "Baseline %" in text
    assert "100.0 ± 0.0 100.0 ± 0.0 50.0 ± 0.0" in text  # kd: accuracy, macro-F1, its baseline
    assert "100.0 ± 0.0 100.0 ± 0.0 62.5 ± 0.0" in text


def test_what_is_missing_is_named_with_its_error(make: Callable[..., Study]) -> None:
    absent = [("kd", 2, ""), *(("fitnet", seed, "") for seed in range(3))]
    study = make(methods=("pskd", "kd", "fitnet"), absent=absent)
    text = shown(study).text
    assert "4 cells without a finished run, 4 failed." in text
    assert "Without a whole seed, so not in the table: fitnet." in text
    assert "kd 2 failed disk full" in text
    assert "2 of 3" in text


def test_many_missing_cells_are_folded(make: Callable[..., Study]) -> None:
    absent = [("kd", seed, "") for seed in range(1, 12)]
    page = shown(make(seeds=range(12), absent=absent))
    assert "11 failed. Show them" in page.text


def test_one_method_and_one_seed(make: Callable[..., Study]) -> None:
    study = make(methods=("kd",), seeds=(0,), chance=clear)
    page = shown(study)
    assert "interval over people, not over trainings: one seed" in page.text
    assert "±" not in re.sub(r"Markdown.*?Against", "", page.text)
    assert "All methods have the same 49,243 parameters and 1.62 M MACs a clip" in page.text
    change = replace(study.tables[0].methods[0].difference, interval=None, per_class_interval={})
    method = replace(study.tables[0].methods[0], difference=change)
    bare = replace(study, tables=(replace(study.tables[0], methods=(method,)),))
    text = shown(bare).text
    assert "too few seeds and test subjects for an interval" in text


def test_folds_are_named(make: Callable[..., Study]) -> None:
    page = shown(make(folds=("2", "4", "6", "8"), seeds=(0, 1)))
    assert "4 folds pooled" in page.text and "seed 1, 8 summary predictions" in page.text


def test_methods_with_a_group_have_bars(make: Callable[..., Study]) -> None:
    study = make()
    assert "t0-groups" not in shown(study).ids()
    (one,) = study.tables
    first, second = one.methods
    grouped = replace(one, methods=(first, replace(second, group="without <it>")))
    page = shown(replace(study, tables=(grouped,)))
    bars = [a for tag, a in page.tags if tag == "rect" and "area" in str(a["class"])]
    assert "t0-groups" in page.ids() and len(bars) == 1
    assert page.words.count("without <it>") == 2  # over its rows and over its bars


def test_pictures_have_words(make: Callable[..., Study]) -> None:
    sizes = {"pskd": 40_000, "kd": 80_000}
    study = make(cell=lambda method, seed, fold: {"parameters": sizes[method]})
    page = shown(study)
    pictures = [a for tag, a in page.tags if tag == "svg" and a.get("role") == "img"]
    assert len(pictures) == 2 + 1  # two strips, and parameters; the MACs are the same
    assert all(a["aria-label"] for a in pictures)
    rest = [a for tag, a in page.tags if tag == "svg" and a.get("role") != "img"]
    assert len(rest) == 1  # the axis, which is hidden from readers
    assert "All methods have the same 1.62 M MACs a clip." in page.text


def test_how_to_make_it_again(make: Callable[..., Study]) -> None:
    study = make(seeds=(0, 1))
    assert "grid.yaml --out" in shown(study).text
    (study.path / "grid.yaml").write_text("name: <grid> & co\n")
    for method, seed, torch in (("kd", 0, "2.12"), ("kd", 1, "2.13"), ("pskd", 0, "2.13")):
        path = study.path / "cells" / "main" / method / f"seed{seed}" / "environment.json"
        later = [{"packages": {"torch": "2.14"}}, "torn"] if torch == "2.12" else None
        content = {"seed": seed, "packages": {"torch": torch}, "resumed": later}
        path.write_text(json.dumps(content))
    again = load_study(study.path)
    assert versions(again) == {"packages.torch": ["2.12", "2.13", "2.14"]}
    text = shown(again).text
    assert "name: <grid> & co" in text and "packages.torch 2.12, 2.13, 2.14" in text


def test_data_are_cited(make: Callable[..., Study]) -> None:
    facts = {"dataset": {"citation": "Chen et al. 2015.", "licence": "free for research"}}
    text = shown(make(cell=lambda method, seed, fold: {"summary": facts})).text
    assert "UTD-MHAD. Chen et al. 2015." in text and "UTD-MHAD: free for research" in text


def test_not_subject_independent_is_loud(make: Callable[..., Study]) -> None:
    facts = {"protocol": {"name": "trial_split", "subject_independent": False}}
    page = shown(make(cell=lambda method, seed, fold: {"summary": facts}))
    assert "NOT subject-independent" in page.text


def test_several_tables_begin_with_a_list_of_them(make: Callable[..., Study]) -> None:
    study = make()
    (one,) = study.tables
    both = replace(study, tables=(one, replace(one, name=HOSTILE)), empty=("third",))
    page = shown(both)
    assert page.ids()[:2] == ["t0-top", "t0-results"] and "t1-top" in page.ids()
    assert {"#t0-top", "#t1-top"} <= set(page.all("a", "href"))
    assert "Nothing finished yet: third." in page.text
    assert len(set(page.ids())) == len(page.ids())


def test_nothing_is_fetched_and_words_stay_words(make: Callable[..., Study]) -> None:
    study = make(methods=(HOSTILE, "kd"), absent=[("kd", 1, "")])
    (one,) = study.tables
    lost = tuple(replace(cell, error="<script>x</script>") for cell in one.missing_cells)
    methods = tuple(replace(m, about=HOSTILE, group=HOSTILE) for m in one.methods)
    one = replace(one, name=HOSTILE, about=HOSTILE, methods=methods, missing_cells=lost)
    hostile = replace(study, name="</title>" + HOSTILE, about=HOSTILE, tables=(one,))
    html = write_study_report(hostile, study.path).read_text()
    assert not re.search(r"<(script|link|img|iframe|object|embed|base)\b|@import|url\(", html)
    assert "http" not in html and "<b>&quot;5" not in html and '<b>"5' not in html
    page = Page(html)
    assert HOSTILE in page.words and "<script>x</script>" in page.words
    assert "t0-groups" in page.ids()


def test_the_same_files_give_the_same_bytes(make: Callable[..., Study]) -> None:
    study = make()
    first = write_study_report(study, study.path).read_bytes()
    assert write_study_report(load_study(study.path), study.path).read_bytes() == first


def test_a_page_that_cannot_be_written_is_an_error(make: Callable[..., Study]) -> None:
    study = make()
    with pytest.raises(PskdError, match="cannot be written"):
        write_study_report(study, study.path / "grid.json" / "report.html")
