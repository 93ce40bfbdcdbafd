"""Are accelerations that are computed from skeletons like those that were measured?

For UTD-MHAD's training subjects and the 21 actions with the sensor on the right wrist: the wrist's
path is smoothed, its second derivative and gravity are turned into the forearm's frame, and that
into the sensor's by the one rotation, or the one linear map, that fits three of the people best.
Both signals are brought below 4 Hz (the skeletons have 15 frames a second). Prints, of the fourth
person, the share of variance that is explained of each axis, and correlations of the norms.

Example: python benchmarks/inner_folds/virtual_wrists.py --data-root ~/data
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from judge import FOLDS
from numpy.typing import NDArray
from scipy.interpolate import make_smoothing_spline
from scipy.signal import butter, sosfiltfilt

from pskd.data.recording import STANDARD_GRAVITY, Recording
from pskd.data.skeleton import KINECT_V1
from pskd.datasets.utd_mhad import UtdMhad

Array = NDArray[np.float64]

WRIST_ACTIONS, BELOW = 21, 4.0
SMOOTHING = (1e-6, 1e-5, 1e-4, 1e-3)
UP = np.array([0.0, 1.0, 0.0])
SHOULDER, ELBOW, WRIST = (
    KINECT_V1.index(name) for name in ("right_shoulder", "right_elbow", "right_wrist")
)


def virtual(one: Recording, smoothing: float) -> Array:
    """Specific force [T, 3] in g, in a frame of the forearm and the plane of the arm.

    The Kinect does not see how far the forearm is rolled about itself; the plane of the arm is the
    best guess of it that was found, better than the vertical or the direction of view.
    """
    assert one.skeleton is not None
    at = np.arange(len(one.acceleration)) / one.rate
    frames = np.linspace(0, at[-1], len(one.skeleton))
    paths = [
        make_smoothing_spline(frames, one.skeleton[:, joint].astype(float), lam=smoothing)
        for joint in (SHOULDER, ELBOW, WRIST)
    ]
    shoulder, elbow, wrist = (path(at) for path in paths)
    force = paths[2].derivative(2)(at) / STANDARD_GRAVITY + UP
    along = _unit(wrist - elbow)
    normal = _unit(np.cross(_unit(elbow - shoulder), along))
    frame = np.stack([along, normal, np.cross(along, normal)], 1)
    turned: Array = (frame @ force[..., None])[..., 0]
    return turned


def explained(pairs: dict[int, tuple[Array, Array]], held_out: int) -> dict[str, Any]:
    """Share of variance by axis on one person, by maps that fit the others."""
    rest = [pair for subject, pair in pairs.items() if subject != held_out]
    guess, real = (np.concatenate(both) for both in zip(*rest, strict=True))
    u, _, v = np.linalg.svd(guess.T @ real)
    maps = {"rotation": u @ v, "linear": np.linalg.lstsq(guess, real, rcond=None)[0]}
    guess, real = pairs[held_out]
    spread = ((real - real.mean(0)) ** 2).sum(0)
    return {
        name: (1 - ((real - guess @ how) ** 2).sum(0) / spread).round(2).tolist()
        for name, how in maps.items()
    }


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True)
    root = parser.parse_args().data_root
    found = [
        one
        for one in UtdMhad(root).read()
        if isinstance(one, Recording)
        and int(one.subject) in FOLDS
        and one.label < WRIST_ACTIONS
        and one.skeleton is not None
    ]
    for smoothing in SMOOTHING:
        guesses = [_slow(virtual(one, smoothing), one.rate) for one in found]
        reals = [_slow(one.acceleration, one.rate) for one in found]
        norms = [
            np.corrcoef(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))[0, 1]
            for a, b in zip(guesses, reals, strict=True)
        ]
        pairs = {}
        for subject in FOLDS:
            own = [n for n, one in enumerate(found) if int(one.subject) == subject]
            pairs[subject] = (
                np.concatenate([guesses[n] for n in own]),
                np.concatenate([reals[n] for n in own]),
            )
        line = {
            "smoothing": smoothing,
            "recordings": len(found),
            "correlation_of_norms": np.quantile(norms, [0.25, 0.5, 0.75]).round(2).tolist(),
            "explained": {held_out: explained(pairs, held_out) for held_out in FOLDS},
        }
        print(json.dumps(line), flush=True)


def _slow(x: NDArray[Any], rate: float) -> Array:
    slow: Array = sosfiltfilt(butter(2, BELOW, fs=rate, output="sos"), x, axis=0)
    return slow


def _unit(x: Array) -> Array:
    unit: Array = x / np.linalg.norm(x, axis=-1, keepdims=True).clip(1e-6)
    return unit


if __name__ == "__main__":
    main()
