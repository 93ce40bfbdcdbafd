"""A student of which it is known what it says, on recordings of which it is known what is done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pskd.cli.app import app
from pskd.edge.settings import StreamSettings
from pskd.edge.targets import Answer
from pskd.errors import DataError
from pskd.evaluate.events import Interval, Report
from pskd.evaluate.streams.facts import StreamEvaluation
from pskd.evaluate.streams.page import write_stream_page
from pskd.models.student_config import StudentConfig
from pskd.stream.evaluate import (
    confusion,
    evaluate,
    pooled,
    recognise,
    remember,
    reports_of,
    trade_off,
)
from pskd.stream.labelled import LongRecording
from pskd.stream.recognizer import IDLE, Prediction
from pskd.stream.runtime import Student

CONFIG = StudentConfig(
    model="none", dataset="none", classes=["rest", "wave", "clap"], samples=20, embedding=8,
    rate=10.0, window_seconds=2.0, hop_seconds=0.5, normalisation="none", placement="wrist",
    protocol="none", protocol_note="none", parameters=0, macs=0, licence="none", seed=0,
)  # fmt: skip
RAW = StreamSettings(smoothing="none")


def runner(window: np.ndarray) -> Answer:
    """Names the class whose number is the mean of x, the surer the nearer."""
    logits = -5 * np.abs(np.arange(3) - window[0, 0].mean()).astype(np.float32)
    e = np.exp(logits - logits.max())
    return Answer(logits, e / e.sum())


def recording(*truth: Interval, seconds: float = 30.0) -> LongRecording:
    """At 10 Hz, x is the number of the class that is done, and 0 while nothing is."""
    times = np.arange(round(seconds * 10)) / 10
    acceleration = np.zeros((len(times), 3), np.float32)
    acceleration[:, 2] = 1
    for span in truth:
        inside = (span.start - 1e-9 <= times) & (times < span.stop - 1e-9)
        acceleration[inside, 0] = CONFIG.classes.index(span.label)
    return LongRecording("made", times, acceleration, truth)


ONE = recording(Interval(5, 10, "wave"), Interval(15, 20, "clap"))


def test_reports_against_a_count_by_hand() -> None:
    # A window is named after the mean of x. It ends at 2, 2.5, ... s; that of 6 s is half wave,
    # and a tie goes to the first class. Clap is passed by wave on its way up and down.
    (done,) = recognise(runner, CONFIG, RAW, [ONE])
    assert [(r.label, r.time) for r in done.reports] == [
        ("rest", 2.0), ("wave", 6.5), ("rest", 11.0),
        ("wave", 16.0), ("clap", 17.0), ("wave", 20.5), ("rest", 21.5),
    ]  # fmt: skip
    wave = done.reports[1]
    assert (wave.start, wave.stop) == pytest.approx((6.5 - 1 - 0.25, 10.5 - 1 + 0.25))
    figures = done.figures
    assert (figures.true, figures.reported, figures.matched) == (2, 7, 2)
    assert figures.delays == pytest.approx((1.5, 2.0))
    # the wave of 15 to 15.5 s is over the clap, that of 19.25 to 20.25 s mostly too
    assert (figures.insertions, figures.substitutions, figures.repeats) == (3, 2, 0)
    assert pooled([done, done]).delays == pytest.approx((1.5, 2.0) * 2)
    np.testing.assert_allclose(confusion([done, done], CONFIG.classes).sum(), 60)


def test_idle_ends_an_action_and_a_break_does() -> None:
    def window(end: float, name: str, action: str | None = None) -> Prediction:
        return Prediction(end - 2, end, name, 1.0, (1.0,), 0.0, 0.0, action)

    predictions = [
        window(2.0, "wave"),  # named, but not yet reported
        window(2.5, "wave", "wave"),
        window(3.0, "wave"),
        window(3.5, IDLE),
        window(4.0, "wave", "wave"),
        window(9.0, "wave", "wave"),  # after a gap
        window(9.5, "clap"),  # never reported
    ]
    assert reports_of(predictions, 0.5) == [
        Report(0.75, 2.25, "wave", 2.5),
        Report(2.75, 3.25, "wave", 4.0),
        Report(7.75, 8.25, "wave", 9.0),
    ]


def test_a_threshold_trades_false_alarms_for_misses() -> None:
    points = trade_off(runner, CONFIG, RAW, [ONE])
    assert [p.threshold for p in points] == sorted(p.threshold for p in points)
    assert points[0].figures == recognise(runner, CONFIG, RAW, [ONE])[0].figures
    settings = RAW.model_copy(
        update={"rejection": "probability", "threshold": points[12].threshold}
    )
    (done,) = recognise(runner, CONFIG, settings, [ONE])
    assert points[12].figures == done.figures
    assert points[-1].figures.reported < points[0].figures.reported


def test_a_window_is_computed_once() -> None:
    seen = []

    def counted(window: np.ndarray) -> Answer:
        seen.append(window.copy())
        return runner(window)

    remembered = remember(counted)
    first, second = (recognise(remembered, CONFIG, RAW, [ONE])[0] for _ in range(2))
    assert first.predictions == second.predictions
    assert len(seen) == len({window.tobytes() for window in seen}) < len(first.predictions)


def test_a_recording_too_short() -> None:
    with pytest.raises(DataError, match=r"made: lasts 1.50 s, and has no window of 2 s"):
        recognise(runner, CONFIG, RAW, [recording(seconds=1.5)])


def test_facts_make_the_page(tmp_path: Path) -> None:
    student = Student(runner, CONFIG, RAW, "none")
    other = recording(Interval(3, 8, "clap"), seconds=12)
    found = evaluate(student, [ONE, other], run="<b>run</b>", source="By hand.")
    assert found == StreamEvaluation.model_validate_json(found.model_dump_json())
    assert found.total.true == 3
    assert found.total.seconds == pytest.approx(42)
    assert {name: f.true for name, f in found.classes.items()} == {"rest": 0, "wave": 1, "clap": 2}
    paired = [
        [s.paired for s in spans] for spans in (found.streams[0].truth, found.streams[0].reports)
    ]
    assert paired == [[True, True], [False, True, False, False, True, False, False]]
    assert len(found.trace.norm) == 30 * 20
    page = write_stream_page(found, tmp_path / "page.html").read_text()
    assert "&lt;b&gt;run" in page
    assert "<b>run" not in page
    assert "http" not in page.replace("http://www.w3.org", "")
    for shown in ("made", "By hand.", "100.0", "clap, 15.00 to 20.00 s"):
        assert shown in page


def test_the_command_on_a_run_and_on_ones_own(
    run: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSKD_CACHE", str(cache))

    def call(*words: object) -> str:
        result = CliRunner().invoke(app, ["stream-eval", *map(str, words)], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    shown = call(run, "--out", tmp_path / "a")
    assert "subject 2" in shown
    facts = StreamEvaluation.model_validate_json((tmp_path / "a" / "stream-eval.json").read_text())
    assert facts.seed == 0
    assert f"{facts.total.median_delay:.2f}" in shown
    assert (tmp_path / "a" / "stream-eval.html").stat().st_size > 10_000

    samples = "\n".join(f"{k / 50},{np.sin(k / 5):.3f},0,1" for k in range(1000))
    (tmp_path / "walk.csv").write_text(f"t,x,y,z\n{samples}\n")
    label = facts.student["classes"][0]
    (tmp_path / "labels.csv").write_text(f"start,stop,label\n3,6,{label}\n")
    mine = call(
        run, tmp_path / "walk.csv", "--labels", tmp_path / "labels.csv",
        "--out", tmp_path / "b", "--json",
    )  # fmt: skip
    assert json.loads(mine)["total"]["true"] == 1
    assert json.loads(mine)["streams"][0]["name"] == "walk.csv"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["walk.csv"], "a recording and its labels go together"),
        (["--labels", "labels.csv"], "a recording and its labels go together"),
    ],
)
def test_a_recording_needs_labels(run: Path, words: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["stream-eval", str(run), *words])
    assert message in str(result.exception)


def test_a_student_without_its_run(run: Path) -> None:
    result = CliRunner().invoke(app, ["stream-eval", str(run / "student")])
    assert "no run here, whose recordings could be recognised" in str(result.exception)
