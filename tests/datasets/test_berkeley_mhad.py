from __future__ import annotations

import pickle
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pskd.data.clips import make_clips
from pskd.data.protocols import make_split
from pskd.data.recording import STANDARD_GRAVITY, Recording, SetAside
from pskd.data.skeleton import BERKELEY_MHAD_BVH, BERKELEY_MHAD_MARKERS
from pskd.data.store import Store, open_store
from pskd.datasets import DATASETS
from pskd.datasets.berkeley_mhad import BerkeleyMhad
from pskd.datasets.berkeley_mhad.mocap import read_markers, resample
from pskd.datasets.berkeley_mhad.signals import read_samples
from pskd.errors import DataError, UsageError
from pskd.signal.align import interpolate

BVH, MARKERS = BERKELEY_MHAD_BVH, BERKELEY_MHAD_MARKERS
START, HERTZ = 1309539264.25, 31.05
Array = NDArray[np.float64]
Files = dict[str, bytes]


def table(rows: Any, form: str = "%.6f") -> bytes:
    return "\n".join(" ".join(form % value for value in row) for row in rows).encode() + b"\n"


def sine(times: Array) -> Array:
    """An acceleration that nobody could mistake for another time."""
    t = times - START
    return np.stack([np.sin(5 * t), 0.9 * np.cos(3 * t), 0.2 * t - 0.5], axis=1)


def samples(seconds: float = 4.0, start: float = START) -> Array:
    times = start + np.arange(0, seconds, 1 / HERTZ)
    return np.column_stack([sine(times), times])


def somebody(times: Array) -> Array:
    """Markers [F, 43, 3] in mm: still but for the right wrist, which goes up at 100 mm/s."""
    places = np.random.default_rng(0).uniform(-400, 400, (43, 3)) + np.array([500, 900, 0])
    places[MARKERS.index("backt")] = places[MARKERS.index("rback")] + [60, 240, 0]
    moving = np.tile(places, (len(times), 1, 1))
    moving[:, MARKERS.index("rwri"), 1] += 100 * (times - START)
    return moving


def markers(
    seconds: float = 4.0, start: float = START, hertz: float = 200.0, spoil: Any = None
) -> bytes:
    times = start + np.arange(0, seconds, 1 / hertz)
    places = somebody(times)
    if spoil:
        spoil(places, times)
    rows = [places.reshape(len(times), -1), np.arange(len(times))[:, None], times[:, None]]
    return table(np.hstack(rows))


def bvh(
    seconds: float = 4.0, hertz: float = 480.0, missing: str = "", torso: float = 10.0
) -> bytes:
    """All 30 joints in one chain, 10 cm each, up; the root goes to the left at 10 cm/s."""
    names = [name for name in BVH.joints if name != missing]
    lines = ["HIERARCHY"]
    for depth, name in enumerate(names):
        channels = "1 Xposition" if depth == 0 else "3 Zrotation Yrotation Xrotation"
        lines.append(f"{'JOINT' if depth else 'ROOT'} {name.upper()} {{")
        lines.append(f"OFFSET 0 {torso} 0 CHANNELS {channels}")
    lines.append("End Site { OFFSET 0 1 0 }" + "}" * len(names))
    count = round(seconds * hertz)
    lines += ["MOTION", f"Frames: {count}", f"Frame Time: {1 / hertz}"]
    zeros = " 0" * 3 * (len(names) - 1)
    lines += [f"{10 * frame / hertz}{zeros}" for frame in range(count)]
    return "\n".join(lines).encode()


def camera(seconds: float = 4.0, start: float = START) -> bytes:
    return table([n, start + n / 22] for n in range(round(seconds * 22) + 1))


NAMES = {
    "acc": "Accelerometer/Shimmer02/acc_h02_{}.txt",
    "left": "Accelerometer/Shimmer01/acc_h01_{}.txt",
    "moc": "Mocap/OpticalData/moc_{}.txt",
    "skl": "Mocap/SkeletalData/skl_{}.bvh",
    "img": "Time_stamps/time_stamps_img_{}.txt",
}


