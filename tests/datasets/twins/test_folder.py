"""Simulated people in the folder format."""

from __future__ import annotations

from pathlib import Path

import pytest

from pskd.datasets.twins.folder import TRAPS, write
from pskd.errors import UsageError


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("traps", [False, True])
def test_the_same_arguments_give_the_same_bytes(tmp_path: Path, traps: bool) -> None:
    steps: list[tuple[int, int]] = []
    for name in ("a", "b"):
        write(
            tmp_path / name, subjects=2, trials=1, classes=2, traps=traps,
            progress=lambda done, total: steps.append((done, total)),
        )  # fmt: skip
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)] * 2
    write(tmp_path / "c", subjects=2, trials=1, classes=2, seed=1)
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_both_formats_of_skeletons_are_written(tmp_path: Path) -> None:
    write(tmp_path / "a", subjects=2, trials=1, classes=1)
    assert sorted(contents(tmp_path / "a")) == [
        "accelerometer/wave_right_hand_p1_1.csv", "accelerometer/wave_right_hand_p2_1.csv",
        "dataset.yaml", "manifest.csv",
        "skeleton/wave_right_hand_p1_1.csv", "skeleton/wave_right_hand_p2_1.npy",
    ]  # fmt: skip


def test_traps_spare_the_recordings_after_them(tmp_path: Path) -> None:
    for name, traps in (("good", False), ("bad", True)):
        write(tmp_path / name, subjects=5, trials=2, classes=2, traps=traps)
    good, bad = contents(tmp_path / "good"), contents(tmp_path / "bad")
    touched = {Path(name).stem for name in good if good[name] != bad.get(name)} - {"manifest"}
    order = [line.split(",")[0] for line in good["manifest.csv"].decode().splitlines()[1:]]
    assert touched <= set(order[: len(TRAPS)]) and len(touched) == len(TRAPS) - 2
    lines = zip(good["manifest.csv"].splitlines(), bad["manifest.csv"].splitlines(), strict=False)
    assert sum(a != b for a, b in lines) == 2  # a misspelt label and a path


@pytest.mark.parametrize("sizes", [{"subjects": 0}, {"trials": 0}, {"classes": 15}])
def test_wrong_sizes_and_full_folders(tmp_path: Path, sizes: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(sizes))):
        write(tmp_path / "a", **({"subjects": 1, "trials": 1} | sizes))
    (tmp_path / "there").touch()
    with pytest.raises(UsageError, match="no empty folder"):
        write(tmp_path, subjects=1, trials=1)
