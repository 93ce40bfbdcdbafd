"""Views: known from their seed, the same for both modalities, pairing kept."""

import math

import pytest
import torch
from torch.nn import functional

from pskd.recipe import ViewOptions
from pskd.signal.augment import Batch, join, make_views, mix, resample, rotation_matrices

STILL = ViewOptions(
    time_warp=0,
    crop=0,
    rotation=0,
    scale=0,
    noise=0,
    yaw=0,
    limbs=0,
    mixup=0,
    mix_share=0,
    cut=0,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp_batch(size: int = 6, samples: int = 64, frames: int = 32) -> Batch:
    """Both signals are time itself plus the clip's number, so warps and pairs can be read off."""
    number = torch.arange(size) * 10.0
    acceleration = torch.linspace(0, 1, samples).expand(size, 3, -1) + number.view(-1, 1, 1)
    time = torch.linspace(0, 1, frames).view(1, -1, 1, 1).expand(size, -1, 4, 3)
    target = functional.one_hot(torch.arange(size)).float()
    skeleton = time + number.view(-1, 1, 1, 1)
    there = torch.ones(size, dtype=torch.bool)
    return Batch(acceleration, skeleton, there, there, target)


def test_without_options_nothing_changes() -> None:
    batch = ramp_batch()
    for before, after in zip(batch, make_views(batch, STILL, seeded()), strict=True):
        torch.testing.assert_close(before, after)


def test_the_same_seed_gives_the_same_view_and_another_does_not() -> None:
    batch, options = ramp_batch(), ViewOptions()
    one, same, other = (make_views(batch, options, seeded(s)) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one.acceleration, other.acceleration)


def test_both_modalities_are_warped_alike() -> None:
    options = STILL.model_copy(update={"time_warp": 0.8, "crop": 0.2})
    views = make_views(ramp_batch(samples=63, frames=32), options, seeded())
    wrist = views.acceleration[:, 0, ::2]  # 32 of the 63 samples fall on the 32 frames
    body = views.skeleton[:, :, 0, 0]
    assert (wrist - body).abs().max() < 0.02
    moved = (body - ramp_batch(frames=32).skeleton[:, :, 0, 0]).abs().max()
    assert moved > 0.05  # something was warped


def test_a_warp_keeps_the_order_of_time_and_stays_inside_the_clip() -> None:
    options = STILL.model_copy(update={"time_warp": 1.0, "crop": 0.2})
    body = make_views(ramp_batch(), options, seeded()).skeleton[0, :, 0, 0]
    assert (body.diff() > 0).all()
    assert 0 <= body[0] <= 0.2 and 0.8 <= body[-1] <= 1


def test_mixing_takes_the_same_partner_and_share_in_all_signals() -> None:
    options = STILL.model_copy(update={"mixup": 1.0, "mix_share": 1.0})
    batch = ramp_batch()
    mixed = mix(batch, options, seeded())
    number = torch.arange(6) * 10.0
    expected = mixed.target @ number  # the label's shares say which clips were mixed, and how
    torch.testing.assert_close(mixed.acceleration[:, 0, 0], expected)
    torch.testing.assert_close(mixed.skeleton[:, 0, 0, 0], expected)
    torch.testing.assert_close(mixed.target.sum(1), torch.ones(6))
    assert (mixed.target.max(1).values < 0.999).any()


@pytest.mark.parametrize("field", ["has_skeleton", "aligned"])
def test_a_mix_has_a_skeleton_or_is_aligned_only_if_both_clips_are(field: str) -> None:
    has = torch.tensor([True, True, True, False, True, True])
    options = STILL.model_copy(update={"mixup": 1.0, "mix_share": 1.0})
    mixed = mix(ramp_batch()._replace(**{field: has}), options, seeded())
    with_missing = mixed.target[:, 3] > 0
    assert torch.equal(getattr(mixed, field), ~with_missing)


def test_clips_without_a_label_mix_among_themselves() -> None:
    batch = ramp_batch(size=40, samples=16, frames=8)
    labelled = torch.arange(40) % 4 == 0
    target = batch.target * labelled.unsqueeze(1)
    options = STILL.model_copy(update={"mixup": 1.0, "mix_share": 1.0})
    mixed = mix(batch._replace(target=target), options, seeded())
    assert torch.equal(mixed.target.sum(1) > 0, labelled)
    number = torch.arange(40) * 10.0
    expected = mixed.target @ number
    torch.testing.assert_close(mixed.skeleton[labelled, 0, 0, 0], expected[labelled])


def test_a_clip_that_is_not_mixed_keeps_its_skeleton() -> None:
    has = torch.tensor([True, True, True, False, True, False])
    options = STILL.model_copy(update={"mixup": 1.0, "mix_share": 0.0})
    assert torch.equal(mix(ramp_batch()._replace(has_skeleton=has), options, seeded())[2], has)


def test_share_of_mixed_clips() -> None:
    options = STILL.model_copy(update={"mixup": 1.0, "mix_share": 0.25})
    batch = ramp_batch(size=400, samples=16, frames=8)
    mixed = (mix(batch, options, seeded()).target.max(1).values < 1).float().mean()
    assert 0.15 < mixed < 0.35


def test_a_turned_sensor_keeps_the_norm() -> None:
    batch = ramp_batch()
    views = make_views(batch, STILL.model_copy(update={"rotation": 0.5}), seeded())
    torch.testing.assert_close(views.acceleration.norm(dim=1), batch.acceleration.norm(dim=1))
    assert not torch.allclose(views.acceleration, batch.acceleration)


@pytest.mark.parametrize("up", [0, 1, 2])
def test_a_turned_body_keeps_its_height(up: int) -> None:
    generator = seeded(3)
    skeleton = torch.randn(5, 7, 4, 3, generator=generator)
    batch = ramp_batch(5)._replace(skeleton=skeleton)
    views = make_views(batch, STILL.model_copy(update={"yaw": 0.7}), generator, up)
    torch.testing.assert_close(views.skeleton[..., up], skeleton[..., up])
    torch.testing.assert_close(views.skeleton.norm(dim=-1), skeleton.norm(dim=-1))
    assert not torch.allclose(views.skeleton, skeleton)


def test_rotation_by_a_quarter_turn() -> None:
    turn = rotation_matrices(torch.tensor([[0.0, 0.0, math.pi / 2]]))[0]
    torch.testing.assert_close(turn @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]))


