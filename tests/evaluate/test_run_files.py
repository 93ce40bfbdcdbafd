"""Reading run folders: what is there is read, what is not is named."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pskd.errors import CheckpointError, UsageError
from pskd.evaluate import load_run, score

MakeRun = Callable[..., Path]


def test_reads_everything(make_run: MakeRun) -> None:
    run = load_run(make_run(validation=True))
    assert list(run.summary.stages) == ["skeleton", "fused", "sensor", "student", "student_alone"]
    assert run.summary.dataset.classes[:2] == ("swipe left", "swipe right")
    assert run.summary.stages["student"].teachers == ("skeleton", "fused", "sensor")
    assert len(run.epochs) == 5 * 60
    assert run.epochs[-1].validation_accuracy is not None
    assert set(run.epochs[100].choices or {}) == {"skeleton", "label"}
    assert run.recipe["chain"][0]["name"] == "skeleton"
    assert run.environment["torch"] == "2.13.0"
    said = run.predictions["student"]
    assert said.probabilities.shape == (192, 12)
    assert said.embeddings is not None and said.embeddings.shape == (192, 16)
    again = score(said.true, said.predicted, said.subjects, run.summary.dataset.classes)
    assert again == run.summary.stages["student"].test


def test_validation_rows_are_no_test_rows(make_run: MakeRun) -> None:
    path = make_run()
    table = path / "predictions" / "student.csv"
    lines = table.read_text().splitlines()
    extra = lines[1].replace(",test,", ",validation,")
    table.write_text("\n".join([lines[0], extra, *lines[1:]]) + "\n")
    values = np.load(path / "embeddings" / "student.npy")
    np.save(path / "embeddings" / "student.npy", np.vstack([values[:1] * 0 + 9, values]))
    said = load_run(path).predictions["student"]
    assert len(said.recordings) == len(said.true) == 192
    assert said.embeddings is not None
    np.testing.assert_array_equal(said.embeddings, values)


def test_embeddings_are_optional(make_run: MakeRun) -> None:
    path = make_run(embeddings=False)
    shutil.rmtree(path / "embeddings")
    assert load_run(path).predictions["student"].embeddings is None


def test_rounding_errors_and_diverged_losses_pass(make_run: MakeRun) -> None:
    path = make_run()
    above = 1.0000000000000002
    line = {"stage": "student", "epoch": 1, "epochs": 1, "loss": math.nan,
            "train_accuracy": above, "choices": {"label": above}}  # fmt: skip
    (path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    (epoch,) = load_run(path).epochs
    assert math.isnan(epoch.loss) and epoch.train_accuracy > 1


def test_quoted_names_and_unknown_keys_pass(make_run: MakeRun) -> None:
    path = make_run(subjects=("s2",), trials=1, changes={"a_key_of_tomorrow": 1})
    table = path / "predictions" / "student.csv"
    table.write_text(table.read_text().replace("a1_s2_t1", '"a1, ""first"""'))
    assert load_run(path).predictions["student"].recordings[0] == 'a1, "first"'


@pytest.mark.parametrize(
    "file", ["summary.json", "recipe.yaml", "environment.json", "metrics.jsonl",
             "predictions/student.csv"],
)  # fmt: skip
def test_missing_and_binary_files_are_named(make_run: MakeRun, file: str) -> None:
    path = make_run()
    (path / file).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match=rf"{file}: not text\..*`pskd train`"):
        load_run(path)
    (path / file).unlink()
    with pytest.raises(CheckpointError, match=rf"{file}: missing\..*`pskd train`"):
        load_run(path)


