from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pskd.data.accelerometer_file import read_csv
from pskd.edge.predict import cut_windows, predict_windows
from pskd.edge.settings import StreamSettings
from pskd.edge.targets import Answer
from pskd.errors import UsageError
from pskd.models.student_folder import load_student
from pskd.signal.resample import HALF_WIDTH, resample
from pskd.stream.recognizer import Prediction, Recognizer
from pskd.stream.runtime import Student, open_student

OFF = StreamSettings(smoothing="none")


@pytest.fixture(scope="module")
def student(run: Path) -> Student:
    return open_student(run, "torch")


def fake(window: np.ndarray) -> Answer:
    """A student whose answers tell windows apart to the last bit."""
    values = np.float32([window.sum(), window[0, 0, 0], window[0, 1].max(), 1])
    e = np.exp(values - values.max())
    return Answer(values, e / e.sum())


def stream(seconds: float, rate: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 1.5, round(seconds * rate))) / rate
    return rng.normal([0, 0, 1], 0.3, (len(times), 3)), times


def write(path: Path, times: np.ndarray, acceleration: np.ndarray) -> Path:
    rows = [",".join(map(repr, row)) for row in np.column_stack([times, acceleration]).tolist()]
    path.write_text("\n".join(["t,x,y,z", *rows]) + "\n")
    return path


@pytest.mark.parametrize("rate", [20, 50, 200])
def test_a_stream_gives_what_offline_prediction_gives(
    student: Student, run: Path, tmp_path: Path, rate: float
) -> None:
    acceleration, times = stream(12, rate)
    times[len(times) // 2 :] += 3  # a gap
    file = read_csv(write(tmp_path / "a.csv", times, acceleration))
    model, config = load_student(run / "student")
    offline = predict_windows(model, config, file)
    recognizer = Recognizer(student.runner, config, OFF)
    live: list[Prediction] = []
    for first in range(0, len(times), 7):
        live += recognizer.push(acceleration[first : first + 7], times[first : first + 7])
    live += recognizer.finish()
    assert [(p.start_s, p.end_s) for p in live] == [(w.start_s, w.end_s) for w in offline]
    assert [p.class_name for p in live] == [w.class_name for w in offline]
    np.testing.assert_allclose(
        [p.probabilities for p in live], [w.probabilities for w in offline], atol=1e-6
    )


def test_windows_are_the_bits_of_offline_ones(run: Path, tmp_path: Path) -> None:
    acceleration, times = stream(20, 90)
    _, config = load_student(run / "student")
    offline, _ = cut_windows(read_csv(write(tmp_path / "a.csv", times, acceleration)), config)
    seen: list[np.ndarray] = []

    def runner(window: np.ndarray) -> Answer:
        seen.append(window[0].T.copy())
        return fake(window)

    recognizer = Recognizer(runner, config)
    for sample, time in zip(acceleration, times, strict=True):
        recognizer.push([sample], [time])
    recognizer.finish()
    np.testing.assert_array_equal(np.stack(seen), np.stack([w.samples for w in offline]))


@given(st.data())
@settings(max_examples=30)
def test_pieces_do_not_matter(student: Student, data: st.DataObject) -> None:
    """Any rates, jitter, gaps and disorder, whole or in any pieces: the same to the bit."""
    rates = data.draw(st.lists(st.sampled_from([12, 30, 55, 130]), min_size=1, max_size=3))
    seed = data.draw(st.integers(0, 1000))
    parts = [stream(data.draw(st.floats(1, 8)), rate, seed + i) for i, rate in enumerate(rates)]
    acceleration = np.concatenate([a for a, _ in parts])
    shift, times = 0.0, []
    for _, t in parts:
        times.append(shift + t)
        shift += t[-1] + data.draw(st.sampled_from([0.02, 0.5, 4.0, -2.0]))
    at = np.concatenate(times)
    wrong = data.draw(st.lists(st.integers(0, len(at) - 2), max_size=6))
    for i in wrong:
        at[i] = at[i + 1]
    chosen = StreamSettings(
        smoothing=data.draw(st.sampled_from(["none", "exponential", "hmm"])),
        rejection="energy",
        threshold=1.0,
        idle_g=0.1,
    )
    lateness = data.draw(st.sampled_from([0.0, 0.1]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(at)), max_size=20)))

    def recognised(edges: list[int]) -> tuple[list[Prediction], Recognizer]:
        recognizer = Recognizer(fake, config, chosen, lateness=lateness)
        found = []
        for first, last in pairwise(edges):
            found += recognizer.push(acceleration[first:last], at[first:last])
        return found + recognizer.finish(), recognizer

    config = student.config.model_copy(update={"classes": ["a", "b", "c", "d"]})
    whole, one = recognised([0, len(at)])
    cut, many = recognised([0, *cuts, len(at)])
    assert cut == whole
    assert many.counts == one.counts


