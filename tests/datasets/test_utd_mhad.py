from __future__ import annotations

import io
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pskd.data.clips import make_clips
from pskd.data.protocols import make_split
from pskd.data.recording import Recording, SetAside
from pskd.data.store import Store, open_store
from pskd.datasets import DATASETS, dataset
from pskd.datasets.utd_mhad import UtdMhad
from pskd.errors import DataError, UsageError
from pskd.signal.align import interpolate, stretch

UTD = UtdMhad
TRIALS = [(1, 1, 1), (2, 1, 1), (10, 1, 1), (2, 3, 4), (27, 8, 2)]


def mat(**arrays: NDArray[Any]) -> bytes:
    buffer: Any = io.BytesIO()
    scipy.io.savemat(buffer, arrays, do_compression=True)
    data: bytes = buffer.getvalue()
    return data


def signals(trial: tuple[int, int, int], samples: int = 120, frames: int = 45) -> dict[str, Any]:
    """Random signals whose torso is 0.4 m long."""
    rng = np.random.default_rng(trial)
    joints = rng.normal(size=(20, 3, frames))
    joints[1] = joints[3] + [[0], [0.4], [0]]
    return {"d_iner": rng.normal(size=(samples, 6)), "d_skel": joints}


def official() -> dict[str, dict[str, bytes]]:
    """Contents of both archives, with the layout of the official ones."""
    files: dict[str, dict[str, bytes]] = {"Inertial": {}, "Skeleton": {}}
    files["Skeleton"]["Skeleton/Skeleton_joint_order.txt"] = b"1. head"
    for trial in TRIALS:
        made, name = signals(trial), "a{}_s{}_t{}".format(*trial)
        files["Inertial"][f"Inertial/{name}_inertial.mat"] = mat(d_iner=made["d_iner"])
        files["Skeleton"][f"Skeleton/{name}_skeleton.mat"] = mat(d_skel=made["d_skel"])
    return files


