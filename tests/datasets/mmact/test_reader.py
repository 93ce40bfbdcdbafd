"""The reader of MMAct, on its twin and on the one real file there is."""

import json
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

from pskd.data.protocols import make_split
from pskd.data.recording import Recording, SetAside
from pskd.data.skeleton import COCO_17, COCO_17_TWO_PEOPLE, OPENPOSE_18
from pskd.data.store import open_store
from pskd.datasets import dataset
from pskd.datasets.mmact import MMAct
from pskd.datasets.twins import mmact as twin
from pskd.datasets.twins.mmact_files import POSE_TRAPS, SENSOR_TRAPS, pose_trap, sensor_trap
from pskd.datasets.twins.mmact_takes import Act
from pskd.distill.semantics import MMACT
from pskd.errors import DataError, UsageError

CARRYING = "s01_c{}_sc1_se1_standing"


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Simulated datasets, each written once."""
    folder = tmp_path_factory.mktemp("mmact")
    for name, arguments in {
        "small": {"subjects": 1, "trials": 1, "classes": 2},
        "larger": {"subjects": 2, "trials": 5, "classes": 2, "zipped": False},
        "traps": {"subjects": 1, "trials": 2, "classes": 13, "traps": True},
        "openpose": {"subjects": 1, "trials": 1, "classes": 5, "traps": True, "pose": "openpose"},
        "sensors": {"subjects": 1, "trials": 1, "classes": 1, "sensors": SENSORS, "pose": "none"},
    }.items():
        twin.write(folder / name, **arguments)
    return {path.name: path for path in folder.iterdir()}


SENSORS = ("watch", "phone", "gyroscope", "orientation")


def read(root: Path, **options: Any) -> tuple[dict[str, Recording], dict[str, str]]:
    found = list(MMAct(root, options).read())
    return (
        {r.id: r for r in found if isinstance(r, Recording)},
        {s.id: s.reason for s in found if isinstance(s, SetAside)},
    )


def check(recording: Recording, expected: Recording | None, loose: float = 0.0) -> None:
    """Compare two recordings; `loose` is the RMS by which accelerations may differ, g."""
    assert expected is not None
    for name in ("id", "dataset", "label", "subject", "trial", "session", "scene", "view", "take"):
        assert getattr(recording, name) == getattr(expected, name), name
    assert recording.aligned and recording.rate == 100
    if loose:
        frames = min(len(recording.acceleration), len(expected.acceleration))
        assert abs(len(recording.acceleration) - len(expected.acceleration)) < 5
        error = recording.acceleration[:frames] - expected.acceleration[:frames]
        assert np.sqrt((error**2).mean()) < loose
    else:
        np.testing.assert_allclose(recording.acceleration, expected.acceleration, atol=3e-5)
    assert (recording.skeleton is None) == (expected.skeleton is None)
    if recording.skeleton is not None and expected.skeleton is not None:
        np.testing.assert_allclose(recording.skeleton, expected.skeleton, rtol=1e-5)


@pytest.mark.parametrize(("name", "count"), [("small", 8), ("larger", 80)])
def test_what_was_simulated_is_what_is_read(twins: dict[str, Path], name: str, count: int) -> None:
    recordings, set_aside = read(twins[name])
    assert len(recordings) == count and not set_aside
    for trial, recording in recordings.items():
        check(recording, twin.truth(trial))
        assert recording.skeleton is not None and recording.acceleration.dtype == np.float32


def test_the_larger_one_has_every_session_scene_and_camera(twins: dict[str, Path]) -> None:
    recordings, _ = read(twins["larger"])
    for field, names in (
        ("subject", "12"),
        ("session", "12345"),
        ("scene", "1234"),
        ("view", "1234"),
    ):
        assert {getattr(r, field) for r in recordings.values()} == set(names)
    takes = Counter(r.take for r in recordings.values())
    assert len(takes) == 20 and set(takes.values()) == {4}
    for recording in recordings.values():
        assert recording.id.replace(f"_c{recording.view}", "") == recording.take
        one = recordings[recording.id.replace(f"_c{recording.view}", "_c1")]
        np.testing.assert_array_equal(recording.acceleration, one.acceleration)


UNUSABLE = {
    "empty": "is empty",
    "one row": "lasts 0 s, not 0.5",
    "gap": "has a gap of",
    "torn": "is no JSON",
}
LOOSE = {
    "late stamps": 0.01,
    "stamps repeated": 0.005,
    "a second without fractions": 0.03,
    "no fractions": 0.1,
}


def test_every_trap(twins: dict[str, Path]) -> None:
    recordings, set_aside = read(twins["traps"])
    assert recordings.keys() | set_aside.keys() == set(MMAct(twins["traps"]).trials())
    seen: set[str] = set()
    for trial in recordings.keys() | set_aside.keys():
        subject, camera, scene, session = (int(p.lstrip("sce")) for p in trial.split("_", 4)[:4])
        label = [c.replace(" ", "_") for c in MMAct.classes].index(trial.split("_", 4)[4])
        number = next(n for n in range(20) if (n % 5 + 1, n % 4 + 1) == (session, scene))
        act = Act(subject, label, number, 0)
        traps = sensor_trap(act), pose_trap(act, camera)
        seen.update(traps)
        bad = [trap for trap in traps if trap in UNUSABLE]
        expected = twin.truth(trial, traps=True)
        if bad:
            assert expected is None
            assert UNUSABLE[bad[0]] in set_aside[trial]
        else:
            check(recordings[trial], expected, LOOSE.get(traps[0], 0.0))
    assert seen == {*SENSOR_TRAPS, *POSE_TRAPS} - {"no file"}  # no trial then: nobody looked


def test_people_who_are_not_seen_leave_a_recording_without_skeleton(twins: dict[str, Path]) -> None:
    recordings, _ = read(twins["traps"])
    blind = [r for r in recordings.values() if r.skeleton is None]
    assert blind and all(r.view for r in blind)


@pytest.mark.parametrize("persons", [1, 2])
def test_two_people(twins: dict[str, Path], persons: int) -> None:
    source = MMAct(twins["traps"], {"persons": persons})
    assert source.layout is COCO_17 if persons == 1 else source.layout == COCO_17_TWO_PEOPLE
    skeletons = 0
    for recording in source.read():
        if isinstance(recording, Recording) and recording.skeleton is not None:
            expected = twin.truth(recording.id, traps=True, persons=persons)
            assert expected is not None and expected.skeleton is not None
            np.testing.assert_allclose(recording.skeleton, expected.skeleton, rtol=1e-5)
            skeletons += 1
    assert skeletons > 30


def test_openpose(twins: dict[str, Path]) -> None:
    assert MMAct(twins["openpose"]).layout is OPENPOSE_18
    recordings, set_aside = read(twins["openpose"])
    assert any("is cut off" in reason for reason in set_aside.values())
    for trial, recording in recordings.items():
        expected = twin.truth(trial, traps=True, pose="openpose")
        check(recording, expected, LOOSE.get("no fractions", 0.0))


def test_archives_and_folders_are_the_same(twins: dict[str, Path], tmp_path: Path) -> None:
    with tarfile.open(twins["small"] / "acc_watch_clip.tar.gz") as tar:
        tar.extractall(tmp_path / "MMAct", filter="data")
    with zipfile.ZipFile(twins["small"] / "trimmed_pose.zip") as archive:
        archive.extractall(tmp_path / "MMAct")
    (tmp_path / "MMAct/acc_watch_clip").rename(tmp_path / "MMAct/Acc_Watch_Clip")
    (tmp_path / "MMAct/Acc_Watch_Clip/subject1").rename(tmp_path / "MMAct/Acc_Watch_Clip/Subject1")
    unpacked, zipped = read(tmp_path)[0], read(twins["small"])[0]
    assert unpacked.keys() == zipped.keys()
    for trial, recording in unpacked.items():
        check(recording, zipped[trial])


def test_no_pose_is_one_recording_a_take(twins: dict[str, Path]) -> None:
    recordings, set_aside = read(twins["small"], pose="none")
    assert list(recordings) == ["s01_sc1_se1_crouching", "s01_sc1_se1_standing"] and not set_aside
    for trial, recording in recordings.items():
        assert recording.skeleton is None and recording.view == "" and recording.take == trial
        check(recording, twin.truth(trial))


def test_cameras(twins: dict[str, Path]) -> None:
    recordings, _ = read(twins["small"], cameras=[2, 4])
    assert [r.view for r in recordings.values()] == ["2", "4"] * 2
    nobody, _ = read(twins["small"], cameras=[9])
    assert [r.view for r in nobody.values()] == [""] * 2


def test_trials_are_in_order_of_numbers(tmp_path: Path) -> None:
    for subject in (10, 2, 1):
        for action in ("Walking", "fall", "Talking On Phone"):
            put(tmp_path, f"acc_watch_clip/subject{subject}/scene1/session1/{action}.csv")
    assert MMAct(tmp_path).trials() == [
        f"s{subject:02d}_sc1_se1_{action}"
        for subject in (1, 2, 10)
        for action in ("fall", "talking_on_phone", "walking")
    ]
    assert [r.label for r in read(tmp_path)[0].values()] == [25, 7, 2] * 3


def put(root: Path, path: str, content: bytes | None = None) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"20181016_13:37:2{i // 100}.{i % 100:02d}0000,0,9.8,{i}\n" for i in range(100)]
    file.write_bytes("".join(rows).encode() if content is None else content)
    return file


STANDING = "acc_watch_clip/subject1/scene3/session2/using_phone.csv"
POSE = "pose/cross_view/trainval/subject1/cam3/scene3/session2/using_phone.json"


def test_what_a_file_lacks_is_said_of_its_trial(tmp_path: Path) -> None:
    put(tmp_path, STANDING)
    put(tmp_path, "acc_watch_clip/subject1/scene3/session2/Juggling.csv")
    put(tmp_path, "acc_watch_clip/subject1/scene3/session2/.using_pc.csv")
    put(tmp_path, "acc_watch_clip/__MACOSX/subject1/scene3/session2/using_pc.csv")
    put(tmp_path, "acc_watch_clip/subject1/session2/standing.csv")
    put(tmp_path, "acc_watch_clip/invalid_files.txt", b"subject1/scene1/session1/fall.csv")
    put(tmp_path, POSE.replace("using_phone", "drinking"), b"{}")
    recordings, set_aside = read(tmp_path)
    assert list(recordings) == ["s01_sc3_se2_using_phone"]
    assert set_aside.keys() == {
        "s01_sc3_se2_juggling",
        "s01_c3_sc3_se2_drinking",
        "acc_watch_clip/subject1/session2/standing.csv",
    }
    assert "there is no class 'juggling'" in set_aside["s01_sc3_se2_juggling"]
    assert "acc_watch_clip: its file is missing" in set_aside["s01_c3_sc3_se2_drinking"]
    assert "lies elsewhere" in set_aside["acc_watch_clip/subject1/session2/standing.csv"]


def test_two_files_of_one_trial(tmp_path: Path) -> None:
    put(tmp_path, STANDING)
    put(tmp_path, STANDING.replace("using", "Using"))
    _, set_aside = read(tmp_path)
    assert "has several" in set_aside["s01_sc3_se2_using_phone"]
    assert "Using_phone.csv" in set_aside["s01_sc3_se2_using_phone"]


def test_copies_under_several_protocols_are_one(twins: dict[str, Path], tmp_path: Path) -> None:
    put(tmp_path, STANDING)
    with zipfile.ZipFile(twins["small"] / "trimmed_pose.zip") as archive:
        pose = archive.read(archive.namelist()[0])
    put(tmp_path, POSE, pose)
    put(tmp_path, POSE.replace("cross_view", "cross_scene"), pose)
    put(tmp_path, POSE.replace("cam3", "cam1"), pose)
    recordings, set_aside = read(tmp_path)
    assert list(recordings) == [f"s01_c{camera}_sc3_se2_using_phone" for camera in (1, 3)]
    assert not set_aside


def test_a_bad_pose_sets_its_clip_aside_and_no_other(
    twins: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(twins["larger"], tmp_path / "data")
    (bad,) = (tmp_path / "data").rglob("subject1/cam2/scene1/session1/standing.json")
    bad.write_text(json.dumps({"0": {"person1": [1, 2]}}))
    recordings, set_aside = read(tmp_path / "data")
    assert list(set_aside) == [CARRYING.format(2)] and len(recordings) == 79
    reason = set_aside[CARRYING.format(2)]
    assert "a person is not 17 joints" in reason and "cam2/scene1/session1/standing.json" in reason


def test_desk_classes(tmp_path: Path) -> None:
    for scene in (1, 3):
        for action in ("using_phone", "talking_on_phone", "drinking"):
            put(tmp_path, f"acc_watch_clip/subject1/scene{scene}/session1/{action}.csv")
    names = [
        [MMAct.classes[r.label] for r in read(tmp_path, desk_classes=desk)[0].values()]
        for desk in (False, True)
    ]
    assert names[0] == ["drinking", "talking on phone", "using phone"] * 2
    assert names[1] == [*names[0][:3], "drinking", "talking on phone desk", "using phone desk"]


def test_every_sensor(twins: dict[str, Path]) -> None:
    source = MMAct(twins["sensors"])
    (trial,) = source.trials()
    act = Act(1, 0, 0, 0)
    starts = set()
    for sensor, unit in zip(SENSORS, ("g", "g", "rad/s", "degrees"), strict=True):
        times, values, said = source.signal(trial, sensor)
        expected_times, expected = act.sensor(sensor)
        assert said == unit
        np.testing.assert_allclose(times - times[0], expected_times, atol=1e-6)
        scale = 9.80665 if unit == "g" else 1.0
        np.testing.assert_allclose(values * scale, expected, rtol=1e-6, atol=1e-6)
        starts.add(times[0])
    assert len(starts) == 1  # one clock
    with pytest.raises(UsageError, match="there is no 'compass'"):
        source.signal(trial, "compass")
    with pytest.raises(UsageError, match="there is no 'here'"):
        source.signal("here", "watch")
    with pytest.raises(DataError, match="its file is missing"):
        source.signal("s09_c1_sc1_se1_walking", "phone")


def test_the_phone(twins: dict[str, Path]) -> None:
    phone, watch = (MMAct(twins["sensors"], {"sensor": s}) for s in ("phone", "watch"))
    assert "phone" in phone.placement and "watch" in watch.placement
    one, other = (source.load(source.trials()[0]) for source in (phone, watch))
    assert isinstance(one, Recording) and isinstance(other, Recording)
    assert not np.array_equal(one.acceleration, other.acceleration)
    for recording in (one, other):
        assert np.median(np.linalg.norm(recording.acceleration, axis=1)) == pytest.approx(
            1, abs=0.1
        )
    with pytest.raises(DataError, match="gyro_clip is not in it"):
        MMAct(twins["small"]).signal(CARRYING.format(1), "gyroscope")


def test_the_key_covers_sources_and_options(twins: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(twins["larger"], tmp_path / "data")
    keys = {MMAct(tmp_path / "data", o).key() for o in (
        {}, {"pose": "none"}, {"persons": 2}, {"cameras": [1]}, {"desk_classes": True},
    )}  # fmt: skip
    assert MMAct(tmp_path / "data").key() in keys and len(keys) == 5
    for file in ("acc_watch_clip/**/*.csv", "pose/**/*.json"):
        changed = sorted((tmp_path / "data").glob(file))[0]
        changed.write_bytes(changed.read_bytes() + b"\n")
        keys.add(MMAct(tmp_path / "data").key())
    assert len(keys) == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sensor": "gyroscope"}, "sensor is 'gyroscope'. Give watch or phone"),
        ({"pose": "lidar"}, "pose is 'lidar'"),
        ({"persons": 3}, "persons is 3"),
        ({"persons": True}, "persons is True"),
        ({"desk_classes": 1}, "desk_classes is 1"),
        ({"cameras": []}, r"cameras is \[\]"),
        ({"cameras": 2}, "cameras is 2"),
        ({"cameras": "12"}, "cameras is '12'"),
        ({"cameras": [True]}, "cameras is"),
        ({"colour": 1}, "unknown option 'colour'"),
    ],
)
def test_bad_options(twins: dict[str, Path], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MMAct(twins["small"], options)


def test_missing_sources(twins: dict[str, Path], tmp_path: Path) -> None:
    for root, message in (
        (None, "no data folder was named"),
        (tmp_path / "none", "no such folder"),
        (tmp_path, "acc_watch_clip.tar.gz, or such a folder, is not in it"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            MMAct(root)
        assert "Ask its authors" in str(caught.value)
    with pytest.raises(DataError, match=r"trimmed_pose\.zip is not in it"):
        MMAct(twins["openpose"], {"pose": "coco"})
    (tmp_path / "acc_watch_clip").mkdir()
    with pytest.raises(DataError, match="no file lies in it as subject1/scene1"):
        MMAct(tmp_path).trials()


def test_it_is_made_again_in_other_processes(twins: dict[str, Path]) -> None:
    source = dataset("mmact", twins["small"], {"persons": 2, "cameras": [3]})
    source.load(source.trials()[0])
    again = pickle.loads(pickle.dumps(source))
    assert again.options == source.options and again.key() == source.key()


@pytest.mark.parametrize(
    ("protocol", "sizes"),
    [("cross_session", [64, 16]), ("cross_scene", [64, 16]), ("cross_view", [60, 20])],
)
def test_protocols_in_print(
    twins: dict[str, Path], tmp_path: Path, protocol: str, sizes: list[int]
) -> None:
    """Five takes of two actions of two people, from four cameras; one session of five is tested."""
    store = open_store(MMAct(twins["larger"]), tmp_path)
    split = make_split(protocol, store.info, MMAct.classes, MMAct.protocols[protocol])
    assert [len(split.train), len(split.test)] == sizes
    assert split.shares_takes == (protocol == "cross_view")


def test_classes_are_those_of_the_vectors() -> None:
    assert MMAct.classes == MMACT
    assert MMAct.headline == "macro_f1"


def test_the_real_file(real_data: Callable[[str], Path]) -> None:
    for root in (real_data("mmact"), real_data("mmact").parent):
        recordings, set_aside = read(root)
        assert list(recordings) == ["s01_sc1_se1_carrying"] and not set_aside
    (recording,) = recordings.values()
    assert MMAct.classes[recording.label] == "carrying"
    assert recording.acceleration.shape == (893, 3) and recording.skeleton is None
    assert np.median(np.linalg.norm(recording.acceleration, axis=1)) == pytest.approx(1, abs=0.02)
    times, values, unit = MMAct(root).signal(recording.id)
    assert (len(times), values.shape, unit) == (890, (890, 3), "g")
