"""What is in the recordings: units, saturation, dead sensors, and what was left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from pskd.data.audit.findings import WORDS, Finding, finding
from pskd.data.audit.signals import Signals
from pskd.data.protocols import Split
from pskd.data.recording import STANDARD_GRAVITY, SetAside
from pskd.data.store import RecordingInfo

Infos = Sequence[RecordingInfo]

_NORM = (0.8, 1.3)  # g, the median of all samples
_ODD = (0.4, 4.0)  # g, the mean of a recording; beyond, it is in another unit than the others
_UNITS = {"m/s2": STANDARD_GRAVITY, "milli-g": 1000.0}
_SPIKES = 10  # samples; some files hold a few beyond the range of the sensor
_SEVERAL = 5  # recordings; the highest peak of one may be flat by itself
_MUCH = 0.01  # of the samples of a side


def units(infos: Infos, signals: Signals) -> Iterator[Finding]:
    """Tell whether the signals can be in g with gravity in them: at rest their norm is 1."""
    norm = np.linalg.norm(signals.samples, axis=1)
    median = float(np.median(norm))
    if _NORM[0] <= median <= _NORM[1]:
        yield Finding(
            "fact",
            "units",
            f"The median norm of the acceleration is {median:.2f} g, near 1 as it is in g.",
            figures={"median_g": median},
        )
        mean = signals.per_recording(norm)
        odd = np.flatnonzero((mean < _ODD[0]) | (mean > _ODD[1]))
        if len(odd):
            yield finding(
                "warning",
                "units",
                f"{{n}} recordings have a mean norm below {_ODD[0]} or above {_ODD[1]} g: they "
                "may be in another unit than the others.",
                infos,
                [(int(i),) for i in odd],
            )
        return
    like = [u for u, factor in _UNITS.items() if _NORM[0] <= median / factor <= _NORM[1]]
    guess = f"as if it were in {like[0]}" if like else "so it is not in g, or without gravity"
    yield Finding(
        "warning",
        "units",
        f"The median norm of the acceleration is {median:.3g}, where 1 is expected: {guess}.",
        figures={"median_g": median},
    )


def saturation(infos: Infos, split: Split, signals: Signals) -> Iterator[Finding]:
    """Tell how many samples are at the end of the range of the sensor.

    The end is where the largest values pile up, a few spikes beyond it aside: within 1 % of it
    there are more than in the next 4 %, while natural peaks are the rarer the larger they are.
    """
    x, y, z = np.abs(signals.samples.T)
    peak = np.maximum(np.maximum(x, y), z)
    spikes = min(_SPIKES, len(peak) - 1)
    end = float(np.partition(peak, -1 - spikes)[-1 - spikes])
    at_end = peak >= 0.99 * end
    share = signals.per_recording(at_end)
    piled = at_end.sum() - spikes > ((peak >= 0.95 * end) & ~at_end).sum()
    if not piled or np.count_nonzero(share) < _SEVERAL:
        yield Finding("fact", "saturation", "No sample is at the end of the sensor's range.")
        return
    sides = {
        side: float(np.average(share[list(indices)], weights=signals.lengths[list(indices)]))
        for side, indices in split.sides.items()
        if indices
    }
    worst = np.argsort(-share, kind="stable")[: np.count_nonzero(share)]
    each = ", ".join(f"{s:.2%} of the {WORDS[side]} samples" for side, s in sides.items())
    yield finding(
        "warning" if max(sides.values()) > _MUCH else "fact",
        "saturation",
        f"The sensor is at the end of its range, {end:.3g} g, in {each} and in {{n}} recordings, "
        f"the worst of them in {share[worst[0]]:.1%} of its samples.",
        infos,
        [(int(i),) for i in worst],
        end_g=end,
        **sides,
    )


def dead_sensors(infos: Infos, signals: Signals) -> Iterator[Finding]:
    """Tell where the accelerometer never changes."""
    dead = [(i,) for i, digest in enumerate(signals.digests) if not digest]
    if dead:
        sentence = "{n} recordings have an accelerometer signal that never changes."
        yield finding("warning", "dead", sentence, infos, dead)


def left_out(set_aside: Sequence[SetAside]) -> Iterator[Finding]:
    """Count what was set aside, by reason without its names and numbers."""
    if not set_aside:
        return
    reasons = Counter(re.sub(r"\S*\d\S*", "...", s.reason) for s in set_aside)
    most = "; ".join(f"{n} x {reason}" for reason, n in reasons.most_common(3))
    yield Finding(
        "fact",
        "set_aside",
        f"{len(set_aside)} trials are set aside: {most}",
        len(set_aside),
        tuple((s.id,) for s in set_aside[:10]),
        figures=dict(reasons),
    )
