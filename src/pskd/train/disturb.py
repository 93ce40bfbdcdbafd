"""What is done to the accelerometer of the test side, to see what a student bears."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pskd.data.clips import Clips
from pskd.recipe import TestOptions
from pskd.signal.augment import resample, rotation_matrices
from pskd.train.stream import draw_seed


def disturb(clips: Clips, options: TestOptions, seed: int) -> Clips:
    """Clips as a noisier, turned or slower sensor would give them; the same for every model.

    A slower sensor takes fewer samples of the recording, and what lies between is interpolated;
    its own filter against aliasing is not simulated.
    """
    if not options.disturbs:
        return clips
    draw = torch.Generator().manual_seed(draw_seed(seed, "test"))
    x = clips.read("acceleration", torch.arange(len(clips)))
    axis = torch.nn.functional.normalize(torch.randn((len(x), 3), generator=draw), dim=1)
    noise = torch.randn(x.shape, generator=draw)
    x = rotation_matrices(axis * options.rotation) @ x
    if options.rate is not None:
        x = torch.cat([_slower(*pair, options.rate) for pair in zip(x, clips.seconds, strict=True)])
    signals = dict(clips.signals)
    signals["acceleration"] = np.array(signals["acceleration"])
    signals["acceleration"][clips.rows.numpy()] = (x + options.noise * noise).numpy()
    return replace(clips, signals=signals)


def _slower(x: Tensor, seconds: Tensor, rate: float) -> Tensor:
    """A clip [3, S] of so many seconds, taken at a lower rate and stretched again [1, 3, S]."""
    samples = x.shape[-1]
    kept = min(max(round(float(seconds) * rate), 2), samples)
    at, back = (torch.linspace(0, 1, n).unsqueeze(0) for n in (kept, samples))
    return resample(resample(x.unsqueeze(0), at), back)
