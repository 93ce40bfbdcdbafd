"""Recordings out of a folder, in every format and alignment."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pskd.data.accelerometer_file import read_csv
from pskd.data.recording import SetAside
from pskd.data.store import open_store
from pskd.datasets import dataset
from pskd.datasets.folder import Folder, source
from pskd.datasets.twins import folder as twin
from pskd.errors import DataError, UsageError

MANIFEST = "recording,label,subject"
BVH = """HIERARCHY
ROOT hips
{ OFFSET 0 0 0 CHANNELS 3 Xposition Yposition Zposition
  JOINT neck { OFFSET 0 0 0 CHANNELS 3 Xposition Yposition Zposition
    JOINT hand { OFFSET 0 0 0 CHANNELS 3 Xposition Yposition Zposition
      End Site { OFFSET 0 0 1 } } } }
MOTION
Frames: {frames}
Frame Time: 0.05
"""


def bvh(joints: np.ndarray) -> str:
    """A skeleton of translations only, each from its parent."""
    steps = joints.copy()
    steps[:, 1:] -= joints[:, :-1]
    rows = [" ".join(map(repr, map(float, row))) for row in steps.reshape(len(steps), -1)]
    return BVH.replace("{frames}", str(len(joints))) + "\n".join(rows) + "\n"


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_a_recording_is_what_its_files_say(make: Any) -> None:
    root = make()
    recordings, set_aside = make.read(root)
    assert not set_aside
    source = dataset("folder", root)
    assert source.classes == ("sit", "walk")
    assert (source.rate, source.title, source.layout.joints) == (50, "data", make.joint_names)
    one = recordings["one"]
    assert (one.dataset, one.label, one.subject, one.trial, one.aligned) == (
        "folder", 1, "p1", "1", True,
    )  # fmt: skip
    assert (one.take, one.start, one.side, one.rate) == ("", 0.0, "", 50)
    np.testing.assert_allclose(one.acceleration, make.signal(1), atol=1e-6)
    np.testing.assert_allclose(one.skeleton, make.joints(1), atol=1e-6)
    assert one.acceleration.dtype == one.skeleton.dtype == np.float32


def test_every_column_of_the_manifest_and_key_of_the_settings(make: Any) -> None:
    root = make({
        "manifest.csv": (
            "\ufeffSubject, label ,recording,trial,session,scene,split,accelerometer,skeleton,"
            "unit,notes\n"
            'p1,"sit, slowly",first,7,s2,kitchen,Train,accelerometer\\one.csv,,g,"a\nb"\n'
            "\n"
            "p2,walk,second,,,,TEST,./accelerometer/two.csv,skeleton/one.csv,,\n"
        ),
        "dataset.yaml": (
            "title: Kitchen\nclasses: [walk, 'sit, slowly', 'no']\nplacement: left wrist\n"
            "citation: Me 2026\nlicence: mine\nhomepage: https://example.org\nrate: 25\nunit: g\n"
        ),
    })  # fmt: skip
    source = Folder(root)
    assert (source.title, source.placement, source.citation) == (
        "Kitchen", "left wrist", "Me 2026",
    )  # fmt: skip
    assert (source.licence, source.homepage, source.rate) == ("mine", "https://example.org", 25)
    assert source.classes == ("walk", "sit, slowly", "no")
    recordings, set_aside = make.read(root)
    assert not set_aside
    first, second = recordings["first"], recordings["second"]
    assert (first.label, first.trial, first.session, first.scene, first.side) == (
        1, "7", "s2", "kitchen", "train",
    )  # fmt: skip
    assert first.skeleton is None and second.skeleton is not None
    assert (second.side, second.trial, len(second.acceleration)) == ("test", "1", 75)


def test_trials_are_counted_where_the_manifest_does_not_say(make: Any) -> None:
    lines = [f"r{i},{'walk' if i % 2 else 'sit'},p{i // 4},accelerometer/one.csv" for i in range(8)]
    recordings, _ = make.read(
        make({"manifest.csv": "\n".join([f"{MANIFEST},accelerometer", *lines])})
    )
    assert [recordings[f"r{i}"].trial for i in range(8)] == list("11221122")


@pytest.mark.parametrize("form", ["npy", "npy float64 in Fortran order", "bvh", "csv with times"])
def test_formats_of_skeletons(make: Any, form: str) -> None:
    joints = make.joints(5)
    times = 1_795_000_000 + np.arange(60) / 20
    name, content = {
        "npy": ("npy", npy(joints.astype(np.float32))),
        "npy float64 in Fortran order": ("npy", npy(np.asfortranarray(joints))),
        "bvh": ("bvh", bvh(joints)),
        "csv with times": ("csv", make.csv(f"t,{make.header}", times, joints)),
    }[form]
    root = make({"skeleton/one.csv": None, f"skeleton/one.{name}": content})
    recordings, set_aside = make.read(root)
    assert not set_aside
    np.testing.assert_allclose(recordings["one"].skeleton, joints, atol=1e-4)


def test_columns_of_a_skeleton_are_found_by_name(make: Any) -> None:
    joints = make.joints(5)
    order = [8, 0, 4, 1, 2, 3, 7, 5, 6]
    names = [make.header.split(",")[i].upper() for i in order]
    table = np.column_stack([joints.reshape(60, 9)[:, order], np.zeros(60)])
    recordings, _ = make.read(make({"skeleton/one.csv": make.csv(",".join([*names, "ID"]), table)}))
    np.testing.assert_allclose(recordings["one"].skeleton, joints, atol=1e-6)


def test_a_layout_can_be_named(make: Any) -> None:
    made = twin.truth("a01_s2_t1")
    root = make({
        "manifest.csv": f"{MANIFEST}\none,walk,p1\n",
        "layout.yaml": None,
        "dataset.yaml": "layout: kinect_v1",
        "skeleton/one.csv": None,
        "skeleton/one.npy": npy(made.skeleton),
    })  # fmt: skip
    recordings, _ = make.read(root)
    np.testing.assert_array_equal(recordings["one"].skeleton, made.skeleton)


def test_bvh_files_bring_their_own_layout(make: Any) -> None:
    files = {
        "manifest.csv": f"{MANIFEST}\none,walk,p1\n",
        "layout.yaml": None,
        "skeleton/one.csv": None,
        "skeleton/one.bvh": bvh(make.joints(5)[:, :, [0, 2, 1]]),  # z up
    }
    layout = Folder(make(files)).layout
    assert layout.joints == ("hips", "neck", "hand", "hand_end")
    assert (layout.torso, layout.up, layout.parents) == ((1, 0), 2, (0, 0, 1, 2))
    own = make({**files, "layout.yaml": "torso: [hand, hips]\nup: x\n"})
    assert (Folder(own).layout.torso, Folder(own).layout.up) == ((2, 0), 0)


def test_two_dimensions(make: Any) -> None:
    flat = make.joints(5)[..., :2]
    header = ",".join(name for name in make.header.split(",") if not name.endswith("z"))
    recordings, _ = make.read(
        make({
            "manifest.csv": f"{MANIFEST}\none,walk,p1\n",
            "layout.yaml": make.layout + "dims: 2\n",
            "skeleton/one.csv": make.csv(header, flat),
        })
    )  # fmt: skip
    np.testing.assert_allclose(recordings["one"].skeleton, flat, atol=1e-6)


def test_accelerometer_in_parquet_and_without_time_stamps(make: Any) -> None:
    xyz = make.signal(5)
    buffer = io.BytesIO()
    pq.write_table(pa.table({"t": make.time, **dict(zip("xyz", xyz.T, strict=True))}), buffer)
    root = make({
        "manifest.csv": f"{MANIFEST},rate\none,walk,p1,\ntwo,sit,p2,50\n",
        "accelerometer/one.csv": None,
        "accelerometer/one.parquet": buffer.getvalue(),
        "accelerometer/two.csv": make.csv("x,y,z", xyz),
    })  # fmt: skip
    recordings, set_aside = make.read(root)
    assert not set_aside
    for name in ("one", "two"):
        np.testing.assert_allclose(recordings[name].acceleration, xyz, atol=1e-6)


def test_other_rates_are_resampled(make: Any) -> None:
    rate = 80.0
    time = np.arange(240) / rate
    root = make({
        "accelerometer/one.csv": make.csv("t,x,y,z", time, make.signal(1, rate=rate)),
        "dataset.yaml": "rate: 50",
    })  # fmt: skip
    recordings, _ = make.read(root)
    one = recordings["one"]
    expected = make.signal(1)[: len(one.acceleration)]
    assert one.rate == 50 and len(one.acceleration) == 150
    np.testing.assert_allclose(one.acceleration[5:-5], expected[5:-5], atol=0.01)


def test_the_rate_is_that_of_most_files(make: Any) -> None:
    lines = "".join(f"r{i},walk,p1,accelerometer/{'two' if i else 'one'}.csv\n" for i in range(5))
    root = make({
        "manifest.csv": f"{MANIFEST},accelerometer\n{lines}",
        "accelerometer/one.csv": make.csv("t,x,y,z", make.time * 2, make.signal(1)),
        "accelerometer/two.csv": make.csv("t,x,y,z", make.time / 2.002, make.signal(1)),
    })  # fmt: skip
    assert Folder(root).rate == 100


def test_the_same_csv_is_read_for_prediction(make: Any) -> None:
    root = make()
    file = read_csv(root / "accelerometer" / "one.csv")
    recordings, _ = make.read(root)
    np.testing.assert_array_equal(file.acceleration, recordings["one"].acceleration)


# --- several recordings of one file, clocks, no alignment ---------------------------------------


def test_recordings_cut_from_one_file(make: Any) -> None:
    """Its clock is unix time; the skeletons have none."""
    start = 1_795_000_000
    root = make({
        "manifest.csv": (
            "recording,label,subject,accelerometer,start,stop,skeleton\n"
            f"one,walk,p1,accelerometer/one.csv,{start + 0.5},{start + 1.5},skeleton/one.csv\n"
            "two,sit,p1,accelerometer/one.csv,2026-11-18T11:06:41.5,,\n"
        ),
        "accelerometer/one.csv": make.csv("t,x,y,z", start + make.time, make.signal(1)),
    })  # fmt: skip
    recordings, set_aside = make.read(root)
    assert not set_aside
    one, two = recordings["one"], recordings["two"]
    # Unix time of 1.8e9 s has steps of 2e-7 s as a float.
    np.testing.assert_allclose(one.acceleration, make.signal(1)[25:76], atol=1e-5)
    np.testing.assert_allclose(two.acceleration, make.signal(1)[75:], atol=1e-5)
    assert one.take == two.take == "accelerometer/one.csv"
    assert (one.start, two.start) == (start + 0.5, start + 1.5)
    assert len(one.skeleton) == 60


def test_signals_on_one_clock_are_cut_to_what_they_share(make: Any) -> None:
    joints = make.joints(1, frames=60)
    times = 0.5 + np.arange(60) / 20  # to 3.45 s; the accelerometer ends at 2.98
    root = make({
        "manifest.csv": f"{MANIFEST},alignment,stop\none,walk,p1,clock,2.5\ntwo,sit,p2,,\n",
        "skeleton/one.csv": make.csv(f"time,{make.header}", times, joints),
    })  # fmt: skip
    recordings, set_aside = make.read(root)
    assert not set_aside
    one = recordings["one"]
    np.testing.assert_allclose(one.acceleration, make.signal(1)[25:126], atol=1e-5)
    np.testing.assert_allclose(one.skeleton, joints[:41], atol=1e-5)
    assert one.aligned


def test_a_clock_from_zero_needs_a_frame_rate_only(make: Any) -> None:
    root = make({
        "manifest.csv": f"{MANIFEST},skeleton_rate\none,walk,p1,30\ntwo,sit,p2,\n",
        "dataset.yaml": "alignment: clock",
    })  # fmt: skip
    recordings, set_aside = make.read(root)
    one = recordings["one"]
    assert len(one.skeleton) == 60 and len(one.acceleration) == 99  # 59 / 30 s
    assert "skeleton/two.csv: has no time stamps and no rate" in set_aside["two"]


def test_what_is_not_aligned_is_said_so(make: Any) -> None:
    manifest = f"{MANIFEST},alignment\none,walk,p1,none\ntwo,sit,p2,\n"
    recordings, _ = make.read(make({"manifest.csv": manifest, "skeleton/two.csv": None}))
    assert [recordings[name].aligned for name in ("one", "two")] == [False, True]
    assert len(recordings["one"].skeleton) == 60 and recordings["two"].skeleton is None


def test_uneven_frames_are_spaced_evenly(make: Any) -> None:
    times = np.sort(np.random.default_rng(0).uniform(0, 3, 60))
    joints = make.joints(1)
    joints[:, 2] = times[:, None]  # so that a place says its time
    root = make({"skeleton/one.csv": make.csv(f"t,{make.header}", times, joints)})
    recordings, _ = make.read(root)
    got = recordings["one"].skeleton
    even = np.linspace(times[0], times[-1], len(got))
    assert 60 <= len(got) <= 120
    np.testing.assert_allclose(recordings["one"].skeleton[:, 2, 0], even, atol=1e-5)


def test_short_holes_are_interpolated(make: Any) -> None:
    joints = make.joints(1)
    joints[:, 2, 0] = np.arange(60)
    holes = joints.copy()
    holes[10:18, 2] = np.nan
    holes[:2, 0, 1] = np.nan
    recordings, set_aside = make.read(make({"skeleton/one.csv": make.csv(make.header, holes)}))
    assert not set_aside
    np.testing.assert_allclose(recordings["one"].skeleton[:, 2, 0], np.arange(60), atol=1e-5)
    np.testing.assert_allclose(recordings["one"].skeleton[:2, 0, 1], 1)


@pytest.mark.parametrize("pack", ["zip", "zip of the folder", "tar.gz"])
def test_a_packed_folder(make: Any, tmp_path: Path, pack: str) -> None:
    root, packed = make(), tmp_path / "packed"
    if pack == "tar.gz":
        with tarfile.open(packed, "w:gz") as tar:
            tar.add(root, "data")
    else:
        with zipfile.ZipFile(packed, "w") as archive:
            for path in sorted(root.rglob("*.*")):
                top = "" if pack == "zip" else "data/"
                archive.write(path, top + path.relative_to(root).as_posix())
    for a, b in zip(Folder(root).read(), Folder(packed).read(), strict=True):
        np.testing.assert_array_equal(a.acceleration, b.acceleration)
        np.testing.assert_array_equal(a.skeleton, b.skeleton)


def test_the_key_follows_contents(make: Any) -> None:
    root = make()
    key = Folder(root).key()
    assert Folder(root).key() == key
    (root / "dataset.yaml").write_text("alignment: none")
    assert Folder(root).key() != key


def test_it_is_made_again_in_other_processes(make: Any, tmp_path: Path) -> None:
    source = Folder(make())
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.load("two").acceleration, source.load("two").acceleration)
    store = open_store(source, tmp_path / "cache")
    assert [info.id for info in store.info] == ["one", "two"]
    np.testing.assert_array_equal(store[1].skeleton, source.load("two").skeleton)


def test_a_twin_comes_back_as_it_was_made(tmp_path: Path) -> None:
    assert twin.write(tmp_path / "twin", subjects=2, trials=2, classes=2, seed=3) == 8
    source = Folder(tmp_path / "twin")
    assert source.classes == ("wave right hand", "wave both hands")
    names = [f"a0{a}_s{s}_t{t}" for a in (1, 2) for s in (1, 2) for t in (1, 2)]
    for trial, name in zip(source.trials(), names, strict=True):
        got, made = source.load(trial), twin.truth(name, seed=3)
        np.testing.assert_allclose(got.acceleration, made.acceleration, atol=1e-6)
        np.testing.assert_allclose(got.skeleton, made.skeleton, atol=1e-6)
        for field in ("id", "label", "subject", "trial", "rate", "side", "aligned", "take"):
            assert getattr(got, field) == getattr(made, field)


# --- what is set aside, and what is refused -----------------------------------------------------

LINE = (
    "recording,label,subject,alignment,skeleton_rate,start,stop\none,walk,p1,{}\ntwo,sit,p2,,,,\n"
)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",,-1,2", "begins at -1 and ends at 2 s, but accelerometer/one.csv spans 0 to 2.98 s"),
        (",,1,9", "begins at 1 and ends at 9 s"),
        (",,1,1.01", "lasts 0.01 s, which are 1 samples at 50 Hz"),
        ("clock,150,,", "do not share 0.5 s"),
    ],
)
def test_cuts_that_cannot_be_made(make: Any, line: str, reason: str) -> None:
    recordings, set_aside = make.read(make({"manifest.csv": LINE.format(line)}))
    assert list(recordings) == ["two"]
    assert reason in set_aside["one"]


@pytest.mark.parametrize("alignment", ["clock", "stretch"])
def test_long_gaps_between_frames(make: Any, alignment: str) -> None:
    times = np.arange(60) / 20
    times[30:] += 1.2
    files = {
        "manifest.csv": LINE.format(f"{alignment},,,"),
        "skeleton/one.csv": make.csv(f"t,{make.header}", times, make.joints(1)),
    }
    _, set_aside = make.read(make(files))
    assert "skeleton/one.csv: has no frames for 1.25 s after 1.45 s" in set_aside["one"]


def test_long_gaps_are_not_invented(make: Any) -> None:
    time = make.time + 1.5 * (np.arange(150) > 100)
    gap = {"accelerometer/one.csv": make.csv("t,x,y,z", time, make.signal(1))}
    _, set_aside = make.read(make(gap))
    assert "accelerometer/one.csv: has no samples for 1.52 s after 2 s" in set_aside["one"]
    cut = f"{MANIFEST},stop\none,walk,p1,2\ntwo,sit,p2,\n"
    recordings, _ = make.read(make({**gap, "manifest.csv": cut}))
    assert len(recordings["one"].acceleration) == 101


def test_joints_unseen_for_long_set_the_recording_aside(make: Any) -> None:
    joints = make.joints(1)
    joints[20:32, 2] = np.nan  # 0.6 s of 3
    _, set_aside = make.read(make({"skeleton/one.csv": make.csv(make.header, joints)}))
    assert "skeleton/one.csv: joint 'hand' is not seen for 0.60 s" in set_aside["one"]


def test_on_a_clock_joints_may_be_unseen_outside_the_cut(make: Any) -> None:
    joints = np.concatenate([make.joints(1)] * 3)
    joints[100:] = np.nan
    skeleton = make.csv(f"t,{make.header}", np.arange(180) / 20, joints)
    manifest = f"{MANIFEST},alignment,stop\none,walk,p1,clock,2\ntwo,sit,p2,,\n"
    recordings, set_aside = make.read(
        make({"skeleton/one.csv": skeleton, "manifest.csv": manifest})
    )
    assert not set_aside
    np.testing.assert_allclose(recordings["one"].skeleton, joints[:41], atol=1e-5)


def test_other_cuts_with_one_whole_skeleton_are_set_aside(make: Any) -> None:
    lines = "".join(
        f"{n},walk,p1,accelerometer/one.csv,skeleton/one.csv,{s}\n" for n, s in (("a", 0), ("b", 1))
    )
    manifest = f"{MANIFEST},accelerometer,skeleton,start\n{lines}two,sit,p2,,,\n"
    recordings, set_aside = make.read(make({"manifest.csv": manifest}))
    assert list(recordings) == ["two"]
    assert "skeleton/one.csv goes with several cuts of accelerometer/one.csv" in set_aside["a"]


def test_a_layout_is_needed_where_there_are_skeletons(make: Any) -> None:
    with pytest.raises(DataError, match="does not say what joints the skeletons have"):
        Folder(make({"layout.yaml": None}))


def test_without_skeletons_no_layout_is_needed(make: Any) -> None:
    files = {"layout.yaml": None, "skeleton/one.csv": None, "skeleton/two.csv": None}
    recordings, _ = make.read(make(files))
    assert [recording.skeleton for recording in recordings.values()] == [None, None]


def test_files_outside_and_links_are_refused(make: Any, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("x,y,z\n0,0,1\n0,0,1\n")
    for path in ("../secret.csv", "accelerometer/../../secret.csv", str(tmp_path / "secret.csv")):
        manifest = f"{MANIFEST},accelerometer,rate\none,walk,p1,{path},50\ntwo,sit,p2,,\n"
        _, set_aside = make.read(make({"manifest.csv": manifest}))
        assert "lies outside the folder" in set_aside["one"]
    root = make()
    (root / "accelerometer" / "three.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(DataError, match="is a symbolic link"):
        Folder(root)


@pytest.mark.parametrize("there", [False, True])
def test_no_manifest(make: Any, tmp_path: Path, there: bool) -> None:
    root = make({"manifest.csv": None}) if there else tmp_path / "nothing"
    with pytest.raises(DataError, match=r"no recordings found.*pskd data simulate folder DIR"):
        Folder(root)
    with pytest.raises(DataError, match="no data folder was named"):
        Folder(None)


def test_nothing_that_can_be_read(make: Any) -> None:
    bad = "t,x,y,z\n0,0,0,1\n"
    with pytest.raises(DataError, match="has 1 samples"):
        Folder(make({"accelerometer/one.csv": bad, "accelerometer/two.csv": bad}))
    with pytest.raises(DataError, match="names no recording that can be used"):
        Folder(make({"manifest.csv": f"{MANIFEST}\n,walk,p1\n"}))


def test_options_are_refused(make: Any) -> None:
    with pytest.raises(UsageError, match="takes no options"):
        Folder(make(), {"rate": 50})


def test_bad_lines_are_set_aside_by_name_or_number(make: Any) -> None:
    manifest = f"{MANIFEST}\none,walk,p1\none,walk,p1\n,walk,p1\nthree,,p1\n"
    source = Folder(make({"manifest.csv": manifest}))
    assert source.trials() == ["one", "one (line 3)", "line 4", "three"]
    reasons = [trial.reason for trial in source.read() if isinstance(trial, SetAside)]
    assert len(reasons) == 3 and "recording 'one' is named twice" in reasons[0]


def test_files_that_nobody_names_are_no_part_of_the_data(make) -> None:
    """Such as .DS_Store, which the Finder leaves, or runs that were trained in the folder."""
    key = Folder(make()).key()
    make({".DS_Store": "x", "runs/demo/summary.json": "{}", "accelerometer/three.csv": "x,y,z"})
    assert Folder(make.root).key() == key
    make({"accelerometer/two.csv": make.csv("t,x,y,z", make.time, make.signal(9))})
    assert Folder(make.root).key() != key
    assert Folder(make({"dataset.yaml": "title: new"})).key() != key


def test_a_file_that_cannot_be_read_is_read_once(make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many recordings that are cut from it."""
    lines = "".join(f"r{n},walk,p1,accelerometer/one.csv,{n},{n + 1}\n" for n in range(9))
    head = f"{MANIFEST},accelerometer,start,stop\n"
    root = make({"manifest.csv": head + "two,sit,p2,,,\n" + lines, "accelerometer/one.csv": "x\n"})
    folder, asked = Folder(root), list[str]()
    whole = source.read_accelerometer

    def read(data: bytes, path: Path, *more: Any) -> Any:
        asked.append(path.name)
        return whole(data, path, *more)

    monkeypatch.setattr(source, "read_accelerometer", read)
    found = [folder.load(trial) for trial in folder.trials()]
    assert sum(isinstance(one, SetAside) for one in found) == 9
    assert len(asked) == 2
