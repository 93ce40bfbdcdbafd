from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pskd.data.bvh import read_bvh
from pskd.data.recording import Recording, SetAside
from pskd.data.skeleton import BERKELEY_MHAD_BVH, BERKELEY_MHAD_MARKERS
from pskd.data.store import open_store
from pskd.datasets.berkeley_mhad import BerkeleyMhad
from pskd.datasets.berkeley_mhad.reader import SENSORS
from pskd.datasets.twins import TWINS, simulate
from pskd.datasets.twins.berkeley_mhad import NEVER_SEEN, TRAPS, truth, write
from pskd.errors import UsageError

KINDS = ("bvh", "markers")
NAMES = {trap: "s{:02d}_a{:02d}_r{:02d}".format(*trial) for trial, trap in TRAPS.items()}


def expected(trial: str, traps: bool = False, **options: object) -> Recording:
    recording = truth(trial, traps=traps, **options)  # type: ignore[arg-type]
    assert recording is not None
    return recording


def skeleton_of(recording: Recording) -> NDArray[np.float32]:
    assert recording.skeleton is not None
    return recording.skeleton


@pytest.mark.parametrize(("subjects", "trials", "classes"), [(1, 1, None), (3, 2, 2)])
def test_the_reader_gets_what_was_written(
    tmp_path: Path, subjects: int, trials: int, classes: int | None
) -> None:
    steps: list[tuple[int, int]] = []
    written = write(
        tmp_path, subjects=subjects, trials=trials, classes=classes, seed=5, markers_hz=120.0,
        progress=lambda done, of: steps.append((done, of)),
    )  # fmt: skip
    assert written == subjects * trials * (classes or 11)
    assert steps == [(n, written) for n in range(1, written + 1)]
    for kind in KINDS:
        trials_read = list(BerkeleyMhad(tmp_path, {"skeleton": kind}).read())
        recordings = [t for t in trials_read if isinstance(t, Recording)]
        assert len(recordings) == written
        for recording in recordings:
            true = expected(recording.id, skeletons=kind, seed=5)
            for field in ("label", "subject", "trial", "rate", "dataset"):
                assert getattr(recording, field) == getattr(true, field)
            np.testing.assert_allclose(recording.acceleration, true.acceleration, atol=2e-5)
            np.testing.assert_allclose(recording.skeleton, true.skeleton, atol=5e-3)
            off = np.abs(skeleton_of(recording) - skeleton_of(true)).mean()
            assert off < 2e-4  # metres


def test_each_accelerometer(tmp_path: Path) -> None:
    write(tmp_path, subjects=1, trials=1, classes=1, markers_hz=60.0)
    for number, sensor in enumerate(SENSORS, start=1):
        recording = BerkeleyMhad(tmp_path, {"sensor": sensor}).load("s01_a01_r01")
        assert isinstance(recording, Recording)
        true = expected("s01_a01_r01", sensor=number)
        np.testing.assert_allclose(recording.acceleration, true.acceleration, atol=2e-5)
    rest = [np.linalg.norm(expected("s01_a07_r01", sensor=n).acceleration[0]) for n in range(1, 7)]
    np.testing.assert_allclose(rest, 1.0, atol=0.2)  # g


def test_formats_are_the_official_ones(tmp_path: Path) -> None:
    write(tmp_path, subjects=1, trials=1, classes=1)
    samples = np.loadtxt(tmp_path / "Accelerometer" / "Shimmer02" / "acc_h02_s01_a01_r01.txt")
    assert samples.shape[1] == 4 and np.abs(samples[:, :3]).max() <= 2
    steps = samples[:, :3] * 1024
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    moc = np.loadtxt(tmp_path / "Mocap" / "OpticalData" / "moc_s01_a01_r01.txt")
    assert moc.shape[1] == 131 and (moc[:, 129] == np.arange(len(moc))).all()
    assert np.diff(moc[:, 130]).mean() == pytest.approx(1 / 480)
    text = (tmp_path / "Mocap" / "SkeletalData" / "skl_s01_a01_r01.bvh").read_bytes()
    bvh = read_bvh(text)
    assert bvh.frame_seconds == pytest.approx(1 / 480, rel=1e-4)
    assert len(bvh.positions) == len(moc)
    joints = [name for name in bvh.joints if not name.endswith("_end")]
    assert joints == list(BERKELEY_MHAD_BVH.joints) and len(bvh.joints) == 35
    parents = {bvh.joints[i]: bvh.joints[p] for i, p in enumerate(bvh.parents)}
    layout = BERKELEY_MHAD_BVH
    assert all(parents[layout.joints[i]] == layout.joints[p] for i, p in layout.edges)
    assert text.split(b"MOTION")[0].count(b"\n") == 171  # as in the official files
    frames, stamps = np.loadtxt(tmp_path / "Time_stamps" / "time_stamps_img_s01_a01_r01.txt").T
    assert (frames == np.arange(len(frames))).all()
    assert (stamps[0] + stamps[-1]) / 2 == pytest.approx(moc[[0, -1], 130].mean(), abs=2e-3)


def test_skeleton_and_markers_are_of_one_body() -> None:
    joints = skeleton_of(expected("s01_a07_r01", skeletons="bvh"))
    markers = skeleton_of(expected("s01_a07_r01", skeletons="markers"))
    for joint, marker in (("RightHand", "rwri"), ("LeftLeg", "lkne"), ("Neck", "backt")):
        one = joints[:, BERKELEY_MHAD_BVH.index(joint)]
        other = markers[:, BERKELEY_MHAD_MARKERS.index(marker)]
        assert np.linalg.norm(one - other, axis=1).max() < 0.2
    left, right = (joints[:, BERKELEY_MHAD_BVH.index(f"{s}Arm"), 0] for s in ("Left", "Right"))
    forward = [markers[0, BERKELEY_MHAD_MARKERS.index(m), 2] for m in ("backt", "chest")]
    assert (left > right).all() and forward[0] < forward[1]


