"""`pskd live`: a session over sources played by the test, and the command as a user runs it."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pskd.cli import main
from pskd.cli.live import stopped_by_signals
from pskd.cli.live_view import View, sparkline, summary
from pskd.datasets.folder import Folder
from pskd.edge.settings import StreamSettings
from pskd.edge.targets import Answer
from pskd.errors import DataError, PskdError, UsageError
from pskd.models.student_config import StudentConfig
from pskd.stream.live import Session
from pskd.stream.recognizer import Prediction, Recognizer
from pskd.stream.record import Recorder
from pskd.stream.runtime import Student, open_student
from pskd.stream.sources import Event, Notice, Options, Source, SourceError
from pskd.stream.sources.base import event
from pskd.stream.sources.lines import Lines
from pskd.stream.sources.mailbox import Mailbox
from pskd.stream.wire import Finish, Hello, Samples

AXES = ["forward", "aside", "up"]


@pytest.fixture
def student() -> Student:
    """Says along which axis the mean acceleration of a window points; a window is a second."""
    config = StudentConfig(
        model="none",
        dataset="none",
        classes=AXES,
        samples=32,
        embedding=2,
        rate=32,
        window_seconds=1,
        hop_seconds=0.5,
        normalisation="none",
        placement="left wrist",
        protocol="none",
        protocol_note="none",
        parameters=0,
        macs=0,
        licence="none",
        seed=0,
    )

    def runner(window: np.ndarray) -> Answer:
        logits = 9 * window.mean(axis=2)[0]
        e = np.exp(logits - logits.max())
        return Answer(logits, e / e.sum())

    return Student(runner, config, StreamSettings(smoothing="none"), "torch")


class Played(Source):
    schemes = ("played",)

    def __init__(self, *messages: object, error: PskdError | None = None) -> None:
        super().__init__("played", "", Options())
        self.messages, self.error, self.closed = messages, error, False

    def events(self) -> Generator[Event, None, None]:
        try:
            for message in self.messages:
                yield event(message)
            if self.error:
                raise self.error
        finally:
            self.closed = True


def pointing(axis: str, start: float, seconds: float, rate: float = 50) -> Samples:
    times = start + np.arange(round(seconds * rate)) / rate
    values = np.zeros((len(times), 3), np.float32)
    values[:, AXES.index(axis)] = 1
    return Samples(values, times)


THREE = (
    Hello("g", None),
    pointing("up", 10, 3),
    pointing("aside", 13, 3),
    pointing("up", 16, 3),
)


def whole(session: Session) -> tuple[list[Prediction], list[str]]:
    said = [*session.run(), *session.finish()]
    return (
        [s for s in said if isinstance(s, Prediction)],
        [s.text for s in said if isinstance(s, Notice)],
    )


def test_a_session_gives_what_the_recognizer_gives(student: Student, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, subject="anna", placement="left wrist")
    session = Session(student, Played(*THREE), recorder)
    predictions, notices = whole(session)
    recorder.close()
    alone = Recognizer(student.runner, student.config, student.settings)
    samples = [np.concatenate(parts) for parts in zip(*THREE[1:], strict=True)]
    assert predictions == alone.push(*samples) + alone.finish()
    assert notices == []
    assert session.actions == {"up": 2, "aside": 1}
    assert [p.action for p in session.timeline] == ["up", "aside", "up"]
    assert session.counts == alone.counts
    assert session.rate == pytest.approx(50, rel=0.01)
    assert max(session.latencies) < 5 and len(session.latencies) <= len(predictions)
    dataset = Folder(tmp_path)
    kept = [dataset.load(trial) for trial in dataset.trials()]
    assert [dataset.classes[r.label] for r in kept] == ["up", "aside", "up"]
    assert [r.acceleration.mean(axis=0).argmax() for r in kept] == [2, 1, 2]


def test_metres_and_a_rate_of_the_hello(student: Student) -> None:
    values = 9.80665 * pointing("aside", 0, 3).acceleration
    predictions, _ = whole(Session(student, Played(Hello("m/s2", 50.0), Samples(values, None))))
    assert {p.class_name for p in predictions} == {"aside"}
    assert predictions[0].probability == pytest.approx(np.exp(9) / (np.exp(9) + 2), rel=1e-5)
    assert predictions[-1].end_s == pytest.approx(3)


@pytest.mark.parametrize("rate", [50.0, None])
def test_where_samples_are_missing_a_stream_with_a_rate_begins_a_new_part(
    student: Student, rate: float | None
) -> None:
    """Half a window up, lost samples, half a window aside: with times, the gap shows itself."""
    half = 0.75 * student.config.window_seconds
    one, other = pointing("up", 0, half), pointing("aside", 100, half)
    if rate:
        one, other = (Samples(part.acceleration, None) for part in (one, other))
    missing = Notice("", lost=True)
    session = Session(student, Played(Hello("g", rate), one, missing, other))
    told = [*session.run()]
    assert all(isinstance(one, Notice) and one.text for one in told), "a window of both"
    assert session.counts.gaps == 1
    assert session.counts.samples == len(one.acceleration) + len(other.acceleration)


def test_another_unit_or_a_finish_begins_a_new_part(student: Student) -> None:
    metres = pointing("aside", 0, 2)
    session = Session(
        student,
        Played(
            *THREE[:2],
            Hello("g", None),  # said again: nothing changes
            pointing("up", 13, 1),
            Hello("m/s2", None),
            Samples(9.80665 * metres.acceleration, metres.times),
            Finish(),
            metres,
        ),
    )
    predictions, notices = whole(session)
    assert session.counts.samples == 150 + 50 + 100 + 100
    assert {p.class_name for p in predictions if p.start_s >= 10} == {"up"}
    assert session.actions["up"] == 1
    assert session.counts.windows == len(predictions)
    assert any("norm" in n for n in notices)  # the last part is g, said to be m/s2


@pytest.mark.parametrize(
    ("messages", "error", "reason"),
    [
        ([pointing("up", 0, 2)], UsageError, "their unit was not said"),
        ([Hello("g", None), Samples(np.zeros((9, 3), np.float32), None)], UsageError, "no rate"),
        ([Hello("g", 2.0), Samples(np.zeros((9, 3), np.float32), None)], UsageError, "far from"),
        ([Hello("g", None), pointing("up", 0, 0.2)], DataError, "before a window was full"),
        ([Hello("g", None)], DataError, "no samples came"),
        ([], DataError, "no samples came"),
    ],
)
def test_a_stream_that_cannot_be_recognised(
    student: Student, messages: list, error: type, reason: str
) -> None:
    source = Played(*messages)
    with pytest.raises(error, match=reason):
        whole(Session(student, source))
    assert source.closed


def test_one_odd_message_is_left_out_and_the_stream_lives(student: Student) -> None:
    source = Played(*THREE[:3], Samples(np.zeros((9, 3), np.float32), None), THREE[3])
    predictions, notices = whole(Session(student, source))
    assert source.malformed == 1
    assert "left out: samples come without times" in notices[0]
    assert predictions[-1].class_name == "up"


def test_a_hello_that_cannot_be_used_ends_no_stream(student: Student) -> None:
    no_times = Samples(np.zeros((9, 3), np.float32), None)
    source = Played(*THREE[:3], Hello("g", 2.0), no_times, Hello("g", None), THREE[3])
    predictions, notices = whole(Session(student, source))
    assert source.malformed == 1
    assert "far from the student's" in notices[0]
    assert predictions[-1].class_name == "up"


def test_what_was_recognised_before_a_failure_is_given_and_kept(
    student: Student, tmp_path: Path
) -> None:
    recorder = Recorder(tmp_path, subject="anna", placement="left wrist")
    session = Session(student, Played(*THREE, error=SourceError("the strap tore")), recorder)
    got = []
    with pytest.raises(SourceError, match="tore"):
        for said in session.run():
            got.append(said)
    got += session.finish()
    recorder.close()
    assert session.actions.total() == 3
    assert len(Folder(tmp_path).trials()) == 3


def test_a_recorder_that_fails_comes_after_what_was_recognised(
    student: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path, subject="anna", placement="left wrist")

    def full(samples: Samples) -> None:
        raise DataError("the disk is full")

    session = Session(student, Played(*THREE), recorder)
    running = session.run()
    next(running)
    monkeypatch.setattr(recorder, "keep", full)
    got = []
    with pytest.raises(DataError, match="full"):
        for said in running:
            got.append(said)
    recorder.close()
    assert got[-1].class_name == "aside"
    assert list(session.finish())  # and goes on without it


def test_a_clock_jump_is_told_once(student: Student) -> None:
    source = Played(*THREE, pointing("up", 2, 3), pointing("up", 50, 3), pointing("up", 2, 3))
    session = Session(student, source)
    _, notices = whole(session)
    assert session.counts.clock_jumps == 2
    assert sum("clock" in notice for notice in notices) == 1


def test_bad_lines_of_stdin_end_with_what_is_wrong(student: Student) -> None:
    source = Lines("-", "", Options(unit="g"), io.BytesIO(b'{"t":1,"x":1}\n' * 3))
    session = Session(student, source)
    said = list(session.run())
    assert "an axis is missing" in said[0].text
    with pytest.raises(DataError, match="no samples came"):
        list(session.finish())


def drawn(session: Session, width: int = 60, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=width, force_terminal=False).print(View(session))
    file.flush()
    return file.buffer.getvalue().decode(encoding)


def test_the_screen_shows_what_goes_on(student: Student) -> None:
    session = Session(student, Played(*THREE))
    assert "waiting for samples" in drawn(session)
    assert whole(session)
    shown = drawn(session)
    assert "UP" in shown and "100%" in shown
    assert "13" in shown and "aside" in shown  # the timeline
    assert "50.0 Hz" in shown and "gaps 0" in shown and "dropped 0" in shown
    assert max(map(len, drawn(session, 30).splitlines())) <= 30
    session.heard -= 7
    assert "no samples for 7 s" in drawn(session)
    assert drawn(session, encoding="ascii").isascii()


def test_the_trace_shows_rest_in_the_middle_and_peaks_whole() -> None:
    norms = [1.0] * 100
    norms[42] = 5.0
    assert sparkline(norms, 10) == "▅▅▅▅█▅▅▅▅▅"
    assert sparkline([0.0, 1.0, 2.0], 10, plain=True) == "_+@"
    assert sparkline([], 3) == "   "


def test_the_summary_counts(student: Student) -> None:
    session = Session(student, Played(*THREE))
    whole(session)
    assert summary(session, None)[0].startswith("450 samples, 17 windows, 3 actions: up 2, aside 1")


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    rows = np.column_stack([np.arange(1000) / 50, rng.normal([0, 0, 1], 0.3, (1000, 3))])
    path = tmp_path_factory.mktemp("walk") / "walk.csv"
    np.savetxt(path, rows, delimiter=",", header="t,x,y,z", comments="")
    return path


@pytest.fixture
def pskd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pskd", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


def test_the_command_prints_json_and_records(pskd, run: Path, walk: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    code, printed, said = pskd(
        *("live", run, walk, "--speed", "max", "--json", "--runtime", "torch"),
        *("--record", folder, "--subject", "ben"),
    )
    assert code == 0
    got = [json.loads(line) for line in printed.splitlines()]
    student = open_student(run, "torch")
    table = np.loadtxt(walk, delimiter=",", skiprows=1)
    recognizer = Recognizer(student.runner, student.config, student.settings)
    wanted = recognizer.push(table[:, 1:], table[:, 0]) + recognizer.finish()
    assert [(p["start_s"], p["class"]) for p in got] == [(p.start_s, p.class_name) for p in wanted]
    actions = [p["action"] for p in got if p["action"]]
    assert f"{len(actions)} actions" in said and "Kept in" in said
    dataset = Folder(folder)
    kept = [dataset.load(trial) for trial in dataset.trials()]
    assert [dataset.classes[r.label] for r in kept] == actions
    assert {r.subject for r in kept} == {"ben"}


def test_the_command_prints_a_line_an_action(pskd, run: Path, walk: Path) -> None:
    code, printed, said = pskd("live", run, walk, "--speed", "max")
    assert code == 0
    assert 0 < len(printed.splitlines()) == int(said.split(" actions")[0].split()[-1])
    assert "\x1b" not in printed


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["none.csv"], 2, "no such file"),
        (["mqqt://host/topic"], 2, "Did you mean 'mqtt'"),
        (["walk", "--unit", "G"], 2, "'G' is not one of 'g', 'm/s2'"),
        (["walk", "--unit", "m/s2"], 1, "looks like g, not m/s2"),
        (["walk", "--speed", "0"], 2, "speed '0'"),
        (["walk", "--speed", "fast"], 2, "speed 'fast'"),
        (["walk", "--runtime", "onx"], 2, "Did you mean 'onnx'"),
        (["simulated://x"], 2, "no seed"),
        (["mqtt://127.0.0.1:1/t"], 1, "cannot be reached"),
    ],
)
def test_the_command_refuses(
    pskd, run: Path, walk: Path, words: list[str], code: int, message: str
) -> None:
    if "mqtt://127" in words[0]:
        pytest.importorskip("paho.mqtt")
    words = [str(walk) if word == "walk" else word for word in words]
    got, printed, said = pskd("live", run, *words)
    assert (got, printed) == (code, "")
    assert message in said.replace("\n", " ")
    assert "Traceback" not in said


def test_a_short_file_is_an_error_that_says_what_is_needed(pskd, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    path.write_text("t,x,y,z\n0,0,0,1\n0.02,0,0,1\n")
    code, _, said = pskd("live", run, path)
    assert code == 1
    assert "before a window was full" in said


def start(*words: object) -> subprocess.Popen:
    line = [sys.executable, "-c", "from pskd.cli import main; main()", "live", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_ctrl_c_ends_it_with_a_summary(run: Path, tmp_path: Path) -> None:
    process = start(run, "simulated", "--speed", "5", "--json", "--record", tmp_path / "kept")
    assert json.loads(process.stdout.readline())["start_s"] == 0
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in said and "Kept in" in said
    assert all(json.loads(line) for line in printed.splitlines())
    assert Folder(tmp_path / "kept").trials()


def test_a_signal_ends_a_wait_for_samples_too(student: Student) -> None:
    class Silent(Played):
        def events(self) -> Generator[Event, None, None]:
            try:
                yield from Mailbox().events()
            finally:
                self.closed = True

    session = Session(student, Silent())
    before = signal.getsignal(signal.SIGTERM)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with stopped_by_signals(session):
        assert list(session.run()) == []
    assert session.source.closed
    assert list(session.finish()) == []  # nobody is told that no samples came
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_kill_leaves_what_was_printed(run: Path, tmp_path: Path) -> None:
    process = start(run, "simulated", "--speed", "5", "--json", "--record", tmp_path / "kept")
    printed = [json.loads(process.stdout.readline()) for _ in range(4)]
    process.kill()
    process.communicate()
    dataset = Folder(tmp_path / "kept")
    labels = [dataset.classes[dataset.load(trial).label] for trial in dataset.trials()]
    actions = [p["action"] for p in printed if p["action"]]
    assert labels[: len(actions)] == actions


def test_stdin_is_recognised_as_it_comes_and_a_closed_pipe_ends_it_quietly(run: Path) -> None:
    process = start(run, "-", "--unit", "g", "--json")
    samples = [f"{i / 50},0,0,1\n" for i in range(1000)]
    process.stdin.writelines(samples[:500])
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["type"] == "prediction"  # while more may come
    process.stdout.close()
    process.stdin.writelines(samples[500:])
    process.stdin.close()
    said = process.stderr.read()
    assert process.wait(60) == 0
    assert "Traceback" not in said and "Broken" not in said
    process.stderr.close()
