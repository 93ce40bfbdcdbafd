from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

from pskd.data.recording import Recording, SetAside
from pskd.datasets.twins.utd_mhad import truth, write
from pskd.datasets.utd_mhad import UtdMhad
from pskd.errors import UsageError


def read(root: Path) -> tuple[dict[str, Recording], dict[str, str]]:
    trials = list(UtdMhad(root).read())
    return (
        {t.id: t for t in trials if isinstance(t, Recording)},
        {t.id: t.reason for t in trials if isinstance(t, SetAside)},
    )


@pytest.mark.parametrize(
    ("subjects", "trials", "classes", "zipped"), [(1, 1, None, True), (3, 2, 4, False)]
)
def test_the_reader_gets_what_was_written(
    tmp_path: Path, subjects: int, trials: int, classes: int | None, zipped: bool
) -> None:
    steps: list[tuple[int, int]] = []
    written = write(
        tmp_path, subjects=subjects, trials=trials, classes=classes, seed=5, zipped=zipped,
        progress=lambda done, of: steps.append((done, of)),
    )  # fmt: skip
    recordings, set_aside = read(tmp_path)
    assert written == len(recordings) == subjects * trials * (classes or 27) and not set_aside
    assert steps == [(n, written) for n in range(1, written + 1)]
    for name, recording in recordings.items():
        expected = truth(name, seed=5)
        assert expected is not None and expected.skeleton is not None
        for field in ("label", "subject", "trial", "rate", "dataset"):
            assert getattr(recording, field) == getattr(expected, field)
        np.testing.assert_array_equal(recording.acceleration, expected.acceleration)
        np.testing.assert_array_equal(recording.skeleton, expected.skeleton)
        assert 17 < len(expected.skeleton) / expected.seconds < 21


def test_names_and_arrays_are_the_official_ones(tmp_path: Path) -> None:
    write(tmp_path, subjects=1, trials=1, classes=1, zipped=False)
    inertial = scipy.io.loadmat(tmp_path / "Inertial" / "a1_s1_t1_inertial.mat")
    skeleton = scipy.io.loadmat(tmp_path / "Skeleton" / "a1_s1_t1_skeleton.mat")
    assert inertial["d_iner"].dtype == skeleton["d_skel"].dtype == np.float64
    assert inertial["d_iner"].shape[1] == 6 and skeleton["d_skel"].shape[:2] == (20, 3)


def test_same_arguments_same_bytes_and_each_argument_counts(tmp_path: Path) -> None:
    def archive(name: str, seed: int = 0, traps: bool = False) -> bytes:
        write(tmp_path / name, subjects=1, trials=1, classes=2, seed=seed, traps=traps)
        return (tmp_path / name / "Inertial.zip").read_bytes()

    assert archive("one") == archive("again")
    assert len({archive("two"), archive("other", seed=1), archive("traps", traps=True)}) == 3


@pytest.mark.parametrize("action", [1, 16, 24, 25, 27])
def test_the_gyroscope_turns_gravity_as_the_accelerometer_feels_it(
    tmp_path: Path, action: int
) -> None:
    """Wrist and thigh: from the rest at the start to that at the end by the angular rate alone."""
    write(tmp_path, subjects=1, trials=1, zipped=False)
    name = f"a{action}_s1_t1_inertial.mat"
    signal = scipy.io.loadmat(tmp_path / "Inertial" / name)["d_iner"]
    turned = Rotation.identity()
    for rate in signal[:, 3:]:
        turned = turned * Rotation.from_rotvec(rate / 50, degrees=True)
    start, end = (
        f / np.linalg.norm(f) for f in (signal[:3, :3].mean(axis=0), signal[-3:, :3].mean(axis=0))
    )
    off = np.degrees(np.arccos(turned.inv().apply(start) @ end))
    assert off < 12
    if action in (24, 25):  # a thigh that stands up or lies down meanwhile
        assert np.degrees(np.arccos(start @ end)) > 60


def test_the_sensor_moves_from_the_wrist_to_the_thigh(tmp_path: Path) -> None:
    """At rest the official files have about (-0.99, -0.2, 0) and (-0.97, 0.05, 0.36) g."""
    recordings, _ = read(tmp_path) if write(tmp_path, subjects=4, trials=1) else ({}, {})
    standing = {
        kind: np.mean(
            [r.acceleration[:5].mean(axis=0) for r in recordings.values() if r.label in labels],
            axis=0,
        )
        for kind, labels in {"wrist": range(21), "thigh": (21, 22, 24, 25, 26)}.items()
    }
    for force in standing.values():
        assert force[0] < -0.85
    assert standing["thigh"][2] > standing["wrist"][2] + 0.05


def test_traps_are_sprung_and_named(tmp_path: Path) -> None:
    names = {f"a{a}_s1_t{t}" for a in range(1, 9) for t in range(1, 5)}
    assert write(tmp_path, subjects=1, trials=4, classes=8, traps=True) == 31
    recordings, set_aside = read(tmp_path)
    assert recordings.keys() | set_aside.keys() == names - {"a8_s1_t4"}
    assert set(set_aside) == {"a2_s1_t1", "a3_s1_t1", "a4_s1_t1"}
    assert all(truth(name, traps=True) is None for name in set_aside)
    assert "cut short" in set_aside["a2_s1_t1"]
    assert "'inertial'" in set_aside["a3_s1_t1"]
    assert "not finite" in set_aside["a4_s1_t1"]
    clipped = recordings["a5_s1_t1"].acceleration
    assert clipped.min() == -8 and (clipped == -8).sum() >= 2
    slow = recordings["a6_s1_t1"]
    assert slow.skeleton is not None and len(slow.skeleton) / slow.seconds < 12
    expected = truth("a6_s1_t1", traps=True)
    assert expected is not None
    np.testing.assert_array_equal(slow.skeleton, expected.skeleton)


def test_sizes_out_of_range_and_folders_that_hold_something_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"classes is 28.*1 to 27"):
        write(tmp_path, subjects=1, trials=1, classes=28)
    with pytest.raises(UsageError, match="999"):
        write(tmp_path, subjects=1000, trials=1)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"no empty folder.*Name a new folder"):
        write(tmp_path, subjects=1, trials=1)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
