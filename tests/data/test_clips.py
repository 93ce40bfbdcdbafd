import errno
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pskd.data import clips as module
from pskd.data.clips import Clips, make_clips, normalise
from pskd.data.npy import NpyWriter
from pskd.data.recording import Recording
from pskd.data.skeleton import KINECT_V1, SkeletonLayout
from pskd.data.store import Store, open_store
from pskd.datasets import dataset
from pskd.errors import DataError, UsageError
from pskd.signal.align import stretch
from pskd.signal.resample import stretch_filtered

ROOT, TOP = KINECT_V1.index("hip_center"), KINECT_V1.index("shoulder_center")
WITHOUT = 15
"""Index of the recording of the small dataset that has no skeleton."""


@pytest.fixture
def store(small: Any, tmp_path: Path) -> Store:
    return open_store(small, tmp_path)


@pytest.fixture
def clips(store: Store) -> Clips:
    return make_clips(store, range(len(store)), samples=32, frames=16)


def both(clips: Clips) -> tuple[Tensor, Tensor]:
    """Both signals of all clips."""
    everything = torch.arange(len(clips))
    return clips.read("acceleration", everything), clips.read("skeleton", everything)


def test_shapes_types_and_identities(clips: Clips, store: Store) -> None:
    assert len(clips) == len(store) == 23
    acceleration, skeleton = both(clips)
    assert acceleration.shape == (23, 3, 32) and skeleton.shape == (23, 16, 20, 3)
    assert acceleration.dtype == skeleton.dtype == clips.seconds.dtype == torch.float32
    assert clips.labels.dtype == torch.long
    assert clips.has_skeleton.dtype == clips.aligned.dtype == torch.bool
    assert clips.aligned.tolist() == [i.label != 1 for i in store.info]
    assert clips.ids == tuple(i.id for i in store.info)
    assert clips.subjects == tuple(i.subject for i in store.info)
    assert clips.labels.tolist() == [i.label for i in store.info]
    np.testing.assert_allclose(clips.seconds, np.array([len(r.acceleration) / 50 for r in store]))


def test_both_signals_span_the_clip(store: Store) -> None:
    acceleration, skeleton = both(make_clips(store, range(len(store)), samples=64, frames=16))
    for n, recording in enumerate(store):
        own = np.linspace(0, 1, len(recording.acceleration))
        assert len(own) < 1.5 * 64  # so that no filter is needed
        for axis in range(3):
            expected = np.interp(np.linspace(0, 1, 64), own, recording.acceleration[:, axis])
            np.testing.assert_allclose(acceleration[n, axis], expected, atol=1e-6)
        if recording.skeleton is not None:
            bone = recording.skeleton[:, 5] - recording.skeleton[:, ROOT]
            scale = skeleton[n, 0, 5] - skeleton[n, 0, ROOT]
            # The first and last frame stay, up to one scale for the whole clip.
            np.testing.assert_allclose(
                (skeleton[n, -1, 5] - skeleton[n, -1, ROOT]) / scale.norm(),
                bone[-1] / np.linalg.norm(bone[0]),
                rtol=1e-3,
                atol=1e-5,
            )


def test_fast_movements_do_not_fold_into_slow_ones(small: Any, tmp_path: Path) -> None:
    """An arm that shakes 29 times in 31 steps of a clip would, unfiltered, seem to swing twice."""
    phase = 2 * np.pi * np.linspace(0, 1, 400)
    slow, fast = np.sin(2 * phase), np.sin(29 * phase)
    signal = np.stack([slow, slow + fast, fast], axis=1).astype(np.float32)
    trials = [
        replace(trial, acceleration=signal) if isinstance(trial, Recording) else trial
        for trial in small.make()
    ]
    small.make = lambda: iter(trials)
    made = both(make_clips(open_store(small, tmp_path), range(23), 32, 16))[0].numpy()[:, :, 3:-3]
    np.testing.assert_allclose(made[:, 0], made[:, 1], atol=0.03)
    np.testing.assert_allclose(made[:, 2], 0, atol=0.03)
    expected = np.sin(4 * np.pi * np.linspace(0, 1, 32))[3:-3]
    np.testing.assert_allclose(made[:, 0], np.tile(expected, (23, 1)), atol=0.05)