def test_a_rate_and_even_times_are_the_same(student: Student) -> None:
    acceleration, _ = stream(10, 40)
    times = np.arange(len(acceleration)) / 40
    by_rate = Recognizer(fake_of(student), student.config, rate=40)
    by_times = Recognizer(fake_of(student), student.config)
    assert by_rate.push(acceleration) + by_rate.finish() == (
        by_times.push(acceleration, times) + by_times.finish()
    )


def test_metres_a_second_squared_are_g(student: Student) -> None:
    acceleration, times = stream(10, 50)
    in_g = Recognizer(fake_of(student), student.config)
    in_metres = Recognizer(fake_of(student), student.config, unit="m/s2")
    a = in_g.push(acceleration, times)
    b = in_metres.push(acceleration * 9.80665, times)
    np.testing.assert_allclose(
        [p.probabilities for p in a], [p.probabilities for p in b], atol=1e-4
    )
    assert not in_metres.notices


@pytest.mark.parametrize(("faster", "ahead"), [(1.2, 0), (4, HALF_WIDTH)])
def test_a_prediction_comes_with_the_sample_that_completes_its_window(
    student: Student, faster: float, ahead: int
) -> None:
    """And not later, whatever is put off until then; the filter looks ahead."""
    config = student.config
    recognizer = Recognizer(fake_of(student), config)
    step = 1 / (faster * config.rate)
    came = []
    for time in np.arange(400) * step:
        came += [(time, p.start_s) for p in recognizer.push([[0, 0, 1]], [time])]
    assert len(came) > 2
    for time, start in came:
        last = start + (config.samples - 1 + ahead) / config.rate
        assert last - 1e-9 <= time < last + step + 1e-9


def test_memory_does_not_grow(student: Student) -> None:
    recognizer = Recognizer(fake_of(student), student.config)
    acceleration, times = stream(60, 50)
    held = []
    tracemalloc.start()
    for minute in range(12):
        for first in range(0, len(times), 25):
            piece = slice(first, first + 25)
            recognizer.push(acceleration[piece], minute * 61 + times[piece])
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(held[6:]) < held[1] + 20_000


def test_dense_samples_do_not_pile_up(student: Student) -> None:
    """A million samples a second would be 160,000 in the reach of the filter."""
    recognizer = Recognizer(fake_of(student), student.config)
    for first in range(0, 100_000, 1000):
        recognizer.push(np.zeros((1000, 3)), np.arange(first, first + 1000) * 1e-6)
    held = recognizer._windows._resampler
    assert len(held._times) < 10_000
    assert recognizer.counts.duplicates > 90_000


