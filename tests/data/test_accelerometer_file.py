"""Reading a user's accelerometer recording."""

import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from pskd.data import accelerometer_file
from pskd.data.accelerometer_file import read_accelerometer, read_csv
from pskd.errors import DataError, PskdError, UsageError

G = 9.80665


@pytest.fixture
def write(tmp_path: Path):
    def write_text(text: str) -> Path:
        path = tmp_path / "watch.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


@pytest.fixture
def record(write):
    """Writes a recording with columns t,x,y,z."""

    def write_arrays(times: np.ndarray, xyz: np.ndarray, header: str = "t,x,y,z") -> Path:
        rows = [",".join(map(repr, map(float, row))) for row in np.column_stack([times, xyz])]
        return write("\n".join([header, *rows]) + "\n")

    return write_arrays


def still(n: int, axis: int = 2) -> np.ndarray:
    """At rest, gravity along one axis."""
    return np.eye(3)[axis] * np.ones((n, 1))


def test_reads_times_and_values(write):
    file = read_csv(write("t,x,y,z\n10,0,0,1\n10.02,0.1,0.2,0.9\n10.04,0,-0.3,1.1\n"), unit="g")
    assert file.times.tolist() == [10, 10.02, 10.04]
    np.testing.assert_allclose(
        file.acceleration, [[0, 0, 1], [0.1, 0.2, 0.9], [0, -0.3, 1.1]], atol=1e-7
    )
    assert file.acceleration.dtype == np.float32
    assert file.rate == pytest.approx(50)
    assert file.segments == (slice(0, 3),)
    assert file.notes == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("t", 1.0), ("Time", 1.0), ("TIMESTAMP_s", 1.0), ("t_ms", 1e-3), ("timestamp_us", 1e-6)],
)
def test_time_columns_and_their_units(record, header: str, seconds: float):
    times = np.arange(100) * 0.02
    file = read_csv(record(times / seconds, still(100), f"{header},x,y,z"), unit="g")
    np.testing.assert_allclose(file.times, times, atol=1e-9)


@pytest.mark.parametrize(
    "name", ["seconds_elapsed", "Time (s)", "elapsed", "ts", "DateTime", "epoch_ms", "time stamp"]
)
def test_times_by_another_name_are_not_taken_for_none(record, name: str):
    path = record(np.arange(10) / 50, still(10), f"{name},x,y,z")
    with pytest.raises(DataError, match=r"line 1: no column t, but .* looks like times.*t_ms"):
        read_csv(path, rate=100, unit="g")


@pytest.mark.parametrize("name", ["sector", "timer", "steps", "secondary", "temperature"])
def test_other_columns_are_no_times(record, name: str):
    path = record(np.arange(10) / 50, still(10), f"{name},x,y,z")
    assert read_csv(path, rate=100, unit="g").rate == pytest.approx(100)


@pytest.mark.parametrize("names", ["ax,AY,az", "acc_x,acc_y,acc_z", '"accel_x", accel_y ,accel_z'])
def test_names_of_the_axes(write, names: str):
    file = read_csv(write(f"\ufefflabel,{names}\nwalk,0,0,1\nwalk,0,1,0\n"), rate=50, unit="g")
    assert file.acceleration.tolist() == [[0, 0, 1], [0, 1, 0]]
    np.testing.assert_allclose(file.times, [0, 0.02])


def test_columns_are_found_by_name_not_by_place(write):
    file = read_csv(write("z,heart rate,t,x,y\n1,70,0,2,0\n0,71,0.02,-1,3\n"), unit="g")
    assert file.acceleration.tolist() == [[2, 0, 1], [-1, 3, 0]]