@pytest.fixture(scope="module")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twin") / "data"
    written = write(folder, subjects=2, trials=2, classes=3, traps=True, markers_hz=120.0)
    assert written == 11
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_traps_leave_what_was_done(trapped: Path, kind: str) -> None:
    source = BerkeleyMhad(trapped, {"skeleton": kind})
    none = {"markers": {"no marker file", "no marker file and no camera stamps"}, "bvh": set()}
    # What cannot be known: samples between others, and where a hidden marker went.
    samples = {"samples arrive late, in bursts, in the wrong order, or two at once": 0.5,
               "packets read out of step": 0.4}  # fmt: skip
    places = {"no marker file": 0.02, "no marker file and no camera stamps": 0.1}
    if kind == "markers":
        places |= {"markers are hidden for a while": 0.4, "a marker is never seen": 0.15}
    for trap, trial in NAMES.items():
        recording, true = source.load(trial), truth(trial, skeletons=kind, traps=True)
        if true is None:
            assert isinstance(recording, SetAside)
            continue
        assert isinstance(recording, Recording), recording
        off = np.abs(recording.acceleration - true.acceleration)
        assert off.max() < samples.get(trap, 2e-5) and off.mean() < 0.07
        if trap in none[kind] or true.skeleton is None:
            assert recording.skeleton is None
            continue
        off = np.abs(skeleton_of(recording) - true.skeleton)
        assert off.max() < places.get(trap, 6e-3) and off.mean() < 0.01


def test_traps_that_set_a_trial_aside(trapped: Path) -> None:
    found = {t.id: t for t in BerkeleyMhad(trapped).read()}
    reasons = {
        "s02_a07_r05": "known to be missing",
        "s04_a08_r05": "known to be missing",
        "s02_a01_r01": "its accelerometer file is missing",
        NAMES["torn accelerometer files"]: r"row \d+ has 3 columns, expected 4",
        NAMES["motion capture of another hour"]: "have less than 0.5 s in common",
    }
    for trial, why in reasons.items():
        trouble = found[trial]
        assert isinstance(trouble, SetAside) and re.search(why, trouble.reason)
    assert sum(isinstance(t, Recording) for t in found.values()) == 12 - 3


def test_traps_are_in_the_files(trapped: Path) -> None:
    def samples(trap: str) -> NDArray[np.float64]:
        path = trapped / "Accelerometer" / "Shimmer02" / f"acc_h02_{NAMES[trap]}.txt"
        return np.loadtxt(path)

    def file(kind: str, trap: str) -> Path:
        folder, start, end = {
            "moc": ("OpticalData", "moc", "txt"), "skl": ("SkeletalData", "skl", "bvh")
        }[kind]  # fmt: skip
        return trapped / "Mocap" / folder / f"{start}_{NAMES[trap]}.{end}"

    windows = file("moc", "lines end as on Windows").read_bytes()
    assert windows.count(b"\r\n") == windows.count(b"\n") > 100
    steps = np.diff(samples("samples arrive late, in bursts, in the wrong order, or two at once"),
                    axis=0)[:, 3]  # fmt: skip
    assert steps.min() < 0 and (np.sort(np.abs(steps))[:4] < 0.003).all()
    spikes = samples("packets read out of step")
    assert (spikes[:, 1] > 26).sum() == 2
    hidden = np.loadtxt(file("moc", "markers are hidden for a while"))[:, :129].reshape(-1, 43, 3)
    gone = (hidden == 0).all(axis=2)
    assert gone.any(axis=0).sum() >= 12 and gone[0].any() and not gone.all(axis=0).any()
    unseen = np.loadtxt(file("moc", "a marker is never seen"))[:, :129].reshape(-1, 43, 3)
    (never,) = (unseen == 0).all(axis=(0, 2)).nonzero()[0]
    assert BERKELEY_MHAD_MARKERS.joints[never] == NEVER_SEEN
    other = read_bvh(file("skl", "another hierarchy").read_bytes())
    assert other.joints != read_bvh(file("skl", "no marker file").read_bytes()).joints
    for kind, trap in (("moc", "no marker file"), ("skl", "no motion capture")):
        assert not file(kind, trap).exists()


def test_same_arguments_same_bytes_and_each_argument_counts(tmp_path: Path) -> None:
    def files(name: str, seed: int = 0, traps: bool = False) -> dict[str, bytes]:
        folder = tmp_path / name
        write(folder, subjects=1, trials=1, classes=2, seed=seed, traps=traps, markers_hz=30.0)
        return {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")
        }

    one = files("one")
    assert len(one) == 2 * (6 + 3) and one == files("again")
    assert one.keys() == files("other", seed=1).keys() and one != files("third", seed=1)
    assert one != files("traps", traps=True)


def test_simulate_writes_all_or_nothing_and_a_store_holds_it(tmp_path: Path) -> None:
    assert "berkeley_mhad" in TWINS
    with pytest.raises(UsageError, match="classes is 12"):
        simulate("berkeley_mhad", tmp_path / "data", subjects=1, trials=1, classes=12)
    assert not (tmp_path / "data").exists()
    simulate("berkeley_mhad", tmp_path / "data", subjects=1, trials=1, classes=1)
    with pytest.raises(UsageError, match="is there already"):
        simulate("berkeley_mhad", tmp_path / "data", subjects=1, trials=1)
    store = open_store(BerkeleyMhad(tmp_path / "data"), tmp_path / "cache")
    assert [i.id for i in store.info] == ["s01_a01_r01"] and store.info[0].has_skeleton