def put(root: Path, trial: str = "s01_a01_r01", **files: bytes) -> Path:
    for kind, data in files.items():
        path = root / NAMES[kind].format(trial)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def load(root: Path, trial: str = "s01_a01_r01", **options: object) -> Recording:
    recording = BerkeleyMhad(root, options).load(trial)
    assert isinstance(recording, Recording), recording
    return recording


def reason(root: Path, trial: str = "s01_a01_r01", **options: object) -> str:
    trouble = BerkeleyMhad(root, options).load(trial)
    assert isinstance(trouble, SetAside) and trouble.id == trial
    return trouble.reason


def skeleton_of(recording: Recording) -> NDArray[np.float32]:
    assert recording.skeleton is not None
    return recording.skeleton


# Where files are found, and what they are of.


def as_tar(root: Path, folder: str) -> None:
    with tarfile.open(root / f"{folder}.tar.gz", "w:gz") as archive:
        archive.add(root / folder, folder)
    shutil.rmtree(root / folder)


def as_zip(root: Path, folder: str) -> None:
    with zipfile.ZipFile(root / f"{folder.upper()}.ZIP", "w") as archive:
        for path in (root / folder).rglob("*.*"):
            archive.write(path, path.relative_to(root))
    shutil.rmtree(root / folder)


def as_folder(root: Path, folder: str) -> None:
    (root / folder).rename(root / folder.lower())


@pytest.mark.parametrize("pack", [as_tar, as_zip, as_folder])
@pytest.mark.parametrize("below", ["", "berkeley-mhad", "Berkeley-MHAD"])
def test_archives_and_folders_alike(tmp_path: Path, below: str, pack: Any) -> None:
    put(tmp_path / below, acc=table(samples()), moc=markers(), img=camera())
    for folder in ("Accelerometer", "Mocap", "Time_stamps"):
        pack(tmp_path / below, folder)
    recording = load(tmp_path)
    assert (recording.id, recording.dataset) == ("s01_a01_r01", "berkeley_mhad")
    assert (recording.label, recording.subject, recording.trial) == (0, "1", "1")
    assert recording.rate == HERTZ and skeleton_of(recording).shape == (241, 43, 3)


def test_markers_and_skeletons_in_archives_of_their_own(tmp_path: Path) -> None:
    put(tmp_path, acc=table(samples()), moc=markers(), skl=bvh())
    as_tar(tmp_path / "Mocap", "OpticalData")
    (tmp_path / "Mocap" / "OpticalData.tar.gz").rename(tmp_path / "OpticalData_sample.tar.gz")
    (tmp_path / "Mocap" / "SkeletalData").rename(tmp_path / "SkeletalData")
    assert BerkeleyMhad(tmp_path).layout is BVH
    assert skeleton_of(load(tmp_path, skeleton="markers")).shape[1] == 43
    assert skeleton_of(load(tmp_path, skeleton="bvh")).shape[1] == 30


def test_trials_and_labels(tmp_path: Path) -> None:
    for trial in ("s12_a11_r05", "s01_a10_r02", "s13_a12_r01"):
        put(tmp_path, trial, acc=table(samples()))
    source = BerkeleyMhad(tmp_path)
    trials = source.trials()
    assert len(trials) == len(set(trials)) == 12 * 11 * 5 + 1 and trials == sorted(trials)
    found = {t.id: t for t in source.read() if isinstance(t, Recording)}
    assert {i: (r.label, r.subject, r.trial) for i, r in found.items()} == {
        "s01_a10_r02": (9, "1", "2"),
        "s12_a11_r05": (10, "12", "5"),
    }
    assert source.classes[9:] == ("sit down", "stand up") and len(source.classes) == 11
    reasons = Counter(t.reason for t in source.read() if isinstance(t, SetAside))
    assert reasons == {
        "its accelerometer file is known to be missing in copies of the dataset.": 1,
        "its accelerometer file is known to be missing: it was never published.": 1,
        "its accelerometer file is missing. Download the archive again.": 656,
        "there is no action 12. Correct the file name.": 1,
    }
    known = [t.id for t in source.read() if isinstance(t, SetAside) and "known" in t.reason]
    assert known == ["s02_a07_r05", "s04_a08_r05"]


