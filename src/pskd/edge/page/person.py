"""A simulated person for a page without a sensor: no recording, and so nothing to download."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pskd.datasets.simulation.actions import ACTIONS
from pskd.datasets.simulation.body import Pose
from pskd.datasets.simulation.people import RATE as MOMENTS
from pskd.datasets.simulation.people import perform, person
from pskd.datasets.simulation.repertoire import REPERTOIRE
from pskd.datasets.simulation.sensor import digitise, specific_force

RATE = 50
"""Samples a second, Hz."""

MOST = 12
"""Actions that are performed."""

REST = 4.0
"""Usual seconds of rest before, between and after them."""

BLEND = 10
"""Samples in which one movement passes into the next."""


class Performance(NamedTuple):
    """What a simulated person did with a watch on the right wrist."""

    acceleration: NDArray[np.float64]
    """[T, 3] g, at `RATE`."""
    actions: list[tuple[float, float, str]]
    """Begin and end in s, and the name, of each action."""


def simulate_person(classes: list[str], seed: int = 0) -> Performance:
    """Let a person perform actions with a rest between; the same classes give the same numbers.

    Args:
        classes: Those of the student. Up to `MOST` of them that the simulation has a programme
            for are performed; if there is none, its own actions.
        seed: Another person.
    """
    programmes = {name: p for known in REPERTOIRE.values() for name, p in known.items()} | ACTIONS
    names = [name for name in classes if name in programmes] or list(ACTIONS)
    evenly = np.linspace(0, len(names) - 1, min(MOST, len(names))).round().astype(int)
    rng = np.random.default_rng((seed, 2026))
    who = person(rng)
    given = np.empty((0, 3))
    actions = []
    for name in [None, *(part for k in evenly for part in (names[k], None))]:
        action, seconds = programmes[name] if name else (lambda _: Pose(), REST)
        motion = perform(who, action, seconds, rng)
        force = specific_force(*who.mounting.pose(motion), motion.rate)[:: round(MOMENTS / RATE)]
        share = np.linspace(0, 1, BLEND)[:, None]
        force[:BLEND] += (1 - share) * (given[-1:] - force[0]).sum(0)  # from where the last ended
        if name:
            actions.append((len(given) / RATE, (len(given) + len(force)) / RATE, name))
        given = np.concatenate([given, force])
    return Performance(digitise(given, rng, 1.0), actions)
