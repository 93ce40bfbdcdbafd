"""Long recordings made of short ones: action after action, with pauses between them.

The actions are real; what lies between them is **made up**:

- A person's recordings follow one another in a random order, but each begins in the posture that
  the one before ended in, where one is left: nobody has to sit down between two of them.
- A pause lasts 2 to 8 s. The sensor turns from the last pose of an action to the person's usual
  one, stays, and turns to the first pose of the next. It goes along a great circle with minimum
  jerk (Flash and Hogan 1985), as a body on a joint 0.3 m away: what that accelerates is measured
  too. After an action that ends in another posture, such as sitting, it stays in that.
- Staying is not keeping still: the pose sways slowly by about a degree, and there is white noise as
  large as in the quietest tenth of the person's recordings.
- In three pauses of ten, where there is time, the person fidgets: turns by 15 to 60 degrees, and
  back.

Daily life is richer than that. Nobody eats, types or walks in these pauses, so false alarms are
fewer here than on a wrist all day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pskd.data.protocols import make_split
from pskd.data.recording import Recording
from pskd.data.store import open_store
from pskd.datasets import dataset
from pskd.errors import UsageError
from pskd.evaluate.events import Interval
from pskd.recipe import load_recipe
from pskd.signal.resample import resample
from pskd.stream.labelled import LongRecording
from pskd.stream.motion import (
    Signal,
    degrees_between,
    minimum_jerk,
    quietest_noise,
    sway,
    turn,
    unit,
)
from pskd.train.stream import draw_seed

PAUSE = (2.0, 8.0)
"""Seconds from one action to the next."""
TURN = (0.4, 0.9)
"""Seconds that a change of pose takes; the shortest pause has room for two."""
POSES = 5.0
"""Degrees that the pose of a pause may be from the usual one."""
FIDGETS, FIDGET_ANGLES, FIDGET_STAY = 0.3, (15.0, 60.0), (0.1, 0.6)
"""Share of pauses with one, degrees, seconds before it turns back."""
NEAR = 45.0
"""Degrees between two poses of one posture."""
LEVER = 0.3
"""Metres from the joint to the sensor."""
SWAY, SWAY_SECONDS = 0.02, 1.0
"""Standard deviation in g, about a degree, and time constant."""
EDGE_SECONDS, JOIN_SECONDS = 0.3, 0.2
"""The pose at an end of an action is the mean over the first. What the action has there beyond
gravity comes and goes within the second."""


def long_recordings_of(
    run: Path, side: str, *, data_root: Path | None, cache: Path, seed: int
) -> list[LongRecording]:
    """Make long recordings of one side of a run's split.

    Args:
        run: Folder of a run.
        side: `train`, `validation` or `test`.
        data_root: Folder of the dataset's files.
        cache: Folder of parsed datasets.
        seed: Of all that is drawn.

    Returns:
        One for each person and place of the sensor; none where the side is empty.

    Raises:
        UsageError: The folder holds no run.
        DataError, ProtocolError: The data cannot be used as the recipe says.
    """
    if not (run / "recipe.yaml").is_file():
        raise UsageError(
            "no run here, whose recordings could be recognised",
            where=run,
            remedy="Name the folder of a run",
        )
    recipe = load_recipe(run / "recipe.yaml")
    source = dataset(recipe.dataset.name, data_root, recipe.dataset.options)
    store = open_store(source, cache)
    protocol = recipe.protocol
    options = protocol.options or source.protocols.get(protocol.name, {})
    split = make_split(protocol.name, store.info, source.classes, options)
    chosen = [store[index] for index in split.sides[side]]
    return make_long_recordings(chosen, source.classes, source.worn, seed)


def make_long_recordings(
    recordings: Sequence[Recording],
    classes: Sequence[str],
    worn: Callable[[int], str],
    seed: int,
) -> list[LongRecording]:
    """Join the recordings of each person, those of each place of the sensor apart.

    Args:
        recordings: In any order. Of several cameras' views of one take the first is used.
        classes: Names of the classes.
        worn: Where the sensor was worn in recordings of a label.
        seed: The same seed and recordings give the same.
    """
    groups: dict[tuple[str, str], dict[object, Recording]] = {}
    for recording in recordings:
        group = groups.setdefault((recording.subject, worn(recording.label)), {})
        take = (recording.take, recording.start) if recording.take else recording.id
        group.setdefault(take, recording)
    several = len({place for _, place in groups}) > 1
    return [
        _Maker(list(group.values()), draw_seed(seed, subject, place)).make(
            f"subject {subject}, {place}" if several else f"subject {subject}", subject, classes
        )
        for (subject, place), group in groups.items()
    ]


class _Edge(NamedTuple):
    """An end of a recording: the pose, and what its outermost sample has beyond gravity."""

    pose: Signal
    beyond: Signal


class _Maker:
    """Makes the long recording of one person with one sensor."""

    def __init__(self, recordings: Sequence[Recording], seed: int) -> None:
        self.rate = max(recording.rate for recording in recordings)
        self.draw = np.random.default_rng(seed)
        self.clips = [_at_rate(recording, self.rate) for recording in recordings]
        self.labels = [recording.label for recording in recordings]
        edge = max(round(EDGE_SECONDS * self.rate), 1)
        self.starts = [_edge(clip[:edge], clip[0]) for clip in self.clips]
        self.ends = [_edge(clip[-edge:], clip[-1]) for clip in self.clips]
        self.usual = unit(np.median([end.pose for end in self.ends], axis=0))
        self.noise = quietest_noise(self.clips, self.rate)

    def make(self, name: str, subject: str, classes: Sequence[str]) -> LongRecording:
        """Lay pauses and actions one after the other."""
        order = self._order()
        first, last = self.starts[order[0]], self.ends[order[-1]]
        edges = [_Edge(self._posture(first.pose), np.zeros(3))]
        for index in order:
            edges += [self.starts[index], self.ends[index]]
        edges.append(_Edge(self._posture(last.pose), np.zeros(3)))
        pauses = [self._pause(*pair) for pair in zip(edges[::2], edges[1::2], strict=True)]
        parts, truth, samples = [pauses[0]], [], len(pauses[0])
        for index, pause in zip(order, pauses[1:], strict=True):
            clip, label = self.clips[index], classes[self.labels[index]]
            stop = samples + len(clip)
            truth.append(Interval(samples / self.rate, stop / self.rate, label))
            parts += [clip, pause]
            samples = stop + len(pause)
        acceleration = np.concatenate(parts).astype(np.float32)
        times = np.arange(samples) / self.rate
        return LongRecording(name, times, acceleration, tuple(truth), subject)

    def _order(self) -> list[int]:
        """Random, each in the posture that the one before ended in, where one is left."""
        left = self.draw.permutation(len(self.clips)).tolist()
        order: list[int] = []
        pose = self.usual
        while left:
            fits = (i for i in left if degrees_between(pose, self.starts[i].pose) < NEAR)
            index = next(fits, left[0])
            left.remove(index)
            order.append(index)
            pose = self.ends[index].pose
        return order

    def _pause(self, before: _Edge, after: _Edge) -> Signal:
        """What the sensor measures from the end of one recording to the start of another."""
        pose = self._turned(self._posture(before.pose), 0, POSES)
        out, back = self._turn(before.pose, pose), self._turn(pose, after.pose)
        room = round(self.draw.uniform(*PAUSE) * self.rate) - len(out) - len(back)
        fidget = self._fidget(pose) if self.draw.random() < FIDGETS else np.empty((0, 3))
        if len(fidget) > room:
            fidget = fidget[:0]
        stay = room - len(fidget)
        early = round(stay * self.draw.random())
        signal = np.concatenate(
            [out, np.tile(pose, (early, 1)), fidget, np.tile(pose, (stay - early, 1)), back]
        )
        signal += self._sway(len(signal)) + self.noise * self.draw.standard_normal(signal.shape)
        fade = 1 - minimum_jerk(np.linspace(0, 1, round(JOIN_SECONDS * self.rate)))[0][:, None]
        signal[: len(fade)] += fade * before.beyond
        signal[-len(fade) :] += fade[::-1] * after.beyond
        return signal

    def _fidget(self, pose: Signal) -> Signal:
        there = self._turned(pose, *FIDGET_ANGLES)
        stay = np.tile(there, (round(self.draw.uniform(*FIDGET_STAY) * self.rate), 1))
        return np.concatenate([self._turn(pose, there), stay, self._turn(there, pose)])

    def _posture(self, pose: Signal) -> Signal:
        """The usual pose, unless this one is of another posture."""
        return self.usual if degrees_between(pose, self.usual) < NEAR else pose

    def _turned(self, pose: Signal, least: float, most: float) -> Signal:
        """A pose so many degrees from another, in any direction."""
        across = np.cross(pose, self.draw.standard_normal(3))
        angle = np.radians(self.draw.uniform(least, most))
        turned: Signal = np.cos(angle) * pose + np.sin(angle) * unit(across)
        return turned

    def _turn(self, start: Signal, stop: Signal) -> Signal:
        """From one pose to another: gravity, and what the motion about the joint adds."""
        duration = self.draw.uniform(*TURN)
        return turn(start, stop, duration, round(duration * self.rate), LEVER * self.usual)

    def _sway(self, count: int) -> Signal:
        """None at both ends, where a recording begins."""
        ramp = np.minimum(np.arange(count), np.arange(count)[::-1]) / (EDGE_SECONDS * self.rate)
        walk = sway(count, self.rate, SWAY, SWAY_SECONDS, self.draw)
        faded: Signal = walk * np.minimum(ramp, 1)[:, None]
        return faded


def _at_rate(recording: Recording, rate: float) -> Signal:
    signal = recording.acceleration
    if recording.rate != rate:
        times = np.arange(len(signal)) / recording.rate
        signal = resample(signal, times, np.arange(0, times[-1], 1 / rate))
    return signal.astype(np.float64)


def _edge(end: Signal, outermost: Signal) -> _Edge:
    pose = unit(end.mean(0))
    return _Edge(pose, outermost - pose)