def write_zips(root: Path, files: dict[str, dict[str, bytes]]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for archive, members in files.items():
        with zipfile.ZipFile(root / f"{archive}.zip", "w") as made:
            for name, data in members.items():
                made.writestr(name, data)
    return root


def write_folders(root: Path, files: dict[str, dict[str, bytes]]) -> Path:
    for members in files.values():
        for name, data in members.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
    return root


def write_nested(root: Path, files: dict[str, dict[str, bytes]]) -> Path:
    """One folder too many, upper case, and what macOS leaves beside files."""
    for archive, members in files.items():
        for name, data in members.items():
            path = root / "UTD-MHAD" / archive.upper() / name.upper()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.with_name(f"._{path.name}").write_bytes(b"resource fork")
    return root


def read(root: Path) -> tuple[list[Recording], dict[str, str]]:
    trials = list(UTD(root).read())
    recordings = [t for t in trials if isinstance(t, Recording)]
    return recordings, {t.id: t.reason for t in trials if isinstance(t, SetAside)}


@pytest.mark.parametrize("write", [write_zips, write_folders, write_nested])
def test_recordings_from_zips_and_from_folders(tmp_path: Path, write: Any) -> None:
    recordings, set_aside = read(write(tmp_path, official()))
    assert not set_aside
    names = [(r.label + 1, int(r.subject), int(r.trial)) for r in recordings]
    assert names == sorted(TRIALS)
    for name, recording in zip(names, recordings, strict=True):
        made = signals(name)
        assert recording.id == "a{}_s{}_t{}".format(*name)
        assert (recording.dataset, recording.rate, recording.seconds) == ("utd_mhad", 50, 2.4)
        acceleration = made["d_iner"][:, :3].astype(np.float32)
        np.testing.assert_array_equal(recording.acceleration, acceleration)
        skeleton = skeleton_of(recording)
        assert skeleton.dtype == np.float32 and skeleton.shape == (45, 20, 3)
        for frame, joint, axis in [(0, 0, 0), (44, 10, 1), (17, 19, 2)]:
            expected = np.float32(made["d_skel"][joint, axis, frame])
            assert skeleton[frame, joint, axis] == expected


def test_the_subfolder_utd_mhad_is_found(tmp_path: Path) -> None:
    write_zips(tmp_path / "utd-mhad", official())
    assert len(read(tmp_path)[0]) == 5


def test_the_key_follows_contents_and_not_place(tmp_path: Path) -> None:
    first = write_folders(tmp_path / "one", official())
    key = UTD(first).key()
    assert UTD(write_folders(tmp_path / "two", official())).key() == key
    other = next((first / "Skeleton").glob("*.mat"))
    other.write_bytes(other.read_bytes() + b"\0")
    assert UTD(first).key() != key
    zips = write_zips(tmp_path / "zips", official())
    assert len(UTD(zips).key()) == 64 and UTD(zips).key() == UTD(zips).key()


INERTIAL = signals((2, 1, 1))["d_iner"]
SKELETON = signals((2, 1, 1))["d_skel"]
WITH_NAN = np.where(np.arange(6) == 1, np.nan, INERTIAL)
BAD_INERTIAL = {
    "foreign": (b"t,x,y,z\n0,1,2,3\n" * 50, "not a MATLAB file"),
    "truncated": (mat(d_iner=INERTIAL)[:-300], "torn: an element is cut short"),
    "no key": (mat(accel=INERTIAL), r"holds \['accel'\], not one 'd_iner'"),
    "wrong shape": (mat(d_iner=INERTIAL[:, :3]), r"shape \(120, 3\), expected any x 6"),
    "transposed": (mat(d_iner=INERTIAL.T), r"shape \(6, 120\)"),
    "nan": (mat(d_iner=WITH_NAN), "acceleration has 120 values that are not finite"),
    "too large for float32": (mat(d_iner=np.full((9, 6), 1e300)), "27 values that are not finite"),
    "zero length": (mat(d_iner=np.empty((0, 6))), "acceleration has 0 samples"),
    "one sample": (mat(d_iner=INERTIAL[:1]), "acceleration has 1 samples"),
    "bomb": (mat(d_iner=np.zeros((1_000_000, 6))), "unpacks to more than 1048576 bytes"),
    "large file": (bytes(300_000), "larger than the 262144 bytes expected"),
}
BAD_SKELETON = {
    "wrong shape": (mat(d_skel=SKELETON[:17]), r"shape \(17, 3, 45\), expected 20 x 3 x any"),
    "one frame": (mat(d_skel=SKELETON[:, :, :1]), "skeleton has 1 samples"),
    "one frame as MATLAB saves it": (mat(d_skel=SKELETON[:, :, 0]), r"shape \(20, 3\), expected"),
    "nan": (mat(d_skel=SKELETON * [[1], [np.nan], [1]]), "900 values that are not finite"),
    "no extent": (mat(d_skel=np.zeros((20, 3, 9))), "torso of its skeleton is 0 m long"),
    "millimetres": (mat(d_skel=SKELETON * 1000), "torso of its skeleton is 400 m long"),
}
BAD = [
    pytest.param(kind, data, message, id=f"{kind} {what}")
    for kind, table in (("inertial", BAD_INERTIAL), ("skeleton", BAD_SKELETON))
    for what, (data, message) in table.items()
]


@pytest.mark.parametrize(("kind", "data", "message"), BAD)
def test_a_bad_file_is_set_aside_by_name(
    tmp_path: Path, kind: str, data: bytes, message: str
) -> None:
    files = official()
    files[kind.title()][f"{kind.title()}/a2_s1_t1_{kind}.mat"] = data
    root = write_zips(tmp_path / "data", files)
    recordings, set_aside = read(root)
    assert len(recordings) == 4 and list(set_aside) == ["a2_s1_t1"]
    assert re.search(message, set_aside["a2_s1_t1"])
    store = open_store(UTD(root), tmp_path / "cache")
    assert len(store) == 4
    assert store.set_aside == [SetAside("a2_s1_t1", set_aside["a2_s1_t1"])]


def test_a_trial_without_one_of_its_modalities_is_set_aside(tmp_path: Path) -> None:
    files = official()
    del files["Inertial"]["Inertial/a1_s1_t1_inertial.mat"]
    del files["Skeleton"]["Skeleton/a10_s1_t1_skeleton.mat"]
    recordings, set_aside = read(write_zips(tmp_path, files))
    assert len(recordings) == 3
    assert list(set_aside) == ["a1_s1_t1", "a10_s1_t1"]
    assert set_aside["a1_s1_t1"].startswith("Inertial.zip: its inertial file is missing. ")
    assert set_aside["a10_s1_t1"].startswith("Skeleton.zip: its skeleton file is missing. ")


def test_two_files_for_one_trial_and_an_unknown_action(tmp_path: Path) -> None:
    files = official()
    files["Inertial"]["copy/A1_S1_T1_inertial.MAT"] = b""
    for kind, key in (("Inertial", "d_iner"), ("Skeleton", "d_skel")):
        files[kind][f"{kind}/a28_s1_t1_{kind.lower()}.mat"] = mat(**{key: signals((2, 1, 1))[key]})
    recordings, set_aside = read(write_zips(tmp_path, files))
    assert len(recordings) == 4 and list(set_aside) == ["a1_s1_t1", "a28_s1_t1"]
    assert "has two: Inertial/a1_s1_t1_inertial.mat, copy/A1_S1" in set_aside["a1_s1_t1"]
    assert "there is no action 28" in set_aside["a28_s1_t1"]


def test_a_torn_member_of_the_zip_is_set_aside(tmp_path: Path) -> None:
    root = write_zips(tmp_path, official())
    with zipfile.ZipFile(root / "Skeleton.zip") as archive:
        offset = archive.getinfo("Skeleton/a2_s3_t4_skeleton.mat").header_offset
    data = bytearray((root / "Skeleton.zip").read_bytes())
    data[offset + 500] ^= 0xFF
    (root / "Skeleton.zip").write_bytes(data)
    recordings, set_aside = read(root)
    assert len(recordings) == 4
    assert "Skeleton.zip/Skeleton/a2_s3_t4_skeleton.mat: cannot be" in set_aside["a2_s3_t4"]


def test_a_hostile_archive_is_refused_whole(tmp_path: Path) -> None:
    files = official()
    files["Skeleton"]["../../evil.mat"] = b""
    with pytest.raises(DataError, match=r"Skeleton.zip: member '../../evil.mat' points outside"):
        read(write_zips(tmp_path, files))


WANTED = r"Download Inertial.zip and Skeleton.zip from https://.*UTD-MHAD.html .* --data-root"


def test_no_data_names_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no data folder was named.*{WANTED}"):
        UTD(None).key()
    with pytest.raises(DataError, match=f"nowhere: .*no such folder.*{WANTED}"):
        UTD(tmp_path / "nowhere").key()
    with pytest.raises(DataError, match=f"Inertial.zip and Skeleton.zip, or .*{WANTED}"):
        UTD(tmp_path).key()
    write_zips(tmp_path, official())
    (tmp_path / "Skeleton.zip").unlink()
    with pytest.raises(DataError, match=f"not both in it.*{WANTED}"):
        open_store(UTD(tmp_path), tmp_path / "cache")
    write_zips(tmp_path, {"Skeleton": {"readme": b""}, "Inertial": {"readme": b""}})
    with pytest.raises(DataError, match=f"no file is called like .*{WANTED}"):
        list(UTD(tmp_path).read())


def test_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"utd_mhad: unknown option 'subjects'\. It takes no"):
        UTD(tmp_path, {"subjects": 3})


