"""The tables of a study: what they say, and that no word of a file breaks them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pskd.evaluate.study import Study, load_study
from pskd.evaluate.study.tables import (
    caption,
    study_json,
    study_latex,
    study_markdown,
    study_terminal,
)
from pskd.evaluate.words import signed
from tests.evaluate.study.study_folder import SUBJECTS, write_study

METHODS = ("pskd", "kd", "50%_|<b>&")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """PSKD is clearly better than the student alone, the others are not; one cell is missing."""
    return load_study(
        write_study(
            tmp_path,
            methods=METHODS,
            clips=60,
            chance=lambda method, seed: 0.97 if method == "pskd" else 0.71,
            absent=[("kd", 2, "")],
        )
    )


def rows(markdown: str) -> dict[str, list[str]]:
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\) ?\| ?", line)[1:-1] for line in lines]
    return {row[0]: row[1:] for row in cells}


def test_markdown_says_what_was_measured(study: Study) -> None:
    (table,) = study.tables
    found = rows(study_markdown(table))
    assert found["Method"] == [
        "Parameters", "MACs", "Seeds", "Accuracy %", "Macro-F1 %", "Difference", "p"
    ]  # fmt: skip
    assert len({len(row) for row in found.values()}) == 1
    method = table.methods[0]
    change = method.difference
    assert change is not None and change.interval is not None and change.clear
    low, high = (signed(end) for end in change.interval)
    assert found["pskd"] == [
        "49,243", "1.62 M", "3",
        f"{100 * method.accuracy.mean:.1f} ± {100 * (method.accuracy.sd or 0):.1f}",
        f"{100 * method.macro_f1.mean:.1f} ± {100 * (method.macro_f1.sd or 0):.1f}",
        f"**{signed(change.mean)} [{low} to {high}]**", "< 0.001",
    ]  # fmt: skip
    assert found["kd"][2] == "2 of 3" and "**" not in found["kd"][5]
    assert found["student_alone"][5:] == ["baseline", "\N{EN DASH}"]
    assert r"50%_\|&lt;b>&" in found


def test_bold_needs_an_interval_and_a_corrected_p(tmp_path: Path) -> None:
    study = load_study(
        write_study(tmp_path, seeds=[0], chance=lambda m, s: 1.0, clips=60,
                    cell=lambda m, s, f: {"subjects": ("2",), "right": {
                        "student": [True] * 60, "student_alone": [False] * 60}})
    )  # fmt: skip
    assert study.tables[0].methods[0].difference is not None
    assert study.tables[0].methods[0].difference.p_corrected < 1e-9
    found = rows(study_markdown(study.tables[0]))
    assert found["pskd"][5] == "+100.0"  # one seed and one person: no interval, not bold


def test_caption_says_what_the_figures_are(study: Study, tmp_path: Path) -> None:
    said = caption(study.tables[0])
    for words in (
        "240 test clips of 4 people", "seeds 0, 1, 2", "Subjects 1, 3 train", "student_alone",
        "its mean with a 95 % interval over trainings and people.", "4,000 resamples",
        "McNemar", "Holm's correction over 3 comparisons", "Bold:",
    ):  # fmt: skip
        assert words in said
    assert "with one seed done" not in said
    lost = [("kd", 1, ""), ("kd", 2, "")]
    late = load_study(write_study(tmp_path / "late", absent=lost))
    assert "or with one seed done over people alone" in caption(late.tables[0])
    lost = [(method, 2, "") for method in ("pskd", "kd")]
    early = load_study(write_study(tmp_path / "early", methods=["pskd", "kd"], absent=lost))
    assert "seeds 0, 1 of 3; mean" in caption(early.tables[0])
    folds = load_study(write_study(tmp_path / "f", folds=SUBJECTS, seeds=[3], varies=["labelled"]))
    said = caption(folds.tables[0])
    assert "seed 3." in said and "4 folds pooled" in said and "differ in labelled too" in said
    assert "interval over people, not over trainings: one seed" in said
    assert "bootstrap over test subjects" in said

    def alone(method: str, seed: int, fold: str) -> dict[str, Any]:
        right = [n < 30 + 5 * seed for n in range(60)]
        return {"subjects": ("2",), "right": {"student": right, "student_alone": right[::-1]}}

    trials = {"summary": {"protocol": {"name": "trial_split", "subject_independent": False}}}
    split = load_study(write_study(tmp_path / "split", cell=lambda m, s, f: trials))
    assert "over trainings and people who are on both sides." in caption(split.tables[0])

    one = load_study(write_study(tmp_path / "one", clips=60, cell=alone))
    said = caption(one.tables[0])
    assert "interval over trainings, not over people: one test subject" in said
    assert "Intervals: Student's t over seeds." in said and "bootstrap" not in said


def test_latex_is_escaped_and_whole(study: Study) -> None:
    text = study_latex(study.tables[0])
    assert text.startswith("\\begin{table}\n") and text.endswith("\\end{table}\n")
    for part in ("table", "tabular"):
        assert text.count(rf"\begin{{{part}}}") == text.count(rf"\end{{{part}}}") == 1
    assert r"50\%\_\textbar{}\textless{}b\textgreater{}\&" in text
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {7}
    assert text.count(r"\textbf{") == 1 and r"\textbf{+" in text
    assert (
        re.search(r"(?<!\\)[%_#]", text) is None
        and "±" not in text
        and "\N{MINUS SIGN}" not in text
    )
    assert text.count("{") == text.count("}")


def test_groups_and_missing_methods_have_their_headings(tmp_path: Path) -> None:
    out = write_study(
        tmp_path,
        methods=("kd", "late"),
        seeds=[0],
        absent=[("late", 0, "")],
    )
    grid = json.loads((out / "grid.json").read_text())
    grid["tables"][0]["methods"][0]["group"] = "One teacher"
    (out / "grid.json").write_text(json.dumps(grid))
    (table,) = load_study(out).tables
    found = rows(study_markdown(table))
    assert [name for name in found if name.startswith("*")] == [
        "*One teacher*", "*Without a whole seed*"
    ]  # fmt: skip
    assert list(found)[-1] == "late" and found["late"][2] == "0 of 1"
    assert r"\multicolumn{8}{l}{\emph{One teacher}} \\" in study_latex(table)


def test_students_that_differ_alone_have_a_column_of_baselines(tmp_path: Path) -> None:
    def cell(method: str, seed: int, fold: str) -> dict[str, Any]:
        return {"parameters": 1} if method == "kd" else {}

    (table,) = load_study(write_study(tmp_path, cell=cell)).tables
    found = rows(study_markdown(table))
    change = table.methods[0].difference
    assert found["Method"][5] == "Baseline %" and change is not None
    assert found["pskd"][5].startswith(f"{100 * change.baseline.mean:.1f} ±")
    assert "student_alone" not in found


def test_macro_f1_comes_first_where_it_is_usual(tmp_path: Path) -> None:
    def cell(method: str, seed: int, fold: str) -> dict[str, Any]:
        return {"headline": "macro_f1"}

    (table,) = load_study(write_study(tmp_path, cell=cell)).tables
    assert rows(study_markdown(table))["Method"][3:5] == ["Macro-F1 %", "Accuracy %"]
    assert "Difference: macro-f1" not in caption(table)
    assert "Difference: macro-F1 minus" in caption(table)


def test_terminal_shows_the_same(study: Study) -> None:
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(study_terminal(study.tables[0]))
    text = captured.get()
    assert "pskd" in text and "2 of 3" in text and "50%_|<b>&" in text and "baseline" in text


def test_json_holds_what_the_table_holds(study: Study) -> None:
    tree = json.loads(json.dumps(study_json(study)))
    (table,) = tree["tables"]
    alone, pskd, kd, _ = table["methods"]
    assert alone["name"] == "student_alone" and alone["difference"] is None
    assert pskd["runs"] == [f"cells/main/pskd/seed{s}" for s in range(3)]
    change = study.tables[0].methods[0].difference
    assert change is not None and pskd["difference"]["interval"] == list(change.interval or ())
    assert kd["missing"] == 1 and table["missing_cells"][0]["error"] == "disk full"
