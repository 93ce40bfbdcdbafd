from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pskd.data.clips import Clips, make_clips, normalise
from pskd.data.skeleton import KINECT_V1
from pskd.data.store import Store, open_store
from pskd.errors import DataError

ROOT, TOP = KINECT_V1.index("hip_center"), KINECT_V1.index("shoulder_center")
WITHOUT = 15
"""Index of the recording of the small dataset that has no skeleton."""


@pytest.fixture
def store(small: Any, tmp_path: Path) -> Store:
    return open_store(small, tmp_path)


@pytest.fixture
def clips(store: Store) -> Clips:
    return make_clips(store, range(len(store)), samples=32, frames=16)


def test_shapes_types_and_identities(clips: Clips, store: Store) -> None:
    assert len(clips) == len(store) == 23
    assert clips.acceleration.shape == (23, 3, 32) and clips.skeleton.shape == (23, 16, 20, 3)
    assert clips.acceleration.dtype == clips.skeleton.dtype == clips.seconds.dtype == torch.float32
    assert clips.labels.dtype == torch.long and clips.has_skeleton.dtype == torch.bool
    assert clips.ids == tuple(i.id for i in store.info)
    assert clips.subjects == tuple(i.subject for i in store.info)
    assert clips.labels.tolist() == [i.label for i in store.info]
    np.testing.assert_allclose(clips.seconds, np.array([len(r.acceleration) / 50 for r in store]))


def test_both_signals_span_the_clip(clips: Clips, store: Store) -> None:
    for n, recording in enumerate(store):
        own = np.linspace(0, 1, len(recording.acceleration))
        for axis in range(3):
            expected = np.interp(np.linspace(0, 1, 32), own, recording.acceleration[:, axis])
            np.testing.assert_allclose(clips.acceleration[n, axis], expected, atol=1e-6)
        if recording.skeleton is not None:
            bone = recording.skeleton[:, 5] - recording.skeleton[:, ROOT]
            scale = clips.skeleton[n, 0, 5] - clips.skeleton[n, 0, ROOT]
            # The first and last frame stay, up to one scale for the whole clip.
            np.testing.assert_allclose(
                (clips.skeleton[n, -1, 5] - clips.skeleton[n, -1, ROOT]) / scale.norm(),
                bone[-1] / np.linalg.norm(bone[0]),
                rtol=1e-3,
                atol=1e-5,
            )


def test_root_at_the_origin_and_torso_of_length_one(clips: Clips) -> None:
    there = clips.skeleton[clips.has_skeleton].double()
    torch.testing.assert_close(
        there[:, :, ROOT].mean(1), torch.zeros(22, 3).double(), atol=1e-5, rtol=0
    )
    torso = (there[:, :, TOP] - there[:, :, ROOT]).norm(dim=-1).mean(1)
    torch.testing.assert_close(torso, torch.ones(22).double(), atol=1e-5, rtol=0)


def test_a_missing_skeleton_is_zeros_and_said(clips: Clips) -> None:
    assert (~clips.has_skeleton).nonzero().flatten().tolist() == [WITHOUT]
    assert clips.ids[WITHOUT] == "a2_s1_t1"
    assert not clips.skeleton[WITHOUT].any()


def test_normalising_forgets_place_and_size_but_not_turning() -> None:
    skeleton = torch.randn(4, 9, 20, 3, generator=torch.Generator().manual_seed(0))
    normal = normalise(skeleton, KINECT_V1)
    moved = normalise(1.7 * skeleton + torch.tensor([3.0, -1.0, 2.0]), KINECT_V1)
    torch.testing.assert_close(moved, normal, atol=1e-5, rtol=1e-4)
    turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    torch.testing.assert_close(normalise(skeleton @ turn, KINECT_V1), normal @ turn)


def test_normalising_by_hand() -> None:
    skeleton = torch.zeros(1, 2, 20, 3)
    skeleton[0, :, :] = torch.tensor([1.0, 1, 1])
    skeleton[0, 1, ROOT] = torch.tensor([3.0, 1, 1])  # the mean root is at (2, 1, 1)
    skeleton[0, 1, TOP] = torch.tensor([3.0, 9, 1])  # torso 0, then 8: mean 4
    normal = normalise(skeleton, KINECT_V1)[0]
    assert normal[0, 0].tolist() == [-0.25, 0, 0]
    assert normal[1, ROOT].tolist() == [0.25, 0, 0]
    assert normal[1, TOP].tolist() == [0.25, 2, 0]


def test_select_keeps_everything_together(clips: Clips) -> None:
    chosen = [20, 3, WITHOUT, 3]
    some = clips.select(chosen)
    assert some.ids == tuple(clips.ids[i] for i in chosen)
    assert some.subjects == tuple(clips.subjects[i] for i in chosen)
    for n, i in enumerate(chosen):
        for name in ("acceleration", "skeleton", "has_skeleton", "labels", "seconds"):
            assert torch.equal(getattr(some, name)[n], getattr(clips, name)[i])
    assert len(clips.select([])) == 0


def test_indices_choose_and_order(clips: Clips, store: Store) -> None:
    some = make_clips(store, [7, 2], samples=32, frames=16)
    assert some.ids == (clips.ids[7], clips.ids[2])
    torch.testing.assert_close(some.skeleton, clips.skeleton[[7, 2]])
    assert make_clips(store, [], 32, 16).acceleration.shape == (0, 3, 32)


def test_a_skeleton_without_extent_is_refused(small: Any, tmp_path: Path) -> None:
    trials = list(small.make())
    trials[4].skeleton[:] = 1.0
    small.make = lambda: iter(trials)
    store = open_store(small, tmp_path)
    with pytest.raises(DataError, match=f"{trials[4].id}: skeleton has a torso of no length"):
        make_clips(store, range(len(store)), 32, 16)
