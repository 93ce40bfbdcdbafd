"""Sources that need no network: what is asked for by name, files, stdin, simulated people."""

import io
import math
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pskd.datasets.simulated import Simulated
from pskd.errors import PskdError, UsageError
from pskd.stream.sources import SOURCES, Event, Notice, Options, SourceError, open_source
from pskd.stream.sources import base as base_module
from pskd.stream.sources.lines import Lines
from pskd.stream.sources.mailbox import Mailbox
from pskd.stream.sources.pace import Pace
from pskd.stream.wire import MAX_BYTES, Finish, Hello, Samples

FAST = Options(speed=math.inf)


def lines(text: str | bytes, **options) -> tuple[Lines, list]:
    data = text if isinstance(text, bytes) else text.encode()
    source = Lines("-", "", Options(**options), io.BytesIO(data))
    return source, [event.message for event in source.events()]


def joined(events: list[Event]) -> tuple[np.ndarray, np.ndarray]:
    samples = [e.message for e in events if isinstance(e.message, Samples)]
    return np.concatenate([s.acceleration for s in samples]), np.concatenate(
        [s.times for s in samples]
    )


def test_sources_are_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_module, "find_spec", lambda name: name)  # whatever is installed
    assert {"-", "file", "mqtt", "mqtts", "ble", "simulated"} <= SOURCES.keys()
    assert open_source("walk.csv", FAST).title == "walk.csv"
    assert open_source("-", FAST).title == "stdin"
    assert open_source("MQTT://h/t", FAST).title == "mqtt://h/t"


def test_an_unknown_scheme_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no source is called mqt://.*Did you mean 'mqtt'"):
        open_source("mqt://host/topic", FAST)


def test_a_password_is_not_shown_with_a_scheme_that_is_misspelt() -> None:
    with pytest.raises(UsageError, match=r"mqttss://broker/wrist: no source") as caught:
        open_source("mqttss://anna:secret@broker/wrist", FAST)
    assert "secret" not in str(caught.value)


def test_a_topic_with_a_question_mark() -> None:
    pytest.importorskip("paho")
    assert open_source("mqtt://h/a?b", FAST)._topic == "a?b"


def test_a_source_without_its_library_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(base_module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs bleak, .* pip install 'pskd\[ble\]'"):
        open_source("ble://watch", FAST)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_is_given_whole_and_in_order(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.03, 3000))
    acceleration = rng.normal([0, 0, 1], 0.2, (3000, 3)).astype(np.float32)
    path = tmp_path / f"walk.{kind}"
    if kind == "csv":
        rows = np.column_stack([times, acceleration])
        np.savetxt(path, rows, delimiter=",", header="t,x,y,z", comments="", fmt="%.17g")
    else:
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        columns = {"t": times, **dict(zip("xyz", acceleration.T.copy(), strict=True))}
        parquet.write_table(pa.table(columns), path)
    events = list(open_source(str(path), FAST).events())
    assert events[0].message == Hello("g", None)
    got, at = joined(events)
    np.testing.assert_array_equal(got, acceleration)
    np.testing.assert_array_equal(at, times)


