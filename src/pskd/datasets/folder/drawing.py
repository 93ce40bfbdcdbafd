"""How a pair is drawn."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pskd.data.recording import Recording
from pskd.data.skeleton import SkeletonLayout
from pskd.datasets.folder.alignment import FAR, NEAR, RATE, TORSO, PairScore, Trace, alikeness
from pskd.datasets.folder.symptoms import clipping

_FRAMES = 9
# Okabe and Ito's colours, which most colour-blind people can tell apart.
_BLACK, _GREY = "#222222", "#8A8A8A"
_X, _Y, _Z, _SENSOR, _BODY = "#56B4E9", "#E69F00", "#009E73", "#0072B2", "#D55E00"
_STYLE: Any = {
    "font.size": 10, "axes.titlesize": 10.5, "axes.titlelocation": "left", "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": _GREY,
    "text.parse_math": False, "lines.linewidth": 1.4, "legend.fontsize": 9,
    "xtick.color": "#555555", "ytick.color": "#555555", "axes.labelcolor": "#555555",
}  # fmt: skip
_MOSAIC: Any = [
    ["signal", "signal", "words"],
    ["speed", "speed", "others"],
    ["force", "turning", "lags"],
    ["body", "body", "body"],
]


def draw(
    recording: Recording, layout: SkeletonLayout, trace: Trace, score: PairScore, title: str
) -> bytes:
    """Draw a pair and its score, as a PNG 1200 pixels wide."""
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(12, 10), dpi=100, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
        axes = figure.subplot_mosaic(
            _MOSAIC, height_ratios=[1.15, 1, 1, 1.1], width_ratios=[1, 1, 0.95]
        )
        _signal(axes["signal"], recording)
        _speeds(axes["speed"], recording, layout, score)
        name = layout.joints[score.joint]
        for column, panel in enumerate(("force", "turning")):
            _overlay(axes[panel], trace, score.joint, column, panel.capitalize(), name)
        _others(axes["others"], score)
        _lags(axes["lags"], trace, score)
        _words(axes["words"], recording, score)
        _body(axes["body"], recording, layout, score)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _signal(axes: Axes, recording: Recording) -> None:
    signal = recording.acceleration
    time = np.arange(len(signal)) / recording.rate
    for values, colour, name in zip(signal.T, (_X, _Y, _Z), "xyz", strict=True):
        axes.plot(time, values, color=colour, label=name)
    axes.plot(time, np.linalg.norm(signal, axis=1), color=_BLACK, label="norm", lw=1)
    axes.axhline(1, color=_GREY, ls="--", lw=1, label="1 g")
    level, share = clipping(signal)
    if share:
        for sign in (-1, 1):
            axes.axhline(sign * level, color=_BODY, ls=":", lw=1.2)
        axes.plot([], [], color=_BODY, ls=":", label="clips here")
    axes.set(title="What the accelerometer felt", ylabel="g", xlim=(0, time[-1]))
    axes.legend(ncols=6, loc="lower left", bbox_to_anchor=(0.3, 0.98), borderaxespad=0)


def _speeds(axes: Axes, recording: Recording, layout: SkeletonLayout, score: PairScore) -> None:
    joints = recording.skeleton
    assert joints is not None
    upper, lower = layout.torso
    metre = TORSO / np.linalg.norm(joints[:, upper] - joints[:, lower], axis=1).mean()
    rate = len(joints) / recording.seconds
    shown = [i for i, name in enumerate(layout.joints) if "wrist" in name.casefold()][:2]
    shown = [score.joint, *(i for i in shown if i != score.joint)]
    for joint, colour in zip(shown, (_BODY, _GREY, "#CC79A7"), strict=False):
        speed = np.linalg.norm(np.gradient(joints[:, joint], axis=0), axis=1) * rate * metre
        time = np.linspace(0, recording.seconds, len(joints))
        axes.plot(time, speed, color=colour, label=layout.joints[joint])
    axes.set(title="How fast joints moved", ylabel="m/s", xlim=(0, recording.seconds))
    axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0.3, 0.98), borderaxespad=0)


def _overlay(axes: Axes, trace: Trace, joint: int, column: int, title: str, name: str) -> None:
    time = np.arange(len(trace.sensor)) / RATE
    for values, colour, label in (
        (trace.sensor[:, column], _SENSOR, "sensor"),
        (trace.joints[:, joint, column], _BODY, name),
    ):
        axes.plot(time, (values - values.mean()) / (values.std() or 1), color=colour, label=label)
    axes.set(title=title, xlabel="seconds", xlim=(0, time[-1]), yticks=[])
    axes.spines["left"].set_visible(False)
    if column == 0:
        axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98), borderaxespad=0)


def _others(axes: Axes, score: PairScore) -> None:
    low = min(0.0, *score.others)
    axes.hist(score.others, bins=np.linspace(low, 1, 31).tolist(), color="#C8C8C8")
    axes.axvline(score.correlation, color=_BODY, lw=2.5)
    axes.set(
        title=f"More alike than {100 * score.beaten:.0f} % of others",
        xlabel="correlation; bars: with skeletons of others",
        yticks=[],
        xlim=(low, 1),
    )
    axes.spines["left"].set_visible(False)


def _lags(axes: Axes, trace: Trace, score: PairScore) -> None:
    far = min(FAR, len(trace.sensor) // 3)
    lags = range(-far, far + 1)
    curve = np.tanh(alikeness(trace.sensor, trace.joints, lags).max(axis=1))
    axes.axvspan(-NEAR / RATE, NEAR / RATE, color="#EEEEEE")
    axes.plot(np.array(lags) / RATE, curve, color=_BLACK)
    axes.plot(score.lag, curve.max(), "o", color=_BODY, clip_on=False)
    axes.set(
        title=f"Most alike {_when(score.lag)}",
        xlabel="seconds that the skeleton is late",
        ylabel="correlation",
        xlim=(-far / RATE, far / RATE),
    )


def _when(lag: float) -> str:
    if not lag:
        return "without a shift"
    return f"with the skeleton {abs(lag):.2f} s {'late' if lag > 0 else 'early'}"


def _words(axes: Axes, recording: Recording, score: PairScore) -> None:
    assert recording.skeleton is not None
    _, share = clipping(recording.acceleration)
    norm = float(np.median(np.linalg.norm(recording.acceleration, axis=1)))
    frames = len(recording.skeleton)
    lines = {
        "lasts": f"{recording.seconds:.2f} s",
        "accelerometer": f"{len(recording.acceleration)} samples, {recording.rate:g} Hz",
        "skeleton": f"{frames} frames, {frames / recording.seconds:.1f} a second",
        "gravity": f"median norm {norm:.2f} g",
        "clipping": f"{100 * share:.1f} % of samples",
        "verdict": _verdict(score),
    }
    axes.axis("off")
    for row, (name, value) in enumerate(lines.items()):
        axes.text(0.0, 0.95 - 0.165 * row, name, color="#555555", va="top")
        axes.text(0.36, 0.95 - 0.165 * row, value, color=_BLACK, va="top")


def _verdict(score: PairScore) -> str:
    if score.late:
        return f"skeleton {abs(score.lag):.2f} s {'late' if score.lag > 0 else 'early'}"
    return "aligned" if score.aligned else "doubtful" if score.doubtful else "cannot be said"


def _body(axes: Axes, recording: Recording, layout: SkeletonLayout, score: PairScore) -> None:
    """Stick figures, evenly over time, seen along the axis in which the body is flattest."""
    joints = recording.skeleton
    assert joints is not None
    upright = (joints[:, layout.torso[0]] - joints[:, layout.torso[1]]).mean(axis=0)[layout.up]
    level = [axis for axis in range(layout.dims) if axis != layout.up]
    across = max(level, key=lambda axis: float(joints.std(axis=1)[:, axis].mean()))
    flat = joints[..., [across, layout.up]] * [1, -1 if upright < 0 else 1]
    flat = flat - flat[:, layout.root, None] * [1, 0]
    picked = np.linspace(0, len(flat) - 1, _FRAMES).round().astype(int)
    step = max(1.15 * float(np.ptp(flat[..., 0])), 0.55 * float(np.ptp(flat[..., 1])))
    for place, frame in enumerate(picked):
        points = flat[frame] + [place * step, 0]
        for child, parent in layout.edges:
            name = layout.joints[child].casefold()
            colour = _X if "right" in name else _Y if "left" in name else _BLACK
            axes.plot(*points[[child, parent]].T, color=colour, lw=2, solid_capstyle="round")
        axes.plot(*points[score.joint], "o", color=_BODY, ms=5)
        seconds = recording.seconds * frame / (len(flat) - 1)
        axes.annotate(
            f"{seconds:.1f} s", (place * step, 0), (0, -4), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", va="top", color="#555555",
        )  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(
        title="The body: right in blue, left in orange, a dot where it moves most like the sensor",
        xticks=[],
        yticks=[],
    )
    for spine in axes.spines.values():
        spine.set_visible(False)