def test_what_is_wrong_with_a_stream_is_noticed(student: Student) -> None:
    seconds = 4 * student.config.window_seconds
    slow = Recognizer(fake_of(student), student.config)
    acceleration, times = stream(seconds, student.config.rate / 2)
    slow.push(acceleration * 9.8, times)
    assert any("misses movements above" in n for n in slow.notices)
    assert any("is the unit right" in n for n in slow.notices)
    short = Recognizer(fake_of(student), student.config)
    short.push(acceleration[:5], times[:5])
    short.finish()
    assert any("No window was ever full" in n for n in short.notices)
    back = Recognizer(fake_of(student), student.config)
    back.push(acceleration, times + 100)
    back.push(acceleration, times)
    assert any("set back" in n for n in back.notices)


def test_times_in_milliseconds_are_noticed_while_they_come(student: Student) -> None:
    recognizer = Recognizer(fake_of(student), student.config)
    acceleration, times = stream(2, 50)
    assert recognizer.push(acceleration, 5e6 + 1000 * times) == []
    for k in range(1, 9):
        recognizer.push(acceleration, 5e6 + 1000 * (times + 2 * k))
    assert recognizer.counts.windows == 0
    assert any("Are their times in seconds?" in n for n in recognizer.notices)


def test_no_window_spans_samples_that_a_rate_does_not_miss(student: Student) -> None:
    seconds = 2 * student.config.window_seconds
    acceleration, _ = stream(seconds, 50)
    recognizer = Recognizer(fake_of(student), student.config, rate=50)
    assert recognizer.interrupt() == [] and recognizer.counts.gaps == 0
    before = recognizer.push(acceleration) + recognizer.interrupt()
    after = recognizer.push(acceleration) + recognizer.finish()
    assert before == after != []
    assert recognizer.counts.gaps == 1


def test_bad_input_is_refused_whole(student: Student) -> None:
    recognizer = Recognizer(fake_of(student), student.config)
    with pytest.raises(UsageError, match=r"shape \[2, 2\]"):
        recognizer.push(np.zeros((2, 2)), [0, 1])
    with pytest.raises(UsageError, match="without times"):
        recognizer.push(np.zeros((2, 3)))
    with pytest.raises(UsageError, match=r"times of shape \[3\]"):
        recognizer.push(np.zeros((2, 3)), [0, 1, 2])
    assert recognizer.counts.samples == 0
    with pytest.raises(UsageError, match=r"unknown unit 'gs'.*Did you mean 'g'"):
        Recognizer(fake, student.config, unit="gs")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="far from the student's"):
        Recognizer(fake, student.config, rate=1)
    with pytest.raises(UsageError, match="at least one sample"):
        Recognizer(fake, student.config, StreamSettings(hop_seconds=1e-6))


def test_a_stream_can_go_on_after_its_end(student: Student) -> None:
    recognizer = Recognizer(fake_of(student), student.config)
    acceleration, times = stream(10, 50)
    first = recognizer.push(acceleration, times) + recognizer.finish()
    again = recognizer.push(acceleration, times) + recognizer.finish()
    assert again == first


def test_the_filter_takes_away_what_the_student_cannot_hold() -> None:
    """Against a filter of SciPy: a chirp at 200 Hz, brought to 40 Hz."""
    from scipy.signal import firwin

    times = np.arange(2000) / 200
    x = np.sin(2 * np.pi * (0.5 * times + 4 * times**2))[:, None].astype(np.float32)
    taps = 61  # six periods of 40 Hz to either side, in samples of 200 Hz
    kernel = firwin(taps, 16, fs=200, window="hann")
    filtered = np.convolve(x[:, 0], kernel, mode="same")
    at = np.arange(400) / 40
    inner = slice(10, -10)
    np.testing.assert_allclose(resample(x, times, at)[inner, 0], filtered[::5][inner], atol=2e-3)


def fake_of(student: Student):  # type: ignore[no-untyped-def]
    """A quick student with as many classes as the real one."""
    classes = len(student.config.classes)

    def runner(window: np.ndarray) -> Answer:
        values = np.resize(window[0, :, ::7].reshape(-1), classes).astype(np.float32)
        e = np.exp(values - values.max())
        return Answer(values, e / e.sum())

    return runner
