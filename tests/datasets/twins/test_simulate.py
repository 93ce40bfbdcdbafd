from __future__ import annotations

from pathlib import Path

import pytest

from pskd.data.recording import Recording
from pskd.datasets import DATASETS, dataset
from pskd.datasets.twins import TWINS, simulate
from pskd.errors import DataError, UsageError


def test_every_dataset_with_files_has_a_twin() -> None:
    assert set(TWINS) == set(DATASETS) - {"simulated"}


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_is_read_by_its_reader(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "deep" / "twin"
    written = simulate(name, folder, subjects=1, trials=1, classes=2)
    assert written >= 2
    assert sorted(p.name for p in folder.parent.iterdir()) == ["twin"]
    source = dataset(name, folder)
    assert sum(isinstance(source.load(t), Recording) for t in source.trials()) == written


def test_all_or_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path, **_: object) -> int:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    def full(folder: Path, **_: object) -> int:
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(TWINS, "utd_mhad", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate("utd_mhad", tmp_path / "twin", subjects=1, trials=1)
    monkeypatch.setitem(TWINS, "utd_mhad", full)
    with pytest.raises(DataError, match=r"No space left.*Free some space"):
        simulate("utd_mhad", tmp_path / "twin", subjects=1, trials=1)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".twin.new").mkdir()
    (tmp_path / ".twin.new" / "half").write_text("half")
    (tmp_path / "twin").mkdir()
    assert simulate("utd_mhad", tmp_path / "twin", subjects=1, trials=2, classes=1) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["twin"]
    assert sorted(p.name for p in (tmp_path / "twin").iterdir()) == ["Inertial.zip", "Skeleton.zip"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"subjects": 0, "trials": 1}, "subjects is 0"),
        ({"subjects": 1, "trials": -1}, "trials is -1"),
        ({"subjects": 1, "trials": 1, "classes": 28}, "classes is 28.*1 to 27"),
    ],
)
def test_sizes_out_of_range_are_refused(
    tmp_path: Path, arguments: dict[str, int], what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        simulate("utd_mhad", tmp_path / "twin", **arguments)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("mine")
    for place in (tmp_path, file):
        with pytest.raises(UsageError, match=r"no empty folder.*Name a new folder"):
            simulate("utd_mhad", place, subjects=1, trials=1)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_twin_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'utd_mhat' has no twin.*'utd_mhad'"):
        simulate("utd_mhat", tmp_path, subjects=1, trials=1)