def test_datasets_by_name() -> None:
    assert DATASETS["utd_mhad"].title == "UTD-MHAD"
    assert dataset("simulated").name == "simulated"
    with pytest.raises(UsageError, match=r"unknown dataset 'utd-mhad'. Did you mean 'utd_mhad'"):
        dataset("utd-mhad")


def skeleton_of(recording: Recording) -> NDArray[np.float32]:
    assert recording.skeleton is not None
    return recording.skeleton


# The real recordings.

RealData = Callable[[str], Path]


@pytest.fixture(scope="module")
def root(real_data: RealData) -> Path:
    real_data("utd-mhad/Inertial.zip")
    return real_data("utd-mhad/Skeleton.zip").parent


@pytest.fixture(scope="module")
def store(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(UTD(root.parent), tmp_path_factory.mktemp("cache"))


def test_real_recordings_are_all_there(store: Store) -> None:
    assert len(store) == 861 and not store.set_aside
    everything = {(a, s, t) for a in range(27) for s in range(1, 9) for t in range(1, 5)}
    there = {(i.label, int(i.subject), int(i.trial)) for i in store.info}
    assert everything - there == {(7, 1, 4), (22, 6, 4), (26, 8, 4)}
    assert Counter(i.label for i in store.info) == {
        label: 31 if label in (7, 22, 26) else 32 for label in range(27)
    }
    assert {i.seconds for i in store.info} >= {107 / 50, 326 / 50}
    assert (min(i.frames for i in store.info), max(i.frames for i in store.info)) == (41, 125)


def test_real_signals_are_those_that_scipy_reads(store: Store, root: Path) -> None:
    with (
        zipfile.ZipFile(root / "Inertial.zip") as inertial,
        zipfile.ZipFile(root / "Skeleton.zip") as skeleton,
    ):
        for recording in store:
            signal: Any = io.BytesIO(inertial.read(f"Inertial/{recording.id}_inertial.mat"))
            joints: Any = io.BytesIO(skeleton.read(f"Skeleton/{recording.id}_skeleton.mat"))
            expected = scipy.io.loadmat(signal)["d_iner"][:, :3].astype(np.float32)
            np.testing.assert_array_equal(recording.acceleration, expected)
            expected = scipy.io.loadmat(joints)["d_skel"].transpose(2, 0, 1).astype(np.float32)
            np.testing.assert_array_equal(skeleton_of(recording), expected)


def test_real_units(store: Store) -> None:
    norms = [np.median(np.linalg.norm(r.acceleration, axis=1)) for r in store]
    assert min(norms) > 0.9 and max(norms) < 1.5  # g: gravity is what is felt most of the time
    paths = [skeleton_of(r)[:, :, 1].mean(axis=0) for r in store]
    heights = [p[UTD.layout.index("head")] - p[UTD.layout.index("left_foot")] for p in paths]
    assert 0.9 < np.median(heights) < 2.0  # head above foot, y up, metres


def test_real_splits_have_the_sizes_in_print(store: Store) -> None:
    def sizes(name: str, **options: Any) -> list[int]:
        return [len(s) for s in make_split(name, store.info, UTD.classes, options).sides.values()]

    odd, even = [1, 3, 5, 7], [2, 4, 6, 8]
    assert sizes("cross_subject", train=odd, test=even) == [431, 0, 430]
    assert sizes("cross_subject", train=[1, 3, 5], validation=[7], test=even) == [323, 108, 430]
    assert sizes("trial_split", train=[1, 2], test=[3, 4]) == [432, 0, 429]
    folds = [sizes("leave_one_subject_out", held_out=s) for s in range(1, 9)]
    assert [f[2] for f in folds] == [107, 108, 108, 108, 108, 107, 108, 107]
    assert all(sum(f) == 861 for f in folds)


def test_real_clips(store: Store) -> None:
    clips = make_clips(store, range(len(store)), samples=128, frames=64)
    acceleration, skeleton = clips.signals["acceleration"], clips.signals["skeleton"]
    assert acceleration.shape == (861, 3, 128) and skeleton.shape == (861, 64, 20, 3)
    assert clips.has_skeleton.all()
    assert np.isfinite(acceleration).all() and np.isfinite(skeleton).all()
    assert np.abs(skeleton).max() < 6  # torso lengths from the mean hip


def test_real_folders_give_what_the_zips_give(store: Store, root: Path, tmp_path: Path) -> None:
    for kind in ("Inertial", "Skeleton"):
        with zipfile.ZipFile(root / f"{kind}.zip") as archive:
            archive.extractall(tmp_path)
    shutil.move(tmp_path / "Inertial", tmp_path / "inertial")
    recordings, set_aside = read(tmp_path)
    assert not set_aside
    for one, other in zip(recordings, store, strict=True):
        assert one.id == other.id
        np.testing.assert_array_equal(one.acceleration, other.acceleration)
        np.testing.assert_array_equal(skeleton_of(one), skeleton_of(other))


def test_real_signals_align_by_stretching_and_not_at_nominal_rates(
    store: Store, root: Path
) -> None:
    """Wrist speed, from the skeleton, against angular rate, from the gyroscope on that wrist."""
    wrist = UTD.layout.index("right_wrist")
    stretched, nominal = [], []
    with zipfile.ZipFile(root / "Inertial.zip") as archive:
        for recording in store:
            if recording.label > 20:  # the sensor is on the thigh
                continue
            file: Any = io.BytesIO(archive.read(f"Inertial/{recording.id}_inertial.mat"))
            turning = np.linalg.norm(scipy.io.loadmat(file)["d_iner"][:, 3:], axis=1)
            turning = gaussian_filter1d(turning, 5)  # 0.1 s, and so is that of the path
            path = gaussian_filter1d(skeleton_of(recording)[:, wrist].astype(float), 2, axis=0)
            speed = np.linalg.norm(np.gradient(path, axis=0), axis=1)
            stretched.append(np.corrcoef(stretch(speed, 128), stretch(turning, 128))[0, 1])
            # At 30 fps the skeleton is shorter: even its best place along the clip is worse.
            seconds = np.arange(0, (len(speed) - 1) / 30, 1 / 50)
            short = interpolate(speed, np.arange(len(speed)) / 30, seconds)
            places = np.lib.stride_tricks.sliding_window_view(turning, len(short))
            covariance = places @ (short - short.mean()) / len(short)
            nominal.append((covariance / places.std(axis=1) / short.std()).max())
    assert len(stretched) == 671
    assert np.median(stretched) > 0.8 and np.mean(stretched) > 0.75
    assert np.median(stretched) - np.median(nominal) > 0.2
    assert np.mean(stretched) - np.mean(nominal) > 0.15
