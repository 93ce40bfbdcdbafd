"""A small folder of recordings whose signals are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pskd.data.recording import Recording, SetAside
from pskd.datasets.folder import Folder


class Maker:
    """Writes folders of two recordings, `one` and `two`, and knows what is in them."""

    joint_names = ("hips", "neck", "hand")
    layout = "joints: [hips, neck, hand]\nparents: {neck: hips, hand: neck}\ntorso: [neck, hips]\n"
    header = ",".join(f"{joint}_{axis}" for joint in joint_names for axis in "xyz")
    time = np.arange(150) / 50

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, files: dict[str, str | bytes | None] | None = None) -> Path:
        """Write the folder with some files instead; one given as None is left out."""
        contents: dict[str, Any] = {
            "manifest.csv": "recording,label,subject\none,walk,p1\ntwo,sit,p2\n",
            "layout.yaml": self.layout,
            "accelerometer/one.csv": self.csv("t,x,y,z", self.time, self.signal(1)),
            "accelerometer/two.csv": self.csv("t,x,y,z", self.time, self.signal(2)),
            "skeleton/one.csv": self.csv(self.header, self.joints(1)),
            "skeleton/two.csv": self.csv(self.header, self.joints(2)),
        }
        for name, content in (contents | (files or {})).items():
            if content is not None:
                path = self.root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self.root

    @staticmethod
    def signal(seed: int, seconds: float = 3.0, rate: float = 50.0) -> np.ndarray:
        """Acceleration in g: gravity along z, and slow waves."""
        time = np.arange(round(seconds * rate)) / rate
        hertz = np.random.default_rng(seed).uniform(0.3, 1, 3)
        return np.round(0.3 * np.sin(2 * np.pi * hertz * time[:, None]) + [0, 0, 1], 5)

    @staticmethod
    def joints(seed: int, frames: int = 60) -> np.ndarray:
        """Positions [F, 3, 3] in metres: an upright body that moves a hand."""
        body = np.array([[0, 1, 0], [0, 1.5, 0], [0.4, 1.2, 0]]) + np.zeros((frames, 3, 3))
        steps = np.random.default_rng(seed).normal(0, 0.02, (frames, 1, 3))
        return np.round(body + steps.cumsum(axis=0) * [[0], [0], [1]], 5)

    @staticmethod
    def csv(header: str, *columns: np.ndarray) -> str:
        """A CSV file; what is nan becomes an empty cell."""
        table = np.column_stack([column.reshape(len(column), -1) for column in columns])
        rows = [",".join("" if np.isnan(v) else repr(float(v)) for v in row) for row in table]
        return "\n".join([header, *rows]) + "\n"

    @staticmethod
    def read(root: Path) -> tuple[dict[str, Recording], dict[str, str]]:
        """Recordings by name, and reasons of those set aside."""
        trials = list(Folder(root).read())
        return (
            {t.id: t for t in trials if isinstance(t, Recording)},
            {t.id: t.reason for t in trials if isinstance(t, SetAside)},
        )


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "data")
