"""What happens in a take of the simulated MMAct, as instruments see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pskd.data.recording import STANDARD_GRAVITY
from pskd.data.skeleton import KINECT_V1
from pskd.datasets.simulation.body import UP, Array, Motion
from pskd.datasets.simulation.people import RATE, Person, perform, person
from pskd.datasets.simulation.repertoire import programme
from pskd.datasets.simulation.sensor import digitise, film, specific_force
from pskd.datasets.twins.cameras import FPS, detect, key_points, photograph

STEP = {"watch": 10.04, "phone": 10.0, "gyroscope": 20.0, "orientation": 60.0}
"""Milliseconds from sample to sample."""
_ONLOOKER = np.array([1.1, 0.0, 0.9])  # metres from where the person starts
_ONLOOKERS = 1 / 3


@dataclass(frozen=True)
class Act:
    """One take.

    Attributes:
        subject: Who moves, from 1.
        label: What they do.
        number: Which take of that, from 0; it decides scene and session.
        seed: Other people and other takes.
    """

    subject: int
    label: int
    number: int
    seed: int

    @property
    def session(self) -> int:
        """Session, from 1 to 5."""
        return self.number % 5 + 1

    @property
    def scene(self) -> int:
        """Scene, from 1 to 4."""
        return self.number % 4 + 1

    def rng(self, *what: int) -> np.random.Generator:
        """Source of what is random in this take, a separate one for each purpose."""
        return np.random.default_rng((self.seed, self.subject, self.label, self.number, *what))

    @cached_property
    def _who(self) -> Person:
        return person(np.random.default_rng((self.seed, self.subject)))

    @cached_property
    def _motion(self) -> Motion:
        action, seconds = programme("mmact", self.label)
        return perform(self._who, action, seconds, self.rng(0))

    def sensor(self, name: str) -> tuple[Array, Array]:
        """Return times [T], s from the start in whole ms, and values [T, 3] as files have them."""
        motion = self._motion
        moments = len(motion.joints)
        rng = self.rng(1, list(STEP).index(name))
        times = np.round(np.arange(moments / RATE * 1000 // STEP[name]) * STEP[name]) / 1000
        hips = motion.joints[:, KINECT_V1.index("right_hip")]
        across = hips - motion.joints[:, KINECT_V1.index("left_hip")]
        azimuth = np.unwrap(np.arctan2(across[:, 2], across[:, 0]))
        upright = np.zeros((moments, 3))  # the phone keeps upright in its pocket
        if name == "watch":
            values = specific_force(*self._who.mounting.pose(motion), RATE)
        elif name == "phone":
            values = specific_force(hips, np.tile(np.eye(3), (moments, 1, 1)), RATE)
        elif name == "gyroscope":
            upright[:, UP] = -np.gradient(azimuth, 1 / RATE)
            values = upright
        else:
            upright[:, 0] = np.degrees(azimuth)
            values = upright
        at = np.arange(moments) / RATE
        sampled = np.stack([np.interp(times, at, axis) for axis in values.T], axis=1)
        if name in ("watch", "phone"):
            sampled = digitise(sampled, rng, 1.0) * STANDARD_GRAVITY
        return times, sampled.astype(np.float32).astype(np.float64)

    def people(self, camera: int, *, watched: bool = False) -> tuple[Array, Array | None]:
        """Return key points [F, 17, 3] of who moves and of who looks on, if anybody does.

        Args:
            camera: Which camera, from 1.
            watched: Whether somebody looks on in any case.
        """
        rng = self.rng(2, camera)
        frames = round(len(self._motion.joints) / RATE * FPS)
        points = key_points(film(self._motion, frames, rng, 0.0))
        actor = detect(photograph(points, camera), rng)
        if not watched and self.rng(3).random() > _ONLOOKERS:
            return actor, None
        still = np.repeat(points[:1] + _ONLOOKER, frames, axis=0)
        return actor, detect(photograph(still, camera), rng)