def test_a_file_in_another_unit_comes_in_g(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{0.02 * i:.2f},0,0,19.6133\n" for i in range(100))
    path.write_text("t,x,y,z\n" + rows)
    events = list(open_source(str(path), Options(unit="m/s2", speed=math.inf)).events())
    np.testing.assert_allclose(joined(events)[0][:, 2], 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "no such file"),
        ("none.parquet", None, "no such file"),
        ("axis.csv", "t,x,y\n0,1,2\n1,1,2\n", "no column for z"),
        ("torn.parquet", "PAR1", "parquet"),
        ("a.csv", "x,y,z\n0,0,1\n0,0,1\n", "no time stamps and no rate"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    with pytest.raises(PskdError, match=message):
        list(open_source(str(path), FAST).events())


def test_a_folder_is_no_file_of_samples(tmp_path: Path) -> None:
    folder = tmp_path / "a.parquet"
    folder.mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        list(open_source(str(folder), FAST).events())


def test_playing_takes_the_time_that_was_asked_for() -> None:
    times = np.arange(0, 3, 0.02)
    began = time.monotonic()
    events = list(Pace(10.0).chunks(np.zeros((150, 3), np.float32), times))
    took = time.monotonic() - began
    assert 0.29 < took < 1.0
    assert len(events) == 3  # of a second each: a tenth of ours
    due = [event.at - began for event in events]
    np.testing.assert_allclose(due, [0.098, 0.198, 0.298], atol=0.01)


def test_simulated_people_move_as_in_the_dataset() -> None:
    source = open_source("simulated://3", FAST)
    events = []
    with_names = []
    for event in source.events():
        if isinstance(event.message, Notice):
            with_names.append(event.message.text.rsplit(": ", 1)[1])
        events.append(event)
        if len(with_names) == 4:
            break
    acceleration, times = joined(events)
    np.testing.assert_allclose(np.diff(times), 0.02, rtol=1e-6)
    assert set(with_names) <= set(Simulated.classes)
    norm = np.linalg.norm(acceleration, axis=1)
    assert 0.9 < np.median(norm) < 1.1
    assert norm.std() > 0.05  # something is done
    jumps = np.linalg.norm(np.diff(acceleration, axis=0), axis=1)
    assert jumps.max() < 1.5  # no step where one movement passes into the next


def test_a_seed_is_a_number() -> None:
    with pytest.raises(UsageError, match="no seed"):
        open_source("simulated://anna", FAST)


def test_lines_of_json() -> None:
    _, got = lines(
        '{"type":"hello","version":1,"unit":"m/s2"}\n\n'
        '{"t":1.5,"x":1,"y":2,"z":3}\n{"samples":[[2,1,2,3],[3,4,5,6]]}\n{"type":"finish"}\n'
    )
    assert got[0] == Hello("m/s2", None)
    assert got[1].times.tolist() == [1.5] and got[1].acceleration.tolist() == [[1, 2, 3]]
    assert got[2].times.tolist() == [2, 3]
    assert got[3] == Finish()


def test_what_the_user_says_holds_against_a_hello() -> None:
    _, got = lines('{"type":"hello","version":1,"unit":"m/s2","rate":20}\n', unit="g", rate=50.0)
    assert got == [Hello("g", 50.0), Hello("g", 50.0)]


def test_lines_of_csv() -> None:
    _, got = lines("t,x,y,z\n0.5,1,2,3\r\n1e0,-1,nan,3\n", unit="g")
    assert got[0] == Hello("g", None)
    assert got[1].times.tolist() == [0.5] and got[1].acceleration.tolist() == [[1, 2, 3]]
    assert "not a finite number" in got[2].text
    _, got = lines("1700000000000,1,2,3\n", unit="g")
    assert "Send times in seconds" in got[1].text
    _, got = lines("x,y,z\n1,2,3\n", unit="g", rate=50.0)
    assert got[1].times is None and got[1].acceleration.tolist() == [[1, 2, 3]]


def test_bad_lines_are_counted_told_of_now_and_then_and_left_out() -> None:
    bad = ["hallo", "1,2", '{"t":1,"x":1,"y":2}', "{" * 100_000, "1,2,x,4", "[1]"] * 17
    text = "\n".join([*bad, '{"t":9,"x":1,"y":2,"z":3}']).encode() + b"\n\xff\xfe\n"
    source, got = lines(text, unit="g")
    assert source.malformed == len(bad) + 1
    assert sum(isinstance(m, Notice) and m.lost for m in got) == len(bad) + 1
    told = [m.text for m in got if isinstance(m, Notice) and m.text]
    assert [t.partition(":")[0] for t in told] == [
        "A message was left out",
        "A message was left out (10 so far)",
        "A message was left out (100 so far)",
    ]
    assert [m.times.tolist() for m in got if isinstance(m, Samples)] == [[9]]


def test_a_line_without_an_end_takes_no_memory_and_the_next_is_read() -> None:
    long = b"7" * (3 * MAX_BYTES)
    source, got = lines(long + b'\n{"t":9,"x":1,"y":2,"z":3}\n' + long, unit="g")
    assert source.malformed == 2
    assert "more than" in got[1].text
    assert got[2].times.tolist() == [9]


def samples(n: int) -> Samples:
    return Samples(np.zeros((n, 3), np.float32), np.arange(float(n)))


def test_a_full_mailbox_drops_the_oldest_samples_and_nothing_else() -> None:
    box = Mailbox(capacity=3)
    for message in (Hello("g", None), samples(5), samples(6), samples(7), Notice("lost")):
        box.put(message)
    box.put(None)
    box.fail(SourceError("it broke"))
    got = []
    with pytest.raises(SourceError, match="it broke"):
        for event in box.events():
            got.append(event.message)
    assert [type(m) for m in got] == [Hello, Notice, Samples, Notice]
    assert got[1] == Notice("", lost=True)  # one for both
    assert len(got[2].acceleration) == 7
    assert box.dropped == 11


def test_a_flood_of_hellos_takes_no_memory() -> None:
    box = Mailbox(capacity=3)
    for rate in range(1, 100):
        box.put(Hello("g", float(rate)))
    events = box.events()
    assert [next(events).message.rate for _ in range(3)] == [97.0, 98.0, 99.0]


def test_a_mailbox_waits_for_what_another_thread_puts() -> None:
    box = Mailbox()
    threading.Timer(0.1, box.put, [Finish()]).start()
    assert next(box.events()).message == Finish()