def test_a_rate_beside_time_stamps_is_said_to_be_unused(record):
    file = read_csv(record(np.arange(10) / 50, still(10)), rate=100, unit="g")
    assert file.rate == pytest.approx(50)
    assert "100 Hz was not used" in file.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("t,x,y\n0,0,0\n", "no column for z in the header 't,x,y'"),
        ("0.0,0.1,0.2,0.9\n0.02,0,0,1\n", "no column for x, y, z in the header"),
        ("t;x;y;z\n0;0;0;1\n", "no column for x, y, z"),
        ("t,x,y,z,ax\n0,0,0,1,1\n", "several for x"),
        ("t,time,x,y,z\n0,0,0,0,1\n", "several for t"),
        ("t,x,y,z\n", "has 0 samples"),
        ("t,x,y,z\n0,0,0,1\n", "has 1 samples"),
        ("t,x,y,z\n0,0,0,1\n0.02,0,up,1\n", r"line 3: could not convert string to float: 'up'"),
        ("t,x,y,z\n0,0,0,1\n\n0.02,0,,1\n", r"line 4: could not convert"),
        ("t,x,y,z\n0,0,0,1\n0.02,0,1\n", r"line 3: line has 3 cells, the header has 4"),
        ("t,x,y,z\n0,0,0,1\n0.02,0,nan,1\n0.04,0,inf,1\n", r"line 3: .*on 2 lines"),
        ("t,x,y,z\n0,0,0,1\n0.02,1e30,0,1\n", r"line 3: a value is not a finite number"),
        ("t,x,y,z\n0,0,0,1\n0.02,0,0,1\n0.02,0,0,1\n", r"line 4: time stamp 0.02 s repeats"),
        ("t,x,y,z\n0,0,0,1\n0.02,0,0,1\n0.01,0,0,1\n", r"line 4: time stamp 0.01 s is earlier"),
        ("t,x,y,z\n0,0,0,1\n20,0,0,1\n40,0,0,1\n", r"samples are 20 s apart.*t_ms"),
        ("t,x,y,z\n" + "0" * 5000 + ",0,0,1\n", r"line 2: line is longer than 4096"),
    ],
)
def test_bad_files_are_refused_by_line(write, text: str, message: str):
    with pytest.raises(DataError, match=message) as caught:
        read_csv(write(text), unit="g")
    assert "watch.csv" in str(caught.value)


def test_files_that_are_no_text_or_too_large_or_missing(tmp_path: Path, write, monkeypatch):
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x81" * 100)
    with pytest.raises(DataError, match="not a text file"):
        read_csv(binary)
    with pytest.raises(UsageError, match="no such file"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="is a folder"):
        read_csv(tmp_path)
    monkeypatch.setattr(accelerometer_file, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="larger than"):
        read_csv(write("t,x,y,z\n0,0,0,1\n"))


@pytest.mark.parametrize("rate", [None, 0.0, -50.0, float("nan"), 1e6])
def test_without_time_stamps_a_rate_is_needed(write, rate: float | None):
    with pytest.raises(UsageError, match="rate"):
        read_csv(write("x,y,z\n0,0,1\n0,0,1\n"), rate=rate, unit="g")


def test_units(record):
    times, xyz = np.arange(100) / 50, still(100)
    metric = read_csv(record(times, xyz * G), unit="m/s2")
    np.testing.assert_allclose(metric.acceleration, xyz, rtol=1e-6)
    with pytest.raises(DataError, match=r"median norm .* is 9.81, .* looks like m/s2.*--unit m/s2"):
        read_csv(record(times, xyz * G), unit="g")
    with pytest.raises(DataError, match=r"looks like g, not m/s2\. .*--unit g.*without gravity"):
        read_csv(record(times, xyz), unit="m/s2")
    with pytest.raises(UsageError, match="Did you mean 'm/s2'"):
        read_csv(record(times, xyz), unit="m/s")  # type: ignore[arg-type]


def test_auto_tells_g_from_metres(record):
    times, xyz = np.arange(100) / 50, still(100)
    for scale, name in ((1.0, "g"), (G, "m/s2")):
        file = read_csv(record(times, xyz * scale), unit="auto")
        np.testing.assert_allclose(file.acceleration, xyz, rtol=1e-6)
        assert file.notes[0].startswith(f"Unit taken as {name}:")
    for scale in (0.01, 1000.0):  # without gravity; in thousandths of g
        with pytest.raises(DataError, match="neither g nor m/s2"):
            read_csv(record(times, xyz * scale), unit="auto")


def test_a_declared_unit_that_fits_badly_is_said(record):
    file = read_csv(record(np.arange(100) / 50, still(100) * 0.05), unit="g")
    assert "is gravity in it?" in file.notes[0]


