"""A dataset that the tests make themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from pskd.data.recording import Recording, SetAside
from pskd.data.skeleton import KINECT_V1


class Small:
    """Three classes, four subjects, two trials; one trial is set aside, one has no skeleton."""

    name = "small"
    version = 1
    layout = KINECT_V1

    def __init__(self) -> None:
        self.reads = 0

    def key(self) -> str:
        return "as it is"

    def make(self) -> Iterator[Recording | SetAside]:
        """What there is to read; tests replace it."""
        rng = np.random.default_rng(0)
        for label, subject, trial in np.ndindex(3, 4, 2):
            name = f"a{label}_s{subject + 1}_t{trial + 1}"
            if (label, subject, trial) == (1, 2, 1):
                yield SetAside(name, "torn")
                continue
            skeleton = rng.normal(size=(rng.integers(5, 30), 20, 3)).astype(np.float32)
            yield Recording(
                id=name,
                dataset=self.name,
                label=label,
                subject=str(subject + 1),
                trial=str(trial + 1),
                acceleration=rng.normal(size=(rng.integers(10, 50), 3)).astype(np.float32),
                rate=50.0,
                skeleton=None if (label, subject, trial) == (2, 0, 0) else skeleton,
                session="morning",
                scene=f"room {subject}",
                view=f"camera {trial}",
                take=f"take {label}",
                start=0.1 * subject,
                side="test" if subject == 3 else "train",
                aligned=label != 1,
            )

    def trials(self) -> Sequence[str]:
        self.reads += 1
        self.made = list(self.make())
        return [str(n) for n in range(len(self.made))]

    def load(self, trial: str) -> Recording | SetAside:
        return self.made[int(trial)]


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasets of tests are read where the tests can look at them."""
    monkeypatch.setenv("PSKD_WORKERS", "0")


@pytest.fixture
def small() -> Small:
    return Small()