def test_each_sensor_has_its_files(tmp_path: Path) -> None:
    put(tmp_path, acc=table(samples()), left=table(samples() * [-1, -1, -1, 1]))
    right, left = load(tmp_path), load(tmp_path, sensor="left_wrist")
    np.testing.assert_array_equal(right.acceleration, -left.acceleration)
    placements = {s: BerkeleyMhad(tmp_path, {"sensor": s}).placement for s in ("left_wrist",)}
    assert placements == {"left_wrist": "left wrist"}
    assert BerkeleyMhad(tmp_path).placement == "right wrist"
    with pytest.raises(DataError, match=r"no file is called like acc_h06_s01_a01_r01.txt"):
        BerkeleyMhad(tmp_path, {"sensor": "right_ankle"}).trials()


def test_wrong_options(tmp_path: Path) -> None:
    put(tmp_path, acc=table(samples()))
    with pytest.raises(UsageError, match=r"sensor is 'wrist'. Did you mean 'left_wrist'\?"):
        BerkeleyMhad(tmp_path, {"sensor": "wrist"})
    with pytest.raises(UsageError, match=r"skeleton is 3. Known: auto, bvh, markers, none"):
        BerkeleyMhad(tmp_path, {"skeleton": 3})
    with pytest.raises(UsageError, match=r"unknown option 'sensors'"):
        BerkeleyMhad(tmp_path, {"sensors": "left_wrist"})


WANTED = r"Download Accelerometer.tar.gz, .* from https://.*berkeley_mhad .* --data-root"


def test_no_data_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no data folder was named. {WANTED}"):
        BerkeleyMhad(None)
    with pytest.raises(DataError, match=f"nowhere: .*no such folder. {WANTED}"):
        BerkeleyMhad(tmp_path / "nowhere")
    with pytest.raises(DataError, match=f"neither Accelerometer.tar.gz nor .* {WANTED}"):
        BerkeleyMhad(tmp_path)
    put(tmp_path, acc=table(samples()), moc=markers())
    with pytest.raises(DataError, match=f"no motion capture as bvh. {WANTED}"):
        BerkeleyMhad(tmp_path, {"skeleton": "bvh"})


def test_which_skeletons_auto_means(tmp_path: Path) -> None:
    put(tmp_path, acc=table(samples()))
    assert load(tmp_path).skeleton is None
    put(tmp_path, moc=markers(hertz=60.0))
    assert BerkeleyMhad(tmp_path).layout is MARKERS and skeleton_of(load(tmp_path)).shape[1] == 43
    put(tmp_path, "s01_a01_r02", skl=bvh())
    assert BerkeleyMhad(tmp_path).layout is BVH and load(tmp_path).skeleton is None
    assert load(tmp_path, skeleton="none").skeleton is None


def test_the_key_follows_what_is_read(tmp_path: Path) -> None:
    put(tmp_path, acc=table(samples()), moc=markers(hertz=60.0))

    def key(**options: object) -> str:
        return BerkeleyMhad(tmp_path, options).key()

    first = key(), key(skeleton="none"), key(sensor="left_wrist")
    assert len(set(first)) == 3 and first[0] == key(skeleton="markers")
    put(tmp_path, moc=markers(hertz=30.0))
    assert key() != first[0] and key(skeleton="none") == first[1]
    put(tmp_path, acc=table(samples(3.0)))
    assert key(skeleton="none") != first[1]


def test_it_travels_to_other_processes(tmp_path: Path) -> None:
    put(tmp_path, acc=table(samples()), moc=markers())
    as_tar(tmp_path, "Mocap")
    source = BerkeleyMhad(tmp_path)
    here = source.load("s01_a01_r01")
    there = pickle.loads(pickle.dumps(source)).load("s01_a01_r01")
    assert isinstance(here, Recording)
    np.testing.assert_array_equal(here.acceleration, there.acceleration)
    np.testing.assert_array_equal(here.skeleton, there.skeleton)