def test_root_at_the_origin_and_torso_of_length_one(clips: Clips) -> None:
    there = both(clips)[1][clips.has_skeleton].double()
    torch.testing.assert_close(
        there[:, :, ROOT].mean(1), torch.zeros(22, 3).double(), atol=1e-5, rtol=0
    )
    torso = (there[:, :, TOP] - there[:, :, ROOT]).norm(dim=-1).mean(1)
    torch.testing.assert_close(torso, torch.ones(22).double(), atol=1e-5, rtol=0)


def test_a_missing_skeleton_is_zeros_and_said(clips: Clips) -> None:
    assert (~clips.has_skeleton).nonzero().flatten().tolist() == [WITHOUT]
    assert clips.ids[WITHOUT] == "a2_s1_t1"
    assert not clips.read("skeleton", torch.tensor([WITHOUT])).any()


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
    for name in ("has_skeleton", "labels", "seconds", "aligned"):
        assert torch.equal(getattr(some, name), getattr(clips, name)[chosen])
    for one, all_of_them in zip(both(some), both(clips), strict=True):
        assert torch.equal(one, all_of_them[chosen])
    again = some.select([2, 1])
    assert again.ids == (clips.ids[WITHOUT], clips.ids[3])
    assert torch.equal(both(again)[0], both(clips)[0][[WITHOUT, 3]])
    assert len(clips.select([])) == 0 and both(clips.select([]))[0].shape == (0, 3, 32)


def test_indices_choose_and_order(clips: Clips, store: Store) -> None:
    some = make_clips(store, [7, 2], samples=32, frames=16)
    assert some.ids == (clips.ids[7], clips.ids[2])
    assert torch.equal(both(some)[1], both(clips)[1][[7, 2]])
    assert torch.equal(some.read("skeleton", torch.tensor([1, 1])), both(clips)[1][[2, 2]])
    assert both(make_clips(store, [], 32, 16))[0].shape == (0, 3, 32)


def test_what_was_read_can_be_changed_and_the_file_cannot(clips: Clips) -> None:
    before = both(clips)[0]
    clips.read("acceleration", torch.arange(5)).zero_()
    assert torch.equal(both(clips)[0], before)
    with pytest.raises(ValueError, match="read-only"):
        clips.signals["acceleration"][0] = 0


# --- the same numbers, however they are made ----------------------------------------------------


def at_once(store: Store, samples: int, frames: int) -> tuple[Tensor, Tensor]:
    """Both signals made in memory, of all recordings in one piece."""
    shape = (frames, len(store.layout.joints), store.layout.dims)
    nothing = np.zeros(shape, np.float32)
    acceleration = np.stack([stretch_filtered(r.acceleration, samples).T for r in store])
    skeleton = torch.from_numpy(
        np.stack([nothing if r.skeleton is None else stretch(r.skeleton, frames) for r in store])
    )
    there = torch.tensor([r.skeleton is not None for r in store])
    skeleton[there] = normalise(skeleton[there], store.layout)
    return torch.from_numpy(acceleration), skeleton


