"""A simulated person who wears a simulated watch, does something, rests, and goes on."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from pskd.datasets.simulation.actions import ACTIONS
from pskd.datasets.simulation.body import Pose
from pskd.datasets.simulation.people import RATE as MOMENTS
from pskd.datasets.simulation.people import perform, person
from pskd.datasets.simulation.sensor import digitise, specific_force
from pskd.errors import UsageError
from pskd.stream.sources.base import Event, Notice, Options, Source, event, register
from pskd.stream.sources.pace import Pace
from pskd.stream.wire import Hello

RATE = 50.0
REST_SECONDS = 3.0
BLEND = 10
"""Samples over which one movement passes into the next: nobody stands as before."""


@register
class SimulatedPerson(Source):
    """`simulated`, or `simulated://SEED` for another person; an action is told when it begins."""

    schemes = ("simulated",)

    def __init__(self, scheme: str, address: str, options: Options) -> None:
        super().__init__(scheme, address, options)
        if address and not (address.isascii() and address.isdigit() and len(address) < 10):
            raise UsageError(
                f"{address!r} is no seed",
                where=self.title,
                remedy="Give simulated://7, or simulated",
            )
        self.title = f"simulated person {address or 0}"
        self._rng = np.random.default_rng(int(address or 0))

    def events(self) -> Generator[Event, None, None]:
        """Give samples in g, for ever."""
        rng = self._rng
        who = person(rng)
        pace, start = Pace(self.options.speed), 0
        last = np.zeros((0, 3))
        yield event(Hello("g", None))
        while True:
            name = str(rng.choice(list(ACTIONS)))
            for told, (action, seconds) in (
                ("", (lambda _: Pose(), REST_SECONDS)),
                (name, ACTIONS[name]),
            ):
                motion = perform(who, action, seconds, rng)
                force = specific_force(*who.mounting.pose(motion), motion.rate)
                samples = _blend(last, digitise(force[:: round(MOMENTS / RATE)], rng, 1.0))
                given, last = samples[:-BLEND], samples[-BLEND:]
                if told:
                    yield event(Notice(f"The person begins at {start / RATE:.1f} s: {told}"))
                at = (start + np.arange(len(given))) / RATE
                yield from pace.chunks(given.astype(np.float32), at)
                start += len(given)


def _blend(last: NDArray[np.float64], samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Begin [n, 3] where other samples [m, 3] end."""
    share = (np.arange(len(last)) / max(len(last), 1))[:, None]
    samples[: len(last)] = (1 - share) * last + share * samples[: len(last)]
    return samples
