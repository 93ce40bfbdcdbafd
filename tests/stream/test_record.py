"""What is kept of a stream, read back with the project's own readers."""

import csv
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pskd.data.accelerometer_file import read_csv
from pskd.data.recording import STANDARD_GRAVITY, Recording
from pskd.datasets.folder import Folder
from pskd.datasets.folder.check import check
from pskd.errors import DataError, UsageError
from pskd.stream import record as record_module
from pskd.stream.growing_file import GrowingFile
from pskd.stream.recognizer import Prediction
from pskd.stream.record import Recorder
from pskd.stream.wire import Samples


def open_recorder(folder: Path, subject: str = "anna") -> Recorder:
    return Recorder(folder, subject=subject, placement="left wrist: strapped, tight")


def samples(start: float, seconds: float, rate: float = 50, seed: int = 0) -> Samples:
    times = start + np.arange(round(seconds * rate)) / rate
    rng = np.random.default_rng([seed, int(start)])
    return Samples(rng.normal([0, 0, 1], 0.1, (len(times), 3)).astype(np.float32), times)


def window(start: float, name: str, action: bool = False, seconds: float = 2.0) -> Prediction:
    return Prediction(
        start, start + seconds, name, 0.9, (0.9, 0.1), 0.0, 0.1, name if action else None
    )


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_reads_back_as_a_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    recorder = open_recorder(folder)
    sent = samples(100, 20)
    for first in range(0, 1000, 37):  # in pieces, as they come
        part = slice(first, first + 37)
        recorder.keep(Samples(sent.acceleration[part], sent.times[part]))
    recorder.keep_actions(
        [
            window(100, "wave", action=True),
            window(101, "wave"),
            window(102, "wave"),
            window(103, "idle"),
            window(104, 'sit, "slowly"', action=True),
            window(110, "wave", action=True),
        ]
    )
    recorder.close()
    assert (recorder.samples, recorder.actions) == (1000, 3)
    file = read_csv(folder / "accelerometer" / "live1.csv", unit="g")
    np.testing.assert_array_equal(file.acceleration, sent.acceleration)
    np.testing.assert_array_equal(file.times, sent.times)
    dataset = Folder(folder)
    assert dataset.placement == "left wrist: strapped, tight"
    assert dataset.classes == ('sit, "slowly"', "wave")
    kept = [dataset.load(trial) for trial in dataset.trials()]
    assert all(isinstance(r, Recording) and r.subject == "anna" for r in kept)
    assert [(dataset.classes[r.label], r.start, round(r.seconds)) for r in kept] == [
        ("wave", 100, 4),
        ('sit, "slowly"', 104, 2),
        ("wave", 110, 2),
    ]
    np.testing.assert_allclose(kept[0].acceleration[50], sent.acceleration[50], atol=1e-5)
    assert not [p for p in check(folder).problems if p.level == "error"]


def test_an_action_begins_with_the_first_window_that_named_it(tmp_path: Path) -> None:
    """It is reported with a later one, where several have to agree."""
    recorder = open_recorder(tmp_path)
    recorder.keep(samples(0, 20))
    named = ["idle", "clap", "wave", "wave", "wave", "idle"]
    recorder.keep_actions([window(k, name, action=k == 4) for k, name in enumerate(named)])
    recorder.close()
    assert [(row["label"], row["start"], row["stop"]) for row in rows(tmp_path)] == [
        ("wave", "2.000", "6.000")
    ]


def test_all_is_there_before_it_is_closed(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path)
    recorder.keep(samples(0, 10))
    recorder.keep_actions([window(0, "wave", action=True), window(1, "wave")])
    assert [(r["start"], r["stop"]) for r in rows(tmp_path)] == [("0.000", "3.000")]
    assert len((tmp_path / "accelerometer" / "live1.csv").read_text().splitlines()) == 501
    recorder.close()


def test_metres_and_rates_become_g_and_times(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path)
    recorder.begin("m/s2", 20.0)
    value = np.full((30, 3), STANDARD_GRAVITY / 2, np.float32)
    for _ in range(2):
        recorder.keep(Samples(value, None))
    recorder.close()
    file = read_csv(tmp_path / "accelerometer" / "live1.csv", unit="g")
    np.testing.assert_allclose(file.acceleration, 0.5, rtol=1e-6)
    np.testing.assert_allclose(file.times, np.arange(60) / 20)


def test_a_clock_that_was_set_back_begins_a_new_file(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path)
    recorder.keep(samples(100, 10))
    recorder.keep_actions([window(101, "wave", action=True)])
    recorder.keep(samples(5, 10))  # its first second tells it
    recorder.keep_actions([window(108, "sit", action=True), window(9, "sit", action=True)])
    recorder.keep_actions([window(10, "sit")])
    recorder.close()
    assert [
        (r["label"], r["accelerometer"][-9:], r["start"], r["stop"]) for r in rows(tmp_path)
    ] == [
        ("wave", "live1.csv", "101.000", "103.000"),
        ("sit", "live1.csv", "108.000", "109.980"),  # the file ends there
        ("sit", "live2.csv", "9.000", "12.000"),
    ]
    assert len(Folder(tmp_path).trials()) == 3
    assert all(isinstance(Folder(tmp_path).load(t), Recording) for t in Folder(tmp_path).trials())