@pytest.mark.parametrize("block", [1, 5, 256])
def test_blocks_give_the_bits_of_one_piece(
    store: Store, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    made = both(make_clips(store, range(23), 32, 16))
    assert all(map(torch.equal, made, at_once(store, 32, 16)))


@pytest.mark.parametrize("name", ["utd_mhad", "simulated"])
def test_datasets_give_the_bits_of_one_piece(
    name: str, real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    if name == "utd_mhad":
        store = open_store(dataset(name, real_data("utd-mhad")), tmp_path)
    else:
        store = open_store(dataset(name, None, {"subjects": 2, "trials": 1}), tmp_path)
    made = both(make_clips(store, range(len(store)), 128, 64))
    assert all(map(torch.equal, made, at_once(store, 128, 64)))


def test_normalised_as_written_down(store: Store, clips: Clips) -> None:
    """In float64, by the definition: the root's mean to the origin, the torso's mean to 1."""
    for n, recording in enumerate(store):
        if recording.skeleton is not None:
            x = stretch(recording.skeleton, 16).astype(np.float64)
            torso = np.linalg.norm(x[:, TOP] - x[:, ROOT], axis=1).mean()
            expected = (x - x[:, ROOT].mean(0)) / torso
            np.testing.assert_allclose(both(clips)[1][n], expected, atol=1e-5)


def test_skeletons_in_pixels(small: Any, tmp_path: Path) -> None:
    small.layout = SkeletonLayout("flat", ("hip", "neck", "hand"), (0, 0, 1), (1, 0), 1, 2)
    small.make = lambda: (
        replace(trial, skeleton=100 * trial.skeleton[:, :3, :2])
        for trial in type(small)().make()
        if isinstance(trial, Recording) and trial.skeleton is not None
    )
    clips = make_clips(open_store(small, tmp_path), range(22), 32, 16)
    skeleton = both(clips)[1]
    assert skeleton.shape == (22, 16, 3, 2) and clips.has_skeleton.all()
    torso = (skeleton[:, :, 1] - skeleton[:, :, 0]).norm(dim=-1).mean(1)
    torch.testing.assert_close(torso, torch.ones(22), atol=1e-5, rtol=0)


def test_a_skeleton_without_extent_counts_as_none(small: Any, tmp_path: Path) -> None:
    trials = list(small.make())
    trials[4].skeleton[:] = 1.0
    trials[7].skeleton[:] *= 1e-43  # so small that it cannot be scaled
    small.make = lambda: iter(trials)
    store = open_store(small, tmp_path)
    clips = make_clips(store, range(len(store)), 32, 16)
    assert (~clips.has_skeleton).nonzero().flatten().tolist() == [4, 7, WITHOUT]
    assert not both(clips)[1][[4, 7, WITHOUT]].any()
    assert both(clips)[1].isfinite().all()


# --- the files ----------------------------------------------------------------------------------


def test_written_once_for_each_length(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        make_clips(store, [0], 32, 16)
        monkeypatch.setattr(module, "_write", lambda *_: pytest.fail("written again"))
    monkeypatch.undo()
    make_clips(store, [0], 40, 16)
    folders = sorted(p.name for p in store.folder.iterdir() if p.is_dir())
    assert folders == ["clips-2-32x16", "clips-2-40x16"]
    assert len(Store(store.folder, store.key, _like(store))) == 23
    with pytest.raises(UsageError, match="stretched to 1 samples"):
        make_clips(store, [0], 1, 16)
    assert sorted(p.name for p in store.folder.iterdir() if p.is_dir()) == folders


def _like(store: Store) -> Any:
    return type("Like", (), {"name": store.dataset, "layout": store.layout})


@pytest.mark.parametrize("name", ["acceleration", "skeleton", "has_skeleton"])
@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda path: os.truncate(path, path.stat().st_size - 1),
        lambda path: os.truncate(path, 10),
        lambda path: path.write_bytes(path.read_bytes() + b"1"),
        lambda path: np.save(path, np.zeros((23, 2), np.float32)),
        lambda path: zipfile.ZipFile(path, "w").close(),
    ],
)
def test_damaged_clips_are_made_again(
    store: Store, name: str, damage: Callable[[Path], object]
) -> None:
    expected = both(make_clips(store, range(23), 32, 16))
    damage(store.folder / "clips-2-32x16" / f"{name}.npy")
    again = make_clips(store, range(23), 32, 16)
    assert all(map(torch.equal, both(again), expected)) and again.has_skeleton.sum() == 22


def test_a_full_disk_leaves_no_clips(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(NpyWriter, "append", full)
        with pytest.raises(DataError, match=r"No space left.*Free some space"):
            make_clips(store, [0], 32, 16)
    assert not [p for p in store.folder.iterdir() if p.is_dir()]
    assert len(make_clips(store, [0], 32, 16)) == 1


def test_two_processes_make_the_clips_once(store: Store) -> None:
    code = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import Small
from pskd.data import clips
from pskd.data.store import open_store

write = clips._write
def slow(*arguments):
    print("writing", end=" ")
    time.sleep(1)
    write(*arguments)
clips._write = slow
store = open_store(Small(), Path(sys.argv[2]))
made = clips.make_clips(store, range(23), 32, 16)
print(len(made))
"""
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(store.folder.parent)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = sorted(child.communicate(timeout=60)[0] for child in children)
    assert outputs == ["23\n", "writing 23\n"]


def test_another_process_gets_the_place_of_the_arrays_and_not_their_contents(
    store: Store, clips: Clips
) -> None:
    sent = pickle.dumps(clips.select([7, 2]))
    assert clips.signals["acceleration"][7].tobytes() not in sent
    again = pickle.loads(sent)
    for name in ("acceleration", "skeleton"):
        expected = clips.read(name, torch.tensor([7, 2]))
        assert torch.equal(again.read(name, torch.arange(2)), expected)
    there = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(there[3].acceleration, store[3].acceleration)