def test_two_files_for_one_trial(tmp_path: Path) -> None:
    put(tmp_path, acc=table(samples()))
    copy = tmp_path / "Accelerometer" / "copy" / "ACC_H02_S01_A01_R01.TXT"
    copy.parent.mkdir()
    copy.write_bytes(b"")
    assert "has two files: Accelerometer/Shimmer02/acc" in reason(tmp_path)


# The accelerometer and its clock.


def test_an_even_signal_comes_back_as_it_is(tmp_path: Path) -> None:
    rows = samples()
    recording = load(put(tmp_path, acc=table(rows)))
    np.testing.assert_allclose(recording.acceleration, rows[:, :3], atol=2e-5)


def test_rows_with_a_spike_are_left_out(tmp_path: Path) -> None:
    rows = samples()
    expected = sine(rows[:, 3])
    rows[40, 1:3] = 26.498047, -2.0
    rows[80, 0] = -60.748047
    recording = load(put(tmp_path, acc=table(rows)))
    assert np.abs(recording.acceleration).max() < 1.1
    np.testing.assert_allclose(recording.acceleration, expected, atol=0.02)
    rows[:20, 0] = 9.81
    assert "22 of 125 samples are over 2.01 g" in reason(put(tmp_path, acc=table(rows)))


def test_late_samples_are_put_back_where_they_were_taken(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = samples(8.0)
    rows[:, 3] += rng.choice([0.0, 0.022], len(rows))
    rows[100:105, 3] = rows[104, 3] + 0.001 * np.arange(5)  # they come together, after a pause
    recording = load(put(tmp_path, acc=table(rows)))
    times = START + np.arange(len(recording.acceleration)) / HERTZ
    true = sine(times + 0.011)  # the median delay cannot be known
    raw = interpolate(rows[:, :3], rows[:, 3], times)
    off, before = (np.sqrt(np.mean((x - true) ** 2)) for x in (recording.acceleration, raw))
    assert off < 0.04 and off < before / 2


def test_lost_samples_leave_the_others_in_place(tmp_path: Path) -> None:
    rows = np.delete(samples(8.0), slice(120, 132), axis=0)
    recording = load(put(tmp_path, acc=table(rows)))
    expected = sine(START + np.arange(len(recording.acceleration)) / HERTZ)
    error = np.abs(recording.acceleration - expected).max(axis=1)
    assert error[:119].max() < 1e-4 and error[133:].max() < 1e-4


def test_duplicate_and_backward_stamps(tmp_path: Path) -> None:
    rows = samples()
    messy = rows[[*range(50), 52, 51, 50, *range(53, len(rows)), 70]]
    messy[-1, :3] = 1.9  # a second sample at the time of row 70
    recording = load(put(tmp_path, acc=table(messy)))
    np.testing.assert_allclose(recording.acceleration, rows[:, :3], atol=2e-5)


LONG = samples()
LONG[:, 3] = START + 100 * (LONG[:, 3] - START)
BAD_SAMPLES = {
    "empty": (b"", "is empty"),
    "text": (b"x y z t\n", "row 1 has 'x' where a number should be"),
    "no clock": (table(samples()[:, :3]), "has 3 columns, expected 4"),
    "torn": (table(samples())[:-20], "row 125 has 3 columns, expected 4"),
    "nan": (table(samples()) + b"0 nan 1 1309539269\n", "row 126 has a value that is not finite"),
    "one sample": (table(samples()[:1]), "1 time stamps over 0 s, not 0.2 to 300 s"),
    "one stamp": (table(np.tile(samples()[:1], (9, 1))), "1 time stamps over 0 s"),
    "short": (table(samples(0.1)), "4 time stamps over 0.0966 s"),
    "milliseconds": (table(samples() * [1, 1, 1, 1000]), "125 time stamps over 3.99e+03 s"),
    "slow": (table(LONG[:50]), "has 0.311 samples a second, not about 31.05"),
    "fast": (table(samples(8) * [1, 1, 1, 0.2]), "has 155 samples a second"),
    "metres": (table(samples() * [9.81, 9.81, 9.81, 1]), "of 125 samples are over 2.01 g"),
    "large": (b"0 0 0 1\n" * 200_000, "larger than the 1048576 bytes expected"),
    "long": (b"0 0 0 1\n" * 60_000, "has 60000 rows, expected 50000 at most"),
    "far": (b"0 0 0 -1e308\n0 0 0 1e308\n", "2 time stamps over inf s"),
    "binary": (b"\x89PNG\r\n", "is no plain text"),
}


@pytest.mark.parametrize(("data", "message"), BAD_SAMPLES.values(), ids=BAD_SAMPLES)
def test_a_bad_accelerometer_file_is_set_aside_by_name(
    tmp_path: Path, data: bytes, message: str
) -> None:
    put(tmp_path, acc=data)
    put(tmp_path, "s01_a01_r02", acc=table(samples()))
    why = reason(tmp_path)
    assert why.startswith("Accelerometer/Shimmer02/acc_h02_s01_a01_r01.txt: ") and message in why
    assert len(load(tmp_path, "s01_a01_r02").acceleration) == 125


ROWS = table(samples(1.0)).decode()


@settings(max_examples=150)
@given(
    at=st.integers(0, len(ROWS)),
    length=st.integers(0, 60),
    new=st.binary(max_size=4)
    | st.sampled_from([b" nan ", b"1e999", b"\n\n", b"-1309539264.3", b"\r\n0 0 0 1e300\n"]),
)
def test_any_damage_to_samples_is_refused_or_harmless(at: int, length: int, new: bytes) -> None:
    data = ROWS.encode()
    try:
        times, values = read_samples(data[:at] + new + data[at + length :])
    except ValueError:
        return
    assert np.isfinite(times).all() and np.abs(values).max() <= 2.01
    assert len(times) == len(values) and (np.diff(times) >= 0).all()


# Motion capture and its clock.


def test_both_signals_are_cut_to_the_time_that_they_share(tmp_path: Path) -> None:
    put(tmp_path, acc=table(samples()), moc=markers(3.0, START + 0.5))
    recording = load(tmp_path)
    times = START + 0.5 + np.arange(len(recording.acceleration)) / HERTZ
    assert 3 - 2 / HERTZ < recording.seconds < 3 + 1 / HERTZ
    np.testing.assert_allclose(recording.acceleration, sine(times), atol=0.02)
    skeleton = skeleton_of(recording)
    at = np.linspace(times[0], times[-1], len(skeleton))
    assert abs(len(skeleton) / recording.seconds - 60) < 1
    np.testing.assert_allclose(skeleton, somebody(at) / 1000, atol=2e-3)
    inner = slice(5, -5)  # the filter sees less than it wants at the ends
    np.testing.assert_allclose(skeleton[inner], somebody(at)[inner] / 1000, atol=1e-5)


def test_signals_of_different_times_are_set_aside(tmp_path: Path) -> None:
    put(tmp_path, acc=table(samples()), moc=markers(start=START + 3.8))
    assert "have less than 0.5 s in common. Check that both files are of this" in reason(tmp_path)
    assert load(tmp_path, skeleton="none").skeleton is None


def test_hidden_markers_are_put_between_where_they_were_seen(tmp_path: Path) -> None:
    def hide(places: Array, times: Array) -> None:
        places[120:370, MARKERS.index("rwri")] = 0
        places[:80, MARKERS.index("lkne")] = 0
        places[750:, MARKERS.index("head")] = 0

    hidden = load(put(tmp_path / "hidden", acc=table(samples()), moc=markers(spoil=hide)))
    seen = load(put(tmp_path / "seen", acc=table(samples()), moc=markers()))
    np.testing.assert_allclose(skeleton_of(hidden), skeleton_of(seen), atol=1e-5)


def test_a_marker_that_is_never_seen_is_put_amid_its_neighbours(tmp_path: Path) -> None:
    elbow, arm, wrist, hand = (MARKERS.index(m) for m in ("relb", "rarm", "rwri", "rhan1"))

    def hide(places: Array, times: Array) -> None:
        places[:, [elbow, hand]] = 0

    skeleton = skeleton_of(load(put(tmp_path, acc=table(samples()), moc=markers(spoil=hide))))
    middle = (skeleton[:, arm] + skeleton[:, wrist]) / 2
    np.testing.assert_allclose(skeleton[:, elbow], middle, atol=1e-5)
    np.testing.assert_allclose(skeleton[:, hand], skeleton[:, wrist], atol=1e-5)


def test_what_60_frames_a_second_cannot_hold_is_taken_out(tmp_path: Path) -> None:
    slow, fast = MARKERS.index("lwri"), MARKERS.index("rwri")

    def shake(places: Array, times: Array) -> None:
        places[:, slow, 0] += 50 * np.sin(2 * np.pi * 4 * (times - START))
        places[:, fast, 0] += 50 * np.sin(2 * np.pi * 65 * (times - START))

    put(tmp_path, acc=table(samples()), moc=markers(spoil=shake))
    skeleton = skeleton_of(load(tmp_path))[10:-10, :, 0]
    spread = skeleton.std(axis=0) * np.sqrt(2)
    assert spread[slow] == pytest.approx(0.05, rel=0.05) and spread[fast] < 0.002


def test_clocks_of_a_skeleton_file(tmp_path: Path) -> None:
    """The marker file's, else the middle of the camera's, else none: stretched over the clip."""
    put(tmp_path, acc=table(samples()), skl=bvh(3.0))

    def path() -> Array:
        """Metres of the root to the left, which are tenths of seconds since the first frame."""
        recording = load(tmp_path, skeleton="bvh")
        skeleton = skeleton_of(recording)
        assert skeleton.shape == (round((recording.seconds - 1 / HERTZ) * 60) + 1, 30, 3)
        up = np.arange(30) * 0.1
        np.testing.assert_allclose(skeleton[:, :, 1] - skeleton[:, :1, 1], [up] * len(skeleton))
        return skeleton[:, 0, 0].astype(np.float64) * 10

    stretched = path()
    put(tmp_path, "s01_a01_r02", acc=table(samples(1.4)), skl=bvh(3.0))
    assert "covers 1.38 s and its skeleton 3.00 s" in reason(tmp_path, "s01_a01_r02")
    assert len(stretched) == 241 and stretched[[0, -1]] == pytest.approx([0, 3], abs=0.02)
    put(tmp_path, img=camera(3.0, START + 1.2))
    by_camera = path()  # frames from 1.2 s to 4.2 s, samples until 4 s
    assert by_camera[[0, -1]] == pytest.approx([0, 2.79], abs=0.04)
    put(tmp_path, moc=markers(3.0, START - 0.5))
    by_markers = path()
    assert by_markers[[0, -1]] == pytest.approx([0.5, 3], abs=0.04)


BAD_MARKERS = {
    "empty": (b"", "is empty"),
    "marker missing": (table(np.ones((9, 128))), "has 128 columns, expected 131"),
    "nan": (markers(1.0).replace(b" 0.000000 ", b" nan ", 1), "row 1 has a value that is not fin"),
    "one frame": (markers(0.001), "1 time stamps over 0 s"),
    "nobody": (
        markers(1.0, spoil=lambda places, times: places[:, :30].fill(0)),
        "only 13 of 43 markers are ever seen",
    ),
    "metres": (
        markers(1.0, spoil=lambda places, times: np.divide(places, 1000, out=places)),
        "its torso is 0.000247 m long, not 0.05 to 1.0",
    ),
    "far away": (
        markers(1.0, spoil=lambda places, times: places[:, 0].fill(1e300)),
        "somebody is 1e+297 m away, more than 100",
    ),
    "too many frames": (markers(0.3, hertz=3000.0), "has 3e+03 frames a second, more than 1000"),
}
BAD_SKELETONS = {
    "empty": (b"", "line 1: ends too early"),
    "joint missing": (bvh(1.0, missing="LeftFoot"), "has no joint 'LeftFoot'"),
    "one frame": (bvh(0.002), "its 1 frames take 0 s"),
    "millimetres": (bvh(1.0, torso=100.0), "its torso is 4 m long"),
    "too many frames": (bvh(0.3, hertz=3000.0), "has 3e+03 frames a second"),
    "torn": (bvh(1.0)[:-40], "row 480 has 68 columns, expected 88"),
}
BAD_MOTION = [
    pytest.param(kind, data, message, id=f"{kind} {what}")
    for kind, bad in (("moc", BAD_MARKERS), ("skl", BAD_SKELETONS))
    for what, (data, message) in bad.items()
]


@pytest.mark.parametrize(("kind", "data", "message"), BAD_MOTION)
def test_bad_motion_capture_is_set_aside_by_name(
    tmp_path: Path, kind: str, data: bytes, message: str
) -> None:
    put(tmp_path, acc=table(samples()), **{kind: data})
    why = reason(tmp_path)
    assert why.startswith("Mocap/") and message in why
    assert load(tmp_path, skeleton="none").skeleton is None


FEW = markers(0.3, hertz=20.0)


@settings(max_examples=100)
@given(
    at=st.integers(0, len(FEW)),
    length=st.integers(0, 40),
    new=st.binary(max_size=4) | st.sampled_from([b" 0 0 0 ", b"1e308", b"nan", b"\n", b"-"]),
)
def test_any_damage_to_markers_is_refused_or_harmless(at: int, length: int, new: bytes) -> None:
    try:
        times, positions = read_markers(FEW[:at] + new + FEW[at + length :])
    except ValueError:
        return
    assert positions.shape == (len(times), 43, 3) and np.isfinite(positions).all()


# The real recordings.

RealData = Callable[[str], Path]


@pytest.fixture(scope="module")
def real(real_data: RealData) -> Path:
    return real_data("berkeley-mhad/Accelerometer.tar.gz").parent


@pytest.fixture(scope="module")
def store(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(BerkeleyMhad(real.parent), tmp_path_factory.mktemp("cache"))


def test_real_right_wrists_are_all_there(store: Store) -> None:
    assert len(store) == 658
    assert [s.id for s in store.set_aside] == ["s02_a07_r05", "s04_a08_r05"]
    assert all("known to be missing" in s.reason for s in store.set_aside)
    assert Counter(i.label for i in store.info) == {
        label: 59 if label in (6, 7) else 60 for label in range(11)
    }
    assert 1.5 < min(i.seconds for i in store.info) < 1.6
    assert 30 < max(i.seconds for i in store.info) < 31


def test_real_units_and_spikes(store: Store) -> None:
    norms = [float(np.median(np.linalg.norm(r.acceleration, axis=1))) for r in store]
    assert 0.9 < np.median(norms) < 1.1  # g
    assert max(float(np.abs(r.acceleration).max()) for r in store) <= 2.0


def test_the_right_hand_that_waves_is_the_right_wrist(real: Path) -> None:
    moving = {}
    for sensor in ("left_wrist", "right_wrist"):
        source = BerkeleyMhad(real, {"sensor": sensor, "skeleton": "none"})
        waving = [source.load(f"s{s:02d}_a06_r01") for s in range(1, 13)]
        spread = [r.acceleration.std(axis=0).max() for r in waving if isinstance(r, Recording)]
        moving[sensor] = np.median(spread)
    assert moving["right_wrist"] > 10 * moving["left_wrist"]


def test_real_splits_have_the_sizes_in_print(store: Store) -> None:
    options = DATASETS["berkeley_mhad"].protocols["cross_subject"]
    split = make_split("cross_subject", store.info, BerkeleyMhad.classes, options)
    assert [len(side) for side in split.sides.values()] == [383, 0, 275]
    folds = [
        make_split("leave_one_subject_out", store.info, BerkeleyMhad.classes, {"held_out": s})
        for s in range(1, 13)
    ]
    assert [len(f.test) for f in folds] == [54 if s in (2, 4) else 55 for s in range(1, 13)]


def test_a_real_person_in_markers(real: Path) -> None:
    source = BerkeleyMhad(real, {"skeleton": "markers"})
    recording = source.load("s01_a01_r01")
    assert isinstance(recording, Recording)
    skeleton = skeleton_of(recording)
    assert 5.7 < recording.seconds < 5.9 and skeleton.shape == (345, 43, 3)
    heights = dict(zip(MARKERS.joints, skeleton[:20, :, 1].mean(axis=0), strict=True))
    assert 1.5 < heights["head"] < 1.8 and 0 < heights["lfoo"] < 0.2  # metres, y up
    left, right = (skeleton[:, MARKERS.index(f"{side}sho1"), 0] for side in "lr")
    assert (left > right + 0.2).all()
    assert np.abs(np.diff(skeleton, axis=0)).max() < 0.15  # nowhere near a jump to (0, 0, 0)
    steps = np.linalg.norm(skeleton[:, [i for i, _ in MARKERS.edges]]
                           - skeleton[:, [p for _, p in MARKERS.edges]], axis=2)  # fmt: skip
    assert steps.max() < 0.5


def test_the_real_clocks_agree(real: Path) -> None:
    """The wrist and the marker on it feel the same, best within 0.1 s of the common clock."""
    recording = load(real, skeleton="markers")
    skeleton = skeleton_of(recording)
    seconds = (len(recording.acceleration) - 1) / HERTZ
    rate = (len(skeleton) - 1) / seconds
    path = gaussian_filter1d(skeleton[:, MARKERS.index("rwri")].astype(np.float64), 2.0, axis=0)
    force = np.gradient(np.gradient(path, axis=0), axis=0) * rate**2 + [0, STANDARD_GRAVITY, 0]
    seen = np.linalg.norm(force, axis=1) / STANDARD_GRAVITY
    felt = gaussian_filter1d(np.linalg.norm(recording.acceleration, axis=1).astype(np.float64), 1.0)
    at = np.arange(len(felt)) / HERTZ

    def agreement(shift: float) -> float:
        within = (at + shift > 0.1) & (at + shift < seconds - 0.1)
        moved = interpolate(seen, np.arange(len(seen)) / rate, at[within] + shift)
        return float(np.corrcoef(felt[within], moved)[0, 1])

    assert agreement(0.0) > 0.8
    assert max(agreement(s) for s in (-0.5, -0.2, 0.2, 0.5)) < 0.3
    best = max(np.arange(-0.6, 0.6, 0.01), key=agreement)
    assert abs(best) < 0.1


def test_real_clips(store: Store) -> None:
    assert store.layout is MARKERS and sum(i.has_skeleton for i in store.info) == 1
    clips = make_clips(store, range(len(store)), samples=128, frames=64)
    acceleration, skeleton = clips.signals["acceleration"], clips.signals["skeleton"]
    assert acceleration.shape == (658, 3, 128) and skeleton.shape == (658, 64, 43, 3)
    assert np.isfinite(acceleration).all() and np.isfinite(skeleton).all()
    assert clips.has_skeleton.nonzero().tolist() == [[0]] and np.abs(skeleton[0]).max() < 8


@pytest.mark.parametrize("rate", [22, 30, 40])
def test_slow_frames_are_interpolated_and_not_amplified(rate: int) -> None:
    """A filter for 24 Hz has nothing to take out of them."""
    times = np.arange(4 * rate) / rate
    waves = np.sin(2 * np.pi * np.array([1.0, 5.0, 10.0]) * times[:, None])[:, None]
    found = resample(times, waves, times)
    np.testing.assert_allclose(found, waves, atol=1e-6)