def test_what_comes_late_twice_or_is_no_number_is_left_out(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path)
    sent = samples(0, 2)
    recorder.keep(sent)
    recorder.keep(Samples(sent.acceleration[-3:], sent.times[-3:]))
    bad = Samples(np.full((1, 3), np.nan, np.float32), np.array([3.0]))
    recorder.keep(bad)
    recorder.keep(samples(4, 1))
    recorder.close()
    assert recorder.samples == 150
    assert len(read_csv(tmp_path / "accelerometer" / "live1.csv").times) == 150


def test_a_large_file_is_followed_by_another_between_two_actions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "MAX_FILE_BYTES", 20_000)
    recorder = open_recorder(tmp_path)
    recorder.keep(samples(0, 15))
    recorder.keep_actions([window(10, "wave", action=True)])
    recorder.keep(samples(15, 2))  # the action goes on
    recorder.keep_actions([window(12, "wave"), window(14, "idle")])
    recorder.keep(samples(17, 4))
    recorder.keep_actions([window(16, "sit", action=True), window(18, "wave", action=True)])
    recorder.close()
    spans = [(r["accelerometer"][-9:], r["start"], r["stop"]) for r in rows(tmp_path)]
    assert spans == [
        ("live1.csv", "10.000", "14.000"),
        ("live2.csv", "17.000", "18.000"),  # cut to the file that holds its end
        ("live2.csv", "18.000", "20.000"),
    ]
    assert not [p for p in check(tmp_path).problems if p.level == "error"]


def test_a_folder_is_added_to(tmp_path: Path) -> None:
    for subject in ("anna", "ben"):
        recorder = open_recorder(tmp_path, subject)
        recorder.keep(samples(0, 5))
        recorder.keep_actions([window(0, "wave", action=True)])
        recorder.close()
        manifest = tmp_path / "manifest.csv"  # corrected, and saved without the last line's end
        manifest.write_text(manifest.read_text().replace(",wave,", ",swim,").rstrip("\n"))
    kept = [(r["recording"], r["label"], r["subject"]) for r in rows(tmp_path)]
    assert kept == [("live1_1", "swim", "anna"), ("live2_1", "swim", "ben")]


@pytest.mark.parametrize("name", ["notes.txt", "dataset.yaml", "manifest.csv"])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("recording,label,subject\n")
    with pytest.raises(UsageError, match="holds something else"):
        open_recorder(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    with pytest.raises(UsageError, match="holds something else"):
        open_recorder(tmp_path / name)


def test_two_do_not_record_into_one_folder(tmp_path: Path) -> None:
    first = open_recorder(tmp_path)
    with pytest.raises(UsageError, match="another pskd live"):
        open_recorder(tmp_path)
    first.close()
    open_recorder(tmp_path).close()


@pytest.mark.parametrize("subject", ["", "  ", "a\nb", "x" * 2000])
def test_a_subject_is_a_line_of_text(tmp_path: Path, subject: str) -> None:
    with pytest.raises(UsageError, match="subject"):
        open_recorder(tmp_path, subject)


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """What a full disk does: a write comes back short, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_what_was_whole_and_says_so(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path)
    recorder.keep(samples(0, 4))
    recorder.keep_actions([window(1, "wave", action=True)])
    with (
        no_file_over(10_000),
        pytest.raises(DataError, match=r"cannot be written \(.*200 samples and 1 actions are kept"),
    ):
        recorder.keep(samples(4, 10))
    recorder.close()
    assert len(read_csv(tmp_path / "accelerometer" / "live1.csv").times) == 200
    assert isinstance(Folder(tmp_path).load("live1_1"), Recording)


def test_a_line_that_cannot_be_written_over_stays_as_it_was(tmp_path: Path) -> None:
    growing = GrowingFile(tmp_path / "a.csv", "name,stop\n")
    growing.append("wave,9.9\n")
    with no_file_over(growing.size), pytest.raises(OSError):
        growing.write_last("wave,10.1\n")
    assert growing.path.read_text() == "name,stop\nwave,9.9\n"
    growing.write_last("wave,10.1\n")
    growing.write_last("sit,1\n")
    growing.append("run,2\n")
    growing.close()
    assert (
        growing.path.read_text()
        == "name,stop\nwave,10.1\n".replace("wave,10.1", "sit,1    ") + "run,2\n"
    )


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        open_recorder(tmp_path / "file" / "kept")


def test_a_manifest_that_somebody_corrected_goes_on(tmp_path: Path) -> None:
    """With the split that `predefined` wants, and as a spreadsheet saves it."""
    folder = tmp_path / "kept"
    for session, start in enumerate((100.0, 900.0)):
        recorder = open_recorder(folder)
        recorder.keep(samples(start, 10))
        recorder.keep_actions([window(start, "wave", action=True), window(start + 1, "wave")])
        recorder.close()
        path = folder / "manifest.csv"
        if session == 0:
            head, line = path.read_text().splitlines()
            path.write_text(f"\ufeff{head},split\n{line},train\n", encoding="utf-8")
    kept = [list(csv.reader([line])) for line in path.read_text("utf-8-sig").splitlines()]
    assert {len(row) for (row,) in kept} == {8} and len(kept) == 3
    assert [row["split"] for row in rows(folder)] == ["train", ""]