def cut_last_line(text: str) -> str:
    return text[:-20]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("summary.json", cut_last_line, "does not parse"),
        ("summary.json", lambda _: "[]", "not a mapping"),
        ("summary.json", lambda t: t.replace('"seed": 0', '"seed": "x"'), "seed: "),
        ("summary.json", lambda t: t.replace('"format": 1,', ""), "format: Field required"),
        ("summary.json", lambda t: t.replace('"student": "student"', '"student": "pupil"'),
         "student is 'pupil', which is none of its stages"),
        ("recipe.yaml", lambda _: "a: [1", "does not parse"),
        ("recipe.yaml", lambda _: "a: &a [1]\nb: [*a, *a]", "does not parse"),
        ("recipe.yaml", lambda _: "[" * 10_000, "does not parse"),
        ("summary.json", lambda _: "[" * 100_000, "does not parse"),
        ("environment.json", lambda _: "[" * 100_000, "does not parse"),
        ("environment.json", cut_last_line, "does not parse"),
        ("metrics.jsonl", cut_last_line, r"metrics.jsonl, line 300: Invalid JSON"),
        ("metrics.jsonl", lambda t: t.replace('"train_accuracy": 0', '"train_accuracy": 7', 1),
         "line 1: train_accuracy: .*less than or equal to 1"),
        ("predictions/student.csv", cut_last_line, "line 193: not a whole row"),
        ("predictions/student.csv", lambda t: t.replace("test,0,", f"test,{10**30},"), "line 2"),
        ("predictions/student.csv", lambda t: t.replace("p_11", "p_12"), "its columns are not"),
        ("predictions/student.csv", lambda t: "", "its columns are not"),
        ("predictions/student.csv", lambda t: t.replace("test,0,", "test,12,"), "outside the 12"),
        ("predictions/student.csv", lambda t: t[:t.rindex(",")] + ",nan\n", "not finite"),
        ("predictions/student.csv", lambda t: t.replace("a1_s2_t2", "a1_s2_t1"), "twice"),
    ],
)  # fmt: skip
def test_torn_files_are_named(
    make_run: MakeRun, file: str, change: Callable[[str], str], message: str
) -> None:
    path = make_run()
    (path / file).write_text(change((path / file).read_text()))
    with pytest.raises(CheckpointError, match=message) as caught:
        load_run(path)
    assert Path(file).name in str(caught.value)


def test_a_folder_in_place_of_a_file_is_named(make_run: MakeRun) -> None:
    path = make_run()
    (path / "summary.json").unlink()
    (path / "summary.json").mkdir()
    with pytest.raises(CheckpointError, match=r"summary\.json: cannot be read \(Is a directory\)"):
        load_run(path)


def test_scores_that_the_predictions_do_not_give_are_refused(make_run: MakeRun) -> None:
    path = make_run()
    tree = json.loads((path / "summary.json").read_text())
    tree["stages"]["student"]["test"]["macro_f1"] += 0.01
    (path / "summary.json").write_text(json.dumps(tree))
    with pytest.raises(CheckpointError, match=r"student\.csv: gives other scores of classes"):
        load_run(path)


def test_predictions_and_summary_must_agree(make_run: MakeRun) -> None:
    path = make_run(embeddings=False)
    table = path / "predictions" / "student.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(CheckpointError, match=r"of 191 test clips .* of 192 in summary\.json"):
        load_run(path)


@pytest.mark.parametrize("kind", ["pickle", "torn", "rows", "nan", "empty"])
def test_bad_embeddings_are_named(make_run: MakeRun, kind: str) -> None:
    path = make_run()
    file = path / "embeddings" / "student.npy"
    values = np.load(file)
    if kind == "pickle":
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif kind in {"torn", "empty"}:
        file.write_bytes(file.read_bytes()[: -100 if kind == "torn" else 0])
    elif kind == "rows":
        np.save(file, values[1:])
    else:
        np.save(file, np.where(values > values.mean(), np.nan, values))
    with pytest.raises(CheckpointError, match=r"student\.npy"):
        load_run(path)


def test_a_newer_format_says_what_to_do(make_run: MakeRun) -> None:
    path = make_run(changes={"format": 2, "stages": "quite another layout"})
    with pytest.raises(CheckpointError, match=r"format 2, .* up to 1\. Update pskd"):
        load_run(path)


def test_stage_names_stay_inside_the_folder(make_run: MakeRun) -> None:
    path = make_run()
    summary = json.loads((path / "summary.json").read_text())
    summary["stages"]["../../secret"] = summary["stages"]["student"]
    (path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(CheckpointError, match="should match pattern"):
        load_run(path)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such run folder"):
        load_run(tmp_path / "nowhere")
