"""Simulated int8: its numbers, its gradients, where it rounds, and that training learns from it."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.errors import UsageError
from pskd.models import Model, Output, Signal, build
from pskd.models.layers import SeparableConv
from pskd.models.sensor import TemporalCNN
from pskd.train import quantised
from pskd.train.quantised import Int8, fold, round_activation, round_weight

SMALL = {"widths": (12, 12), "strides": (2, 1), "stem": 8, "kernel": 5}
SIGNAL = Signal(classes=4, samples=64, embedding=8)


def make(name: str = "temporal_cnn", **options: object) -> Model:
    """A model whose normalisations have statistics other than 0 and 1."""
    torch.manual_seed(0)
    model = build(name, SIGNAL, **options)
    with torch.no_grad():
        for _ in range(5):
            model.train()(waves(8, seed=1)[0])
    return model.eval()


def waves(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Windows of four movements, told apart by how fast they are: [n, 3, 64], [n]."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    phase = torch.rand(n, 3, 1, generator=draw) * 6.3
    speed = (labels + 1).view(-1, 1, 1) * 0.15
    clean = torch.sin(phase + speed * torch.arange(64))
    return clean + 0.5 * torch.randn(n, 3, 64, generator=draw), labels


def test_weights_are_rounded_as_numpy_rounds_them_a_scale_an_output_channel() -> None:
    weight = np.random.default_rng(0).normal(0, [[[0.01]], [[1.0]], [[30.0]]], (3, 4, 5))
    weight[1] = 0
    scale = np.abs(weight).max((1, 2), keepdims=True) / 127
    scale[1] = 1
    expected = np.clip(np.round(weight / scale), -127, 127) * scale
    got = round_weight(torch.from_numpy(weight).float())
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("low", "high"), [(-1.5, 4.0), (0.3, 2.0), (-3.0, -1.0)])
def test_activations_are_rounded_as_numpy_rounds_them_and_cut_off(low: float, high: float) -> None:
    x = np.random.default_rng(0).uniform(-5, 5, 1000).astype(np.float32)
    x[0] = 0
    bottom, top = min(low, 0), max(high, 0)
    scale = (top - bottom) / 255
    zero = np.round(-bottom / scale)
    expected = (np.clip(np.round(x / scale) + zero, 0, 255) - zero) * scale
    got = round_activation(torch.from_numpy(x), torch.tensor(low), torch.tensor(high))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    assert got[0] == 0 and len(np.unique(got)) <= 256


def test_gradients_go_straight_through_but_not_from_beyond_the_range() -> None:
    x = torch.tensor([-2.0, -0.7, 0.0, 0.31, 0.99, 1.5], requires_grad=True)
    (
        round_activation(x, torch.tensor(-1.0), torch.tensor(1.0)) * torch.arange(1.0, 7)
    ).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0, 2, 3, 4, 5, 0]
    weight = torch.randn(3, 4, requires_grad=True)
    round_weight(weight).sum().backward()
    assert weight.grad is not None and torch.equal(weight.grad, torch.ones(3, 4))


@pytest.mark.parametrize("bias", [False, True])
def test_a_folded_normalisation_computes_the_same(bias: bool) -> None:
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(4, 6, (1, 3), groups=2, bias=bias), nn.BatchNorm2d(6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean, norm.running_var = torch.randn(6), torch.rand(6) + 0.1
    x = torch.randn(5, 4, 1, 20)
    folded = functional.conv2d(x, *fold(convolution, norm), groups=2)
    torch.testing.assert_close(folded, norm.eval()(convolution(x)))


@torch.no_grad()
def test_every_value_is_rounded_where_an_export_rounds_it() -> None:
    model = make(**SMALL)
    x = waves(8, seed=2)[0]

    def q(value: Tensor) -> Tensor:
        return round_activation(value, value.min(), value.max())

    def conv(x: Tensor, layer: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
        weight, bias = fold(layer, norm)
        return functional.conv2d(
            x, round_weight(weight), bias, layer.stride, layer.padding, groups=layer.groups
        )

    assert isinstance(model, TemporalCNN)
    stem, head = model.encoder.stem, model.head
    y = q(functional.relu(conv(q(x).unsqueeze(2), stem[0], stem[1])))
    for block in model.encoder.blocks:
        assert isinstance(block, SeparableConv)
        z = q(conv(y, block.depthwise, block.depthwise_norm))
        z = conv(z, block.pointwise, block.norm)
        y = q(functional.relu(y + q(z) if block.residual else z))
    assert model.encoder.blocks[1].residual, "both ways are taken"
    y = y.squeeze(2)
    pooled = q(torch.cat([q(y.mean(-1)), q(y.amax(-1))], 1))
    embedding = q(
        functional.linear(pooled, round_weight(head.embedding.weight), head.embedding.bias)
    )
    rounded = round_weight(head.classifier.weight)
    logits = q(functional.linear(embedding, rounded, head.classifier.bias))

    with torch.no_grad():
        got = Int8(model)(model, x, observe=True)
    for mine, theirs in zip((logits, embedding, y), got, strict=True):
        torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(got.logits, model(x).logits, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [("temporal_cnn", SMALL), ("gaf_cnn", {"image_size": 16}), ("tinyhar", {"filters": 4})],
)  # fmt: skip
def test_without_rounding_every_model_computes_what_it_does_in_float(
    name: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(name, **options)
    x = waves(4, seed=3)[0]
    monkeypatch.setattr(quantised, "round_weight", lambda weight: weight)
    monkeypatch.setattr(quantised, "round_activation", lambda value, low, high: value)
    with torch.no_grad():
        got = Int8(model)(model, x, observe=True)
        for mine, theirs in zip(model(x), got, strict=True):
            torch.testing.assert_close(theirs, mine, rtol=1e-3, atol=1e-4)


def test_images_are_made_in_float_and_rounded_then() -> None:
    int8 = Int8(make("gaf_cnn", image_size=16))
    assert "images" in int8.places and "acceleration" not in int8.places


def test_ranges_follow_the_extremes_and_hold() -> None:
    model, x = make(**SMALL), waves(8, seed=4)[0]
    int8 = Int8(model)
    assert not list(int8.parameters()) and set(int8.state_dict()) == {"ranges", "seen"}
    with torch.no_grad():
        int8(model, x, observe=True)
        assert int8.ranges[0].tolist() == [float(x.min()), float(x.max())]
        int8(model, 3 * x, observe=True)
        assert int8.ranges[0].tolist() == pytest.approx([2 * float(x.min()), 2 * float(x.max())])
        held = int8.ranges.clone()
        int8(model, 9 * x, observe=False)
    assert torch.equal(int8.ranges, held)


def test_training_leaves_the_statistics_of_normalisations_as_they_are() -> None:
    model = make(**SMALL)
    before = {name: value.clone() for name, value in model.named_buffers()}
    Int8(model)(model.train(), waves(8, seed=5)[0], observe=True).logits.sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert all(p.grad is not None for p in model.parameters())


def test_models_that_cannot_be_quantised_are_refused() -> None:
    class Undecided(TemporalCNN):
        def forward(self, acceleration: Tensor) -> Output:
            return super().forward(acceleration if acceleration.sum() > 0 else -acceleration)

    with pytest.raises(UsageError, match="no convolution to quantise"):
        Int8(make("xtinyhar"))
    with pytest.raises(UsageError, match="cannot be quantised"):
        Int8(Undecided(SIGNAL, **SMALL))


def test_training_in_int8_wins_back_what_rounding_loses() -> None:
    """A student of the same function whose channels differ in size by far: int8 cannot hold it."""
    model, (x, labels), (unseen, true) = make(**SMALL), waves(256, seed=6), waves(256, seed=7)
    int8 = Int8(model)

    def train(rate: float, steps: int, rounded: bool) -> None:
        optimizer = torch.optim.AdamW(model.parameters(), rate)
        for step in range(steps):
            model.train()
            batch = torch.arange(32) + 32 * step % 256
            signal = x[batch]
            output = int8(model, signal, observe=True) if rounded else model(signal)
            optimizer.zero_grad()
            functional.cross_entropy(output.logits, labels[batch]).backward()
            optimizer.step()
        model.eval()

    @torch.no_grad()
    def accuracy(rounded: bool) -> float:
        output = int8(model, unseen, observe=False) if rounded else model(unseen)
        return float((output.logits.argmax(1) == true).float().mean())

    train(1e-2, 80, rounded=False)
    with torch.no_grad():
        draw = torch.Generator().manual_seed(0)
        for block in model.modules():
            if isinstance(block, SeparableConv):
                size = torch.exp(2 * torch.randn(len(block.depthwise.weight), generator=draw))
                block.depthwise_norm.weight *= size
                block.depthwise_norm.bias *= size
                block.pointwise.weight /= size.view(1, -1, 1, 1)
        int8(model, x, observe=True)
    as_float, lost = accuracy(rounded=False), accuracy(rounded=True)
    train(1e-3, 80, rounded=True)
    assert lost < as_float - 0.1
    assert accuracy(rounded=True) > as_float - 0.02
