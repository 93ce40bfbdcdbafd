"""Every model takes one signal description and gives logits, embedding and per-time features."""

import pytest
import torch
from torch import nn

from pskd.data.skeleton import KINECT_V1
from pskd.errors import UsageError
from pskd.models import MODELS, Signal, build, count_macs, count_parameters, example_inputs
from pskd.models.skeleton import FRAME_DIFFERENCES, adjacency, streams

SIGNAL = Signal(classes=27)
ON_A_WATCH = (
    nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.ReLU, nn.Dropout,
)  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_shapes(name: str) -> None:
    signal = Signal(classes=5, samples=64, frames=24, embedding=16)
    options: dict[str, object] = {"image_size": 32} if name.startswith("gaf") else {}
    model = build(name, signal, **options).eval()
    output = model(*example_inputs(model, signal, batch=3))
    assert output.logits.shape == (3, 5)
    assert output.embedding.shape == (3, 16)
    assert output.features.shape[:2] == (3, model.feature_channels)
    assert output.features.ndim == 3


@pytest.mark.parametrize("name", MODELS)
def test_a_clip_does_not_depend_on_its_batch(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, SIGNAL).eval()
    batch = tuple(torch.randn_like(x) for x in example_inputs(model, SIGNAL, batch=3))
    together = model(*batch).logits[1]
    alone = model(*(x[1:2] for x in batch)).logits[0]
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["temporal_cnn", "gaf_cnn"])
def test_students_fit_a_watch(name: str) -> None:
    model = build(name, SIGNAL)
    assert count_parameters(model) <= 50_000
    assert count_macs(model, SIGNAL) > 0
    leaves = [m for m in model.modules() if not list(m.children())]
    allowed = (*ON_A_WATCH, *(type(m) for m in leaves if not list(m.parameters())))
    assert all(isinstance(m, allowed) for m in leaves)
    assert not any(isinstance(m, nn.RNNBase) for m in leaves)


def test_the_default_student_needs_at_most_five_million_macs() -> None:
    assert count_macs(build("temporal_cnn", SIGNAL), SIGNAL) <= 5_000_000


def test_macs_by_hand() -> None:
    signal = Signal(classes=3, samples=32, embedding=4)
    options = {"widths": [8], "strides": [2], "stem": 6, "kernel": 5}
    model = build("temporal_cnn", signal, **options)
    stem = 32 * 6 * 3 * 5
    separable = 16 * 6 * 5 + 16 * 6 * 8
    head = 16 * 4 + 4 * 3
    assert count_macs(model, signal) == stem + separable + head


def test_streams_are_joints_bones_and_their_motion() -> None:
    parents = torch.tensor([0, 0, 1])  # a chain of three joints
    joints = torch.zeros(1, 2, 3, 1)
    joints[0, 0, :, 0] = torch.tensor([1.0, 3.0, 7.0])
    joints[0, 1, :, 0] = torch.tensor([1.0, 4.0, 9.0])
    found = streams(joints, parents)
    assert found[0, 0].tolist() == [[1, 0, 0, 0], [3, 2, 0, 0], [7, 4, 0, 0]]
    motion = FRAME_DIFFERENCES * torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 1.0]])
    torch.testing.assert_close(found[0, 1, :, 2:], motion)


def test_adjacency_mixes_along_bones_only_and_keeps_the_mean() -> None:
    itself, near, everything = adjacency(KINECT_V1)
    assert torch.equal(itself, torch.eye(20))
    torch.testing.assert_close(near.sum(1), torch.ones(20))
    torch.testing.assert_close(everything.sum(1), torch.ones(20))
    wrist, elbow, hand = (KINECT_V1.index(f"right_{j}") for j in ("wrist", "elbow", "hand"))
    assert near[wrist].nonzero().flatten().tolist() == sorted([wrist, elbow, hand])


def test_a_fused_model_uses_both_modalities() -> None:
    torch.manual_seed(0)
    model = build("fused", SIGNAL).eval()
    wrist, body = (torch.randn_like(x) for x in example_inputs(model, SIGNAL))
    here = model(wrist, body).logits
    assert not torch.allclose(here, model(wrist + 1, body).logits)
    assert not torch.allclose(here, model(wrist, body.roll(3, 2)).logits)


@pytest.mark.parametrize("name", ["skeleton_gcn", "fused"])
def test_a_teacher_may_see_some_joints_alone(name: str) -> None:
    torch.manual_seed(0)
    forearm = {"joints": ["right_elbow", "right_wrist", "right_hand"]}
    model = build(name, SIGNAL, **({"skeleton": forearm} if name == "fused" else forearm)).eval()
    *wrist, body = (torch.randn_like(x) for x in example_inputs(model, SIGNAL))
    other = body.clone()
    seen = [KINECT_V1.index(joint) for joint in forearm["joints"]]
    other[:, :, seen] += 1
    assert not torch.allclose(model(*wrist, body).logits, model(*wrist, other).logits)
    other = body + 1
    other[:, :, seen] = body[:, :, seen]
    assert torch.equal(model(*wrist, body).logits, model(*wrist, other).logits)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("temporal_cn", {}, "'temporal_cnn'"),
        ("temporal_cnn", {"widthss": [8]}, "'widths'"),
        ("temporal_cnn", {"widths": [8, 8], "strides": [1]}, "temporal_cnn"),
        ("temporal_cnn", {"widths": [-8], "strides": [1]}, "temporal_cnn"),
        ("temporal_cnn", {"widths": [], "strides": []}, "temporal_cnn"),
        ("skeleton_gcn", {"graph": [[8]]}, "skeleton_gcn"),
        ("skeleton_gcn", {"joints": []}, "joints is empty"),
        ("skeleton_gcn", {"joints": ["right_elbo"]}, "'right_elbow'"),
        ("fused", {"skeleton": {"joints": ["wrist"]}}, "no joint 'wrist'"),
    ],
)
def test_a_model_that_cannot_be_built_says_why(
    name: str, options: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        build(name, SIGNAL, **options)
