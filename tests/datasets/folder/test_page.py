"""What docs/your-data.md shows is so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pskd.data.skeleton import LAYOUTS
from pskd.datasets.folder import Folder
from pskd.datasets.folder.check import check
from pskd.datasets.folder.line import COLUMNS
from pskd.datasets.folder.settings import Settings
from pskd.datasets.twins import simulate

PAGE = (Path(__file__).parents[3] / "docs" / "your-data.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def write_example(root: Path) -> None:
    """The small files of the page, every recording with the same signals."""
    manifest, accelerometer, skeleton = blocks("csv")
    layout, settings = blocks("yaml")
    for kind in ("accelerometer", "skeleton"):
        (root / kind).mkdir(parents=True)
    (root / "manifest.csv").write_text(manifest)
    (root / "layout.yaml").write_text(layout)
    (root / "dataset.yaml").write_text(settings)
    for line in manifest.splitlines()[1:]:
        name = line.split(",")[0]
        (root / "accelerometer" / f"{name}.csv").write_text(accelerometer)
        (root / "skeleton" / f"{name}.csv").write_text(skeleton)


def test_the_four_small_files(tmp_path: Path) -> None:
    write_example(tmp_path)
    source = Folder(tmp_path)
    assert (source.title, source.rate, source.classes) == (
        "My recordings", 50, ("wave", "sit down"),
    )  # fmt: skip
    recordings = list(source.read())
    assert [r.id for r in recordings] == [
        "anna_wave_1", "anna_sit_1", "ben_wave_1", "ben_sit_1",
    ]  # fmt: skip
    assert [r.side for r in recordings] == ["train", "train", "test", "test"]
    np.testing.assert_allclose(recordings[0].acceleration[0, 0], -8.954 / 9.80665, rtol=1e-6)
    np.testing.assert_allclose(recordings[0].skeleton[1, 2], [0.32, 0.87, 2.695], atol=2e-3)
    assert not check(tmp_path).errors


def test_the_words_of_the_check(tmp_path: Path) -> None:
    """Made anew with the three mistakes that the page names."""
    root = tmp_path / "my-recordings"
    simulate("folder", root, subjects=2, trials=3, classes=3)
    manifest = root / "manifest.csv"
    right, wrong = "p1_2,wave both hands", "p1_2,wave both hand"
    manifest.write_text(manifest.read_text().replace(right, wrong))
    file = root / "accelerometer" / "swipe_left_p2_1.csv"
    file.rename(file.with_name("swipe_left_p2_one.csv"))
    skeleton = root / "skeleton" / "wave_right_hand_p1_3.csv"
    header, *frames = skeleton.read_text().splitlines()
    skeleton.write_text("\n".join([header, *[frames[0]] * 24, *frames[:-24]]) + "\n")
    assert check(root).text() + "\n" in PAGE


def test_all_columns_keys_and_layouts_are_told() -> None:
    for name in (*COLUMNS, *Settings.__dataclass_fields__):
        assert f"`{name}`" in PAGE
    for name in ("kinect_v1", "coco_17", "openpose_18"):
        assert name in LAYOUTS


def test_the_python_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_example(tmp_path / "my-recordings")
    (code,) = blocks("python")
    exec(compile(code, "your-data.md", "exec"), {})
    assert "ben_wave_1 (3, 3) True" in capsys.readouterr().out
