"""A noisier, turned or slower sensor on the test side."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pskd.data.clips import Clips
from pskd.recipe import Recipe, TestOptions
from pskd.train.disturb import disturb
from pskd.train.prepare import Prepared, prepare


@pytest.fixture(scope="module")
def data(tiny: Recipe, cache: Path) -> Prepared:
    return prepare(tiny, None, cache)


def wrist(clips: Clips) -> Tensor:
    return clips.read("acceleration", torch.arange(len(clips)))


def test_nothing_asked_changes_nothing(data: Prepared) -> None:
    assert disturb(data.test, TestOptions(), 0) is data.test


def test_noise_has_its_size_and_depends_on_the_seed(data: Prepared) -> None:
    plain = wrist(data.test)
    added = [wrist(disturb(data.test, TestOptions(noise=0.3), seed)) - plain for seed in (0, 0, 1)]
    assert torch.equal(added[0], added[1]) and not torch.equal(added[0], added[2])
    assert added[0].std().item() == pytest.approx(0.3, rel=0.02)
    assert abs(added[0].mean().item()) < 0.01


def test_a_turned_sensor_measures_the_same_length_at_the_angle_asked_for(data: Prepared) -> None:
    plain, turned = wrist(data.test), wrist(disturb(data.test, TestOptions(rotation=0.7), 0))
    torch.testing.assert_close(turned.norm(dim=1), plain.norm(dim=1), rtol=1e-4, atol=1e-4)
    for before, after in zip(plain[:10], turned[:10], strict=True):
        u, _, vt = np.linalg.svd(after.numpy() @ before.numpy().T)  # Kabsch: the best rotation
        rotation = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
        angle = np.arccos((np.trace(rotation) - 1) / 2)
        assert angle == pytest.approx(0.7, abs=1e-3)


def test_a_slower_sensor_keeps_what_is_slow_and_loses_what_is_fast(data: Prepared) -> None:
    clips = replace(data.test, seconds=torch.full((len(data.test),), 2.0))
    samples = clips.signals["acceleration"].shape[-1]
    at = np.linspace(0, 2, samples)

    def left(hertz: float) -> float:
        """Share of a sine's size that eight samples a second leave, as np.interp has it."""
        signal = np.sin(2 * np.pi * hertz * at + 1)
        taken = np.interp(np.linspace(0, 2, 16), at, signal)
        expected = np.interp(at, np.linspace(0, 2, 16), taken)
        waves = np.array(clips.signals["acceleration"])
        waves[:] = signal
        slow = disturb(replace(clips, signals={"acceleration": waves}), TestOptions(rate=8), 0)
        np.testing.assert_allclose(wrist(slow)[3, 1].numpy(), expected, atol=1e-5)
        return float(np.std(expected) / np.std(signal))

    assert left(0.5) > 0.95 > 0.8 > left(3.5)


def test_only_the_test_side_is_touched_and_the_note_says_it(tiny: Recipe, cache: Path) -> None:
    noisy = tiny.model_copy(update={"test": TestOptions(noise=0.5)})
    plain, other = (prepare(recipe, None, cache) for recipe in (tiny, noisy))
    assert torch.equal(wrist(plain.train), wrist(other.train))
    assert not torch.equal(wrist(plain.test), wrist(other.test))
