"""The result table in its three forms tells the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pskd.evaluate import as_json, load_run, markdown_table, terminal_table, write_report
from pskd.evaluate.compare import Gain
from pskd.evaluate.statistics import mcnemar, spread, t_interval
from pskd.evaluate.words import count, duration, gain_words, p_words, signed

MakeRun = Callable[..., Path]


def test_markdown_of_one_run(make_run: MakeRun) -> None:
    path = make_run()
    text = markdown_table([path])
    test = load_run(path).summary.stages["student"].test
    assert text.startswith("**UTD-MHAD, cross_subject, 192 test clips, seed 0**\n\n| Stage |")
    row = (
        "| student | student | acceleration | 49,707 | 3.12 M | "
        f"{100 * test.accuracy:.1f} | {100 * test.macro_f1:.1f} | 2 min 01 s |"
    )
    assert row in text.splitlines()
    assert "exact McNemar p" in text.splitlines()[-1]


def test_markdown_of_several_runs(make_run: MakeRun) -> None:
    paths = [make_run(f"r{s}", seed=s) for s in range(3)]
    text = markdown_table(paths)
    shares = [load_run(p).summary.stages["fused"].test.accuracy for p in paths]
    mean, sd = 100 * np.mean(shares), 100 * np.std(shares, ddof=1)
    assert f"| {mean:.1f} ± {sd:.1f} |" in text
    assert "seeds 0, 1, 2**" in text
    assert re.search(r"95 % t interval \S+ to \S+, 3 seeds, paired", text)


def test_the_usual_score_of_the_dataset_comes_first(make_run: MakeRun) -> None:
    changes = {"dataset.headline": "macro_f1"}
    paths = [make_run(f"r{s}", seed=s, changes=changes) for s in range(3)]
    text = markdown_table(paths)
    assert "| Macro-F1 % | Accuracy % |" in text
    f1 = {
        name: [load_run(p).summary.stages[name].test.macro_f1 for p in paths]
        for name in ("student", "student_alone")
    }
    gain = float(np.mean(np.subtract(f1["student"], f1["student_alone"])))
    assert f"{signed(gain)} points" in text
    row = next(line for line in text.splitlines() if line.startswith("| student |"))
    assert f"| {100 * np.mean(f1['student']):.1f} ± " in row
    assert row.index(f"{100 * np.mean(f1['student']):.1f} ± ") < row.rindex(" ± ")
    page = write_report(paths, paths[0] / "page.html").read_text()
    assert page.index("Macro-F1 %") < page.index("Accuracy %")
    assert "Macro-F1 of 192 test clips, seeds 0, 1, 2" in page
    single = write_report(paths[:1], paths[0] / "one.html").read_text()
    assert "Macro-F1 of 192 test clips; Accuracy " in single


def test_recipes_get_a_column_when_there_are_several(make_run: MakeRun) -> None:
    text = markdown_table([make_run("a"), make_run("b", recipe="x|y")])
    head, rule, first, *_ = text.splitlines()[2:]
    assert head.startswith("| Recipe | Stage |") and first.startswith("| utd_mhad | skeleton |")
    assert head.count("|") == rule.count("|") == first.count("|")
    assert "| x\\|y | student |" in text


def test_not_subject_independent_is_said_everywhere(make_run: MakeRun) -> None:
    changes = {"protocol.name": "trial_split", "protocol.subject_independent": False}
    path = make_run(changes=changes)
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as shown:
        console.print(terminal_table([path]))
    for text in (markdown_table([path]), shown.get()):
        assert "trial_split (NOT subject-independent)" in text
    assert as_json([path])["protocol"]["subject_independent"] is False


def test_terminal_table_shows_names_as_they_are(make_run: MakeRun) -> None:
    path = make_run(recipe="[bold]x", changes={"dataset.title": "[red]loud"})
    console = Console(width=160)
    with console.capture() as shown:
        console.print(terminal_table([path]))
    assert "[red]loud" in shown.get()
    assert re.search(r"student_alone .*49,707 .*3\.12 M", shown.get())


def test_json_round_trips_and_holds_the_figures(make_run: MakeRun) -> None:
    paths = [make_run(f"r{s}", seed=s) for s in range(2)]
    tree = as_json(paths)
    assert json.loads(json.dumps(tree, allow_nan=False)) == json.loads(json.dumps(tree))
    (recipe,) = tree["recipes"]
    assert recipe["seeds"] == [0, 1] and recipe["runs"] == [str(p) for p in paths]
    shares = [load_run(p).summary.stages["student"].test.accuracy for p in paths]
    assert recipe["stages"]["student"]["accuracy"]["mean"] == pytest.approx(np.mean(shares))
    assert set(recipe["gain"]) == {"difference", "interval", "pairs"}
    single = as_json(paths[:1])["recipes"][0]
    assert (
        single["gain"]["interval"] is None and single["stages"]["fused"]["accuracy"]["sd"] is None
    )


def test_numbers_in_words() -> None:
    assert [count(n) for n in (None, 49_707, 3_120_000, 2_500_000_000)] == [
        "\N{EN DASH}", "49,707", "3.12 M", "2.5 G",
    ]  # fmt: skip
    assert [duration(s) for s in (0.2, 59.6, 125, 3725)] == [
        "0 s", "1 min 00 s", "2 min 05 s", "1 h 02 min",
    ]  # fmt: skip
    assert [signed(x) for x in (0.0123, -0.0123, -0.0001)] == ["+1.2", "\N{MINUS SIGN}1.2", "0.0"]
    assert [p_words(p) for p in (0.0004, 0.0456, 1.0)] == ["p < 0.001", "p = 0.046", "p = 1"]


def test_a_gain_that_all_seeds_share_has_no_interval() -> None:
    pairs = (mcnemar([True, True], [True, False]),) * 2
    gain = Gain(spread([0.5, 0.5]), t_interval([0.5, 0.5]), pairs)
    assert gain_words(gain) == "+50.0 points (the same in 2 seeds: no interval)"
    alone = Gain(spread([0.5]), t_interval([0.5]), pairs[:1])
    assert gain_words(alone) == "+50.0 points (1 clip won, 0 lost; exact McNemar p = 1)"
