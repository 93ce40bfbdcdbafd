"""The embedded dataset: simulated people with a watch in front of a simulated camera."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pskd.data.recording import Recording
from pskd.data.skeleton import KINECT_V1, SkeletonLayout
from pskd.datasets.base import Dataset
from pskd.datasets.simulation.actions import ACTIONS
from pskd.datasets.simulation.people import RATE, Person, perform, person
from pskd.datasets.simulation.sensor import digitise, film, specific_force
from pskd.errors import UsageError, nearest

_CAMERA = np.array([0.0, -0.9, 2.8])  # where the body is on average, seen by the camera, metres


@dataclass(frozen=True)
class Options:
    """What to simulate.

    Attributes:
        subjects: How many people.
        trials: How often each performs each action.
        classes: Names of the classes to simulate; labels index the full list all the same.
        seed: Other people and other takes.
        noise: Noise of the instruments, times that of real ones; 0 for perfect ones.

    Raises:
        UsageError: A value is outside its range.
    """

    subjects: int = 8
    trials: int = 4
    classes: tuple[str, ...] = tuple(ACTIONS)
    seed: int = 0
    noise: float = 1.0

    def __post_init__(self) -> None:
        for key, least in (("subjects", 1), ("trials", 1), ("seed", 0)):
            value = getattr(self, key)
            if type(value) is not int or value < least:
                raise _refused(key, value, f"an integer of at least {least}")
        if type(self.noise) not in (int, float) or not 0 <= self.noise < math.inf:
            raise _refused("noise", self.noise, "a number of at least 0")
        names: object = self.classes  # whatever a recipe gave
        if isinstance(names, str) or not isinstance(names, Sequence) or not names:
            raise _refused("classes", names, "a list of class names")
        for name in names:
            if not isinstance(name, str) or name not in ACTIONS:
                raise UsageError(
                    f"unknown class {name!r}",
                    where="simulated: classes",
                    remedy=nearest(str(name), ACTIONS),
                )


class Simulated(Dataset):
    """Reader of the simulated dataset; there is nothing to download."""

    name = "simulated"
    title = "Simulated people"
    version = 2
    classes: tuple[str, ...] = tuple(ACTIONS)
    layout: SkeletonLayout = KINECT_V1
    rate = 50.0
    placement = "right wrist"
    citation = "Made by this package; no person was recorded."
    licence = "Apache-2.0"
    homepage = ""
    protocols: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cross_subject": {"train": [1, 3, 5, 7], "test": [2, 4, 6, 8]},
        "trial_split": {"train": [1, 2], "test": [3, 4]},
    }
    known_options = tuple(Options.__dataclass_fields__)

    def __init__(self, root: Path | None = None, options: Mapping[str, object] | None = None):
        super().__init__(root, options)
        self._chosen = Options(**self.options)  # type: ignore[arg-type]

    def key(self) -> str:
        """Return the hash of the options and the version; there are no source files."""
        source = {"dataset": self.name, "version": self.version} | asdict(self._chosen)
        return hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()

    def trials(self) -> list[str]:
        """Return the names of all recordings, class by class."""
        chosen = self._chosen
        return [
            f"a{label:02d}_s{subject}_t{trial}"
            for label, name in enumerate(self.classes, start=1)
            if name in chosen.classes
            for subject in range(1, chosen.subjects + 1)
            for trial in range(1, chosen.trials + 1)
        ]

    def load(self, trial: str) -> Recording:
        """Simulate a recording; the same name and options give the same bytes.

        It depends on its class, subject, trial, seed and noise only, so that more subjects or
        fewer classes leave the others as they are.
        """
        action, subject, take = (int(part[1:]) for part in trial.split("_"))
        who = person(np.random.default_rng((self._chosen.seed, subject)))
        return self._record(self._chosen, action - 1, subject, take, who)

    def _record(
        self, options: Options, label: int, subject: int, trial: int, who: Person
    ) -> Recording:
        rng = np.random.default_rng((options.seed, subject, label, trial))
        action, seconds = ACTIONS[self.classes[label]]
        motion = perform(who, action, seconds, rng)
        force = specific_force(*who.mounting.pose(motion), motion.rate)
        acceleration = digitise(force[:: round(RATE / self.rate)], rng, options.noise)
        frames = round(len(motion.joints) / RATE * rng.uniform(19, 30))
        skeleton = film(motion, frames, rng, options.noise)
        centre = skeleton[:, self.layout.root].mean(axis=0) * [1, 0, 1]
        place = _CAMERA + rng.normal(0.0, [0.15, 0.02, 0.15])
        return Recording(
            id=f"a{label + 1:02d}_s{subject}_t{trial}",
            dataset=self.name,
            label=label,
            subject=str(subject),
            trial=str(trial),
            acceleration=acceleration.astype(np.float32),
            rate=self.rate,
            skeleton=(skeleton - centre + place).astype(np.float32),
        )


def _refused(key: str, value: object, expected: str) -> UsageError:
    return UsageError(f"{key} is {value!r}", where="simulated", remedy=f"Give {expected}")