def test_gaps_split_the_signal(record):
    times = np.arange(100) / 50
    times[60:] += 2.0
    file = read_csv(record(times, still(100)), unit="g")
    assert file.segments == (slice(0, 60), slice(60, 100))
    assert file.rate == pytest.approx(50)
    assert file.notes == [
        "1 gap in time, the first of 2.02 s before line 62: no window spans a gap."
    ]


def test_a_short_pause_is_no_gap(record):
    times = np.arange(100) / 50
    times[60:] += 0.2
    assert len(read_csv(record(times, still(100)), unit="g").segments) == 1


def test_units_of_real_recordings_are_told_apart(real_data, record):
    """The waviest action too: in a14, baseball swing, the median norm reaches 1.44 g."""
    with zipfile.ZipFile(real_data("utd-mhad/Inertial.zip")) as archive:
        for name in ("a1_s1_t1", "a11_s8_t3", "a14_s4_t4", "a22_s1_t1", "a27_s2_t2"):
            with archive.open(f"Inertial/{name}_inertial.mat") as member:
                xyz = scipy.io.loadmat(member)["d_iner"][:, :3]
            times = np.arange(len(xyz)) / 50
            for scale in (1.0, G):
                file = read_csv(record(times, xyz * scale), unit="auto")
                np.testing.assert_allclose(file.acceleration, xyz, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e-6, 1e-9])
def test_unix_time_in_any_unit(record, unit: float):
    times = 1_795_000_000 + np.arange(100) / 50
    file = read_csv(record(times / unit, still(100), "time,x,y,z"), unit="g")
    np.testing.assert_allclose(file.times, times, atol=1e-3)
    assert file.rate == pytest.approx(50, rel=1e-3)


def test_times_in_iso_8601(write):
    rows = ["2026-11-22T10:00:00.50+01:00,0,0,1", "2026-11-22T09:00:00.52Z,0,0,1"]
    file = read_csv(write("\n".join(["timestamp,x,y,z", *rows])), unit="g")
    start = 1795338000  # 2026-11-22 09:00 UTC, by `date -u -d`
    np.testing.assert_allclose(file.times, [start + 0.5, start + 0.52], atol=1e-6)
    naive = read_csv(write("t,x,y,z\n2026-11-22 09:00:00.5,0,0,1\n2026-11-22 09:00:00.52,0,0,1"))
    np.testing.assert_allclose(naive.times, file.times, atol=1e-6)
    with pytest.raises(DataError, match="line 3: could not convert string to float: 'soon'"):
        read_csv(write("t,x,y,z\n2026-11-22 09:00:00.5,0,0,1\nsoon,0,0,1"))


def test_bytes_are_read_as_the_file_is(record):
    path = record(np.arange(100) / 50, still(100) * 1.01)
    by_path, by_bytes = read_csv(path), read_accelerometer(path.read_bytes(), Path("a.csv"))
    np.testing.assert_array_equal(by_path.acceleration, by_bytes.acceleration)
    assert by_bytes.path == Path("a.csv")


CELLS = st.sampled_from(
    ["0", "0.02", "1", "-9.81", "1e300", "1e19", "5e-324", "", "nan", "2026-11-22", "9999-12-31",
     "0001-01-01T00:00:00+23:59", "1_0", '"', "x"]
)  # fmt: skip


@given(
    st.sampled_from(["t,x,y,z", "x,y,z", "t_ns,x,y,z", "z,y,x,time", "x,y"]),
    st.lists(st.lists(CELLS, max_size=5).map(",".join), max_size=6),
    st.binary(max_size=40),
    st.one_of(st.none(), st.floats()),
    st.sampled_from(["g", "m/s2", "auto"]),
)
def test_whatever_a_file_holds(header: str, rows, noise: bytes, rate, unit) -> None:
    text = "\n".join([header, *rows]).encode()
    for data in (text, text + noise, noise):
        with suppress(PskdError):
            file = read_accelerometer(data, Path("a.csv"), rate, unit)
            assert np.isfinite(file.acceleration).all() and (np.diff(file.times) > 0).all()
