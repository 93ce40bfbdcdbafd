"""The simulated MMAct: official tree and formats, read here without the reader."""

import csv
import io
import json
import tarfile
import zipfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pskd.data.skeleton import COCO_17, KINECT_V1
from pskd.datasets.mmact import MMAct
from pskd.datasets.twins import mmact as twin
from pskd.datasets.twins.cameras import as_openpose, key_points, photograph
from pskd.datasets.twins.mmact_takes import Act
from pskd.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five takes of two actions of two people, unpacked, from all sensors."""
    root = tmp_path_factory.mktemp("twin") / "mmact"
    sensors = ("watch", "phone", "gyroscope", "orientation")
    written = twin.write(root, subjects=2, trials=5, classes=2, sensors=sensors, zipped=False)
    assert written == 2 * 5 * 2 * 4
    return root


def table(file: Path) -> tuple[list[datetime], np.ndarray]:
    with file.open(newline="") as stream:
        rows = list(csv.reader(stream))
    times = [datetime.strptime(row[0], "%Y%m%d_%H:%M:%S.%f") for row in rows]
    return times, np.array([[float(cell) for cell in row[1:]] for row in rows])


def test_the_tree_is_the_official_one(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == [
        "acc_phone_clip", "acc_watch_clip", "gyro_clip", "orientation_clip", "pose",
    ]  # fmt: skip
    takes = {(1, 1), (2, 2), (3, 3), (4, 4), (5, 1)}  # session, scene
    names = {
        f"subject{subject}/scene{scene}/session{session}/{action}"
        for subject in (1, 2)
        for session, scene in takes
        for action in ("standing", "crouching")
    }
    for sensor in ("acc_watch_clip", "gyro_clip"):
        found = {p.relative_to(folder / sensor).as_posix() for p in (folder / sensor).rglob("*.*")}
        assert found == {f"{name}.csv" for name in names}
    poses = folder / "pose/cross_view/trainval"
    assert {p.relative_to(poses).as_posix() for p in poses.rglob("*.*")} == {
        f"{name.replace('/', f'/cam{camera}/', 1)}.json" for name in names for camera in range(1, 5)
    }


def test_sensors_have_their_units_and_rates(folder: Path) -> None:
    path = "subject1/scene2/session2/crouching.csv"
    rates, starts = {}, set()
    for sensor in ("acc_watch_clip", "acc_phone_clip", "gyro_clip", "orientation_clip"):
        times, values = table(folder / sensor / path)
        seconds = np.array([(t - times[0]).total_seconds() for t in times])
        assert (np.diff(seconds) > 0).all()
        rates[sensor] = round((len(times) - 1) / seconds[-1], 1)
        starts.add(times[0])
        if sensor.startswith("acc"):
            assert np.median(np.linalg.norm(values, axis=1)) == pytest.approx(9.8, rel=0.1)
    assert len(starts) == 1
    assert rates == {
        "acc_watch_clip": 99.6, "acc_phone_clip": 100.0,
        "gyro_clip": 50.0, "orientation_clip": 16.7,
    }  # fmt: skip


def test_poses_are_people_in_a_picture(folder: Path) -> None:
    people: Counter[int] = Counter()
    for file in (folder / "pose").rglob("*.json"):
        frames = json.loads(file.read_text())
        assert list(frames) == [str(i) for i in range(len(frames))]
        found = [np.array(f["person1"]).reshape(17, 3) for f in frames.values()]
        people[sum(len(f["person2"]) > 0 for f in frames.values()) // len(frames)] += 1
        nose, ankle = np.mean(found, axis=0)[[0, 15]]
        assert 100 < ankle[1] - nose[1] < 900  # pixels, y down
        assert (np.array(found)[..., 2] > 0).all()
    assert people[0] > people[1] > 0


def test_archives_hold_the_same_files(folder: Path, tmp_path: Path) -> None:
    twin.write(tmp_path / "zips", subjects=2, trials=5, classes=2)
    with tarfile.open(tmp_path / "zips/acc_watch_clip.tar.gz") as tar:
        for member in tar.getmembers():
            content: Any = tar.extractfile(member)
            assert content.read() == (folder / member.name).read_bytes()
        assert len(tar.getmembers()) == 20
    with zipfile.ZipFile(tmp_path / "zips/trimmed_pose.zip") as archive:
        for name in archive.namelist():
            assert archive.read(name) == (folder / name).read_bytes()
        assert len(archive.namelist()) == 80


def test_other_processes_write_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress: list[tuple[int, int]] = []
    for name, few, workers in (("alone", 100, 1), ("together", 0, 2)):
        monkeypatch.setattr(twin, "_FEW", few)
        twin.write(
            tmp_path / name,
            subjects=1, trials=1, classes=3, zipped=False, workers=workers,
            progress=lambda done, every: progress.append((done, every)),
        )  # fmt: skip
    assert progress == [(4, 12), (8, 12), (12, 12)] * 2
    files = [p.relative_to(tmp_path / "alone") for p in (tmp_path / "alone").rglob("*.*")]
    assert len(files) == 15
    for file in files:
        assert (tmp_path / "alone" / file).read_bytes() == (
            tmp_path / "together" / file
        ).read_bytes()


def test_it_stops_after_some_clips(tmp_path: Path) -> None:
    assert twin.write(tmp_path / "a", subjects=2, trials=2, clips=10) == 12
    assert len(MMAct(tmp_path / "a").trials()) == 12


def test_other_seeds_are_other_people() -> None:
    one, same, other = (Act(1, 2, 0, seed).sensor("watch")[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert one.shape != other.shape or not np.allclose(one, other)


@pytest.mark.parametrize(
    "arguments",
    [
        {"subjects": 0},
        {"trials": 0},
        {"trials": 21},
        {"classes": 36},
        {"pose": "lidar"},
        {"sensors": ("compass",)},
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        twin.write(tmp_path / "new", **({"subjects": 1, "trials": 1} | arguments))
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UsageError, match="no empty folder"):
        twin.write(tmp_path, subjects=1, trials=1)


def test_cameras_see_from_all_sides() -> None:
    """Who faces camera 1 has the right shoulder on the left of its picture, of 3 on the right."""
    joints = np.zeros((1, 20, 3))
    for name, place in {
        "head": (0, 1.6, 0), "shoulder_center": (0, 1.4, 0),
        "left_shoulder": (-0.2, 1.35, 0), "right_shoulder": (0.2, 1.35, 0),
    }.items():  # fmt: skip
        joints[0, KINECT_V1.index(name)] = place
    points = key_points(joints)
    left, right = COCO_17.index("left_shoulder"), COCO_17.index("right_shoulder")
    across = [np.diff(photograph(points, c)[0, [left, right], 0])[0] for c in (1, 2, 3, 4)]
    assert across[0] < -50 and across[2] > 50
    assert abs(across[1]) < abs(across[0]) and abs(across[3]) < abs(across[2])
    assert points[0, 0, 2] < -0.05  # the nose points to camera 1


def test_the_centre_of_a_picture_is_what_is_looked_at() -> None:
    for camera in (1, 2, 3, 4):
        np.testing.assert_allclose(photograph(np.array([0.0, 0.9, 0.0]), camera), [960, 540])


def test_openpose_has_a_neck_between_the_shoulders() -> None:
    coco = np.arange(51.0).reshape(17, 3)
    other = as_openpose(coco)
    assert other.shape == (18, 3)
    np.testing.assert_array_equal(other[1], (coco[5] + coco[6]) / 2)
    np.testing.assert_array_equal(other[[2, 4, 8, 11, 17]], coco[[6, 10, 12, 11, 3]])


def test_npy_files_have_two_people(tmp_path: Path) -> None:
    twin.write(tmp_path / "new", subjects=1, trials=1, classes=1, pose="openpose", zipped=False)
    (file, *_) = (tmp_path / "new/pose_openpose/subject1").rglob("*.npy")
    array = np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)
    assert array.shape[1:] == (18, 3, 2)