def test_resample_is_linear_between_samples() -> None:
    x = torch.tensor([[[0.0, 1.0, 4.0]]])
    at = torch.tensor([[0.0, 0.25, 0.75, 1.0]])
    torch.testing.assert_close(resample(x, at), torch.tensor([[[0.0, 0.5, 2.5, 4.0]]]))


def test_a_piece_of_the_same_clip_is_cut_into_both_signals_at_the_same_time() -> None:
    options = STILL.model_copy(update={"cut": 1.0})
    batch = ramp_batch(size=32, samples=64, frames=64)
    joined = join(batch, options, seeded())
    others = (joined.acceleration[:, 0] / 10).floor()  # whose sample it is
    assert torch.equal(others, (joined.skeleton[:, :, 0, 0] / 10).floor())
    own = torch.arange(32.0)[:, None]
    for row, shares in zip(others, joined.target, strict=True):
        pieces = functional.one_hot(row.clamp(0, 31).long(), 32).float().mean(0)
        torch.testing.assert_close(pieces, shares, atol=1 / 64, rtol=0)
    assert ((others != own).float().mean(1) <= 0.5 + 1 / 64).all() and (others != own).any()
    changes = (others.diff(dim=1) != 0).sum(1)
    assert (changes <= 2).all()  # one piece


@pytest.mark.parametrize("name", ["aligned", "has_skeleton"])
def test_a_clip_is_whole_or_has_what_both_have(name: str) -> None:
    batch = ramp_batch(size=64)
    batch = batch._replace(**{name: torch.arange(64) % 2 == 0})
    joined = join(batch, STILL.model_copy(update={"cut": 0.5}), seeded())
    shares = joined.target
    own = shares.diagonal() == 1
    assert 0.3 < own.float().mean() < 0.7
    has, had = getattr(joined, name), getattr(batch, name)
    assert torch.equal(has[own], had[own])
    with_odd = (shares[:, 1::2] > 0).any(1)
    assert not has[with_odd].any() and has[~with_odd].all()
    assert torch.equal(joined.acceleration[own], batch.acceleration[own])
