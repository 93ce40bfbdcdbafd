"""Outside networks are what their papers say: sizes, what sees what, attention by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pskd.errors import UsageError
from pskd.models import Model, Signal, build, count_macs, count_parameters
from pskd.recipe import load_recipe

NAMES = ("deepconvlstm", "tinyhar", "xtinyhar")
SIGNAL = Signal(classes=27)
SHALLOW = {"layers": 1, "batch_norm": True, "readout": "mean"}  # as the recipe has it
NETWORKS = pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in NAMES), ("deepconvlstm", SHALLOW)]
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def switched_on(name: str, **options: object) -> Model:
    """A model whose every part matters: TinyHAR's attention starts at zero."""
    model = build(name, SIGNAL, **options)
    for key, parameter in model.named_parameters():
        if key.endswith("gamma"):
            nn.init.constant_(parameter, 0.7)
    return model


def without_our_embedding(model: Model, classes: int) -> int:
    """Parameters if the classifier followed the network itself, as in the papers."""
    embedding, classifier = model.embedding, model.classifier
    assert isinstance(embedding, nn.Linear) and isinstance(classifier, nn.Linear)
    ours = sum(p.numel() for layer in (embedding, classifier) for p in layer.parameters())
    return count_parameters(model) - ours + (embedding.in_features + 1) * classes


def lstm_parameters(width: int, units: int) -> int:
    return 4 * units * (width + units + 2)  # PyTorch has two biases a gate


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "signal", "parameters"),
    [
        ("tinyhar", {"filters": 20}, Signal(classes=12, channels=18), 37_274),  # for PAMAP2
        ("tinyhar", {}, SIGNAL, 49_673),
        ("xtinyhar", {}, SIGNAL, 277_531),
        (
            "deepconvlstm",
            {},
            SIGNAL,
            64 * (5 + 1)
            + 3 * 64 * (64 * 5 + 1)
            + lstm_parameters(64 * 3, 128)
            + lstm_parameters(128, 128)
            + 27 * 129,
        ),
    ],
)
def test_parameters_are_those_of_the_paper_and_of_the_preparation(
    name: str, options: dict[str, object], signal: Signal, parameters: int
) -> None:
    assert without_our_embedding(build(name, signal, **options), signal.classes) == parameters


def test_parameters_with_our_embedding() -> None:
    counts = {name: count_parameters(build(name, SIGNAL)) for name in NAMES}
    assert counts == {"deepconvlstm": 368_987, "tinyhar": 53_537, "xtinyhar": 284_059}


def test_the_recipe_of_deepconvlstm_is_the_one_that_is_tested() -> None:
    (student,) = load_recipe("deepconvlstm").chain
    assert (student.model.name, student.model.options) == ("deepconvlstm", SHALLOW)


def test_macs_count_the_lstm() -> None:
    convolutions = 3 * 64 * 5 * (124 + 64 * (120 + 116 + 112))
    lstm = 112 * 4 * 128 * (192 + 128 + 128 + 128)
    expected = convolutions + lstm + 128 * 64 + 64 * 27
    assert count_macs(build("deepconvlstm", SIGNAL), SIGNAL) == expected


@pytest.mark.parametrize(
    ("name", "samples", "features"),
    [
        ("deepconvlstm", 128, (128, 112)),
        ("deepconvlstm", 64, (128, 48)),
        ("tinyhar", 128, (56, 5)),
        ("tinyhar", 64, (56, 1)),
        ("xtinyhar", 128, (128, 6)),
        ("xtinyhar", 40, (128, 2)),
    ],
)
def test_shapes(name: str, samples: int, features: tuple[int, int]) -> None:
    signal = Signal(classes=5, samples=samples, embedding=16)
    model = build(name, signal)
    output = model(torch.randn(2, 3, samples))
    assert [x.shape for x in output] == [(2, 5), (2, 16), (2, *features)]
    assert model.feature_channels == features[0]


@pytest.mark.parametrize(
    ("name", "options", "samples"),
    [
        ("deepconvlstm", {}, 16),
        ("tinyhar", {}, 60),
        ("xtinyhar", {}, 19),
        ("xtinyhar", {"patch": 0}, 128),
    ],
)
def test_windows_that_are_too_short(name: str, options: dict[str, object], samples: int) -> None:
    with pytest.raises(UsageError, match=f"{name}.*{samples} samples"):
        build(name, Signal(classes=5, samples=samples), **options)


# --- training -----------------------------------------------------------------------------------


@NETWORKS
def test_a_clip_does_not_depend_on_its_batch(name: str, options: dict[str, object]) -> None:
    model = switched_on(name, **options).eval()
    clips = torch.randn(5, 3, 128)
    together = model(clips)
    for i in range(5):
        for part, alone in zip(together, model(clips[i : i + 1]), strict=True):
            torch.testing.assert_close(part[i], alone[0], rtol=1e-5, atol=1e-5)


@NETWORKS
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_two_clips_are_enough_to_train_also_without_movement(
    name: str, options: dict[str, object], spread: float
) -> None:
    model = switched_on(name, **options)
    output = model(1 + spread * torch.randn(2, 3, 128))
    (output.logits.logsumexp(1).sum() + output.features.square().mean()).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@NETWORKS
def test_gradient_reaches_every_parameter(name: str, options: dict[str, object]) -> None:
    model = switched_on(name, **options).eval()
    model.train(name != "deepconvlstm")  # its dropout takes half of everything
    model(torch.randn(8, 3, 128)).logits.square().sum().backward()
    silent = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_attention_that_starts_at_zero_is_switched_on_by_training() -> None:
    model = build("tinyhar", SIGNAL)
    model(torch.randn(8, 3, 128)).logits.square().sum().backward()
    gammas = [p for k, p in model.named_parameters() if k.endswith("gamma")]
    assert [p.item() for p in gammas] == [0, 0]
    assert all(p.grad is not None and p.grad.any() for p in gammas)


@NETWORKS
def test_the_same_seed_trains_the_same_network(
    name: str, options: dict[str, object], deterministic: None
) -> None:
    def trained() -> list[Tensor]:
        torch.manual_seed(3)
        model = build(name, SIGNAL, **options)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(2, 3, 128)).logits.square().sum().backward()
            optimizer.step()
        return list(model.parameters())

    assert all(torch.equal(a, b) for a, b in zip(trained(), trained(), strict=True))


# --- what sees what -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deepconvlstm", "tinyhar"])
def test_convolutions_see_one_axis_and_are_the_same_for_all(name: str) -> None:
    convolutions = build(name, SIGNAL).convolutions.eval()
    window = torch.randn(1, 1, 3, 128)
    maps = convolutions(window)
    assert maps.shape[2] == 3
    changed = window.clone()
    changed[:, :, 1] += 1
    assert (convolutions(changed) != maps).any(-1).any(1).tolist() == [[False, True, False]]
    torch.testing.assert_close(convolutions(window[:, :, [2, 0, 1]]), maps[:, :, [2, 0, 1]])


@pytest.mark.parametrize(("name", "span", "stride"), [("deepconvlstm", 17, 1), ("tinyhar", 61, 16)])
def test_receptive_field(name: str, span: int, stride: int) -> None:
    convolutions = build(name, SIGNAL).convolutions.eval()
    window = torch.randn(1, 1, 3, 128, requires_grad=True)
    maps = convolutions(window)
    step = maps.shape[-1] // 2
    (gradient,) = torch.autograd.grad(maps[..., step].sum(), window)
    seen = gradient[0, 0, 0].nonzero().flatten().tolist()
    assert seen == list(range(step * stride, step * stride + span))


def test_deepconvlstm_decides_at_the_last_step_and_looks_back_only() -> None:
    model = build("deepconvlstm", SIGNAL).eval()
    window = torch.randn(1, 3, 128)
    output = model(window)
    torch.testing.assert_close(model.embedding(output.features[..., -1]), output.embedding)
    later = window.clone()
    later[..., 80:] = 0  # the first step that sees it is 80 - 16
    changed = (model(later).features != output.features).any(1)[0]
    assert changed.nonzero().flatten().tolist() == list(range(64, 112))


def test_deepconvlstm_may_read_the_mean_over_time_of_the_same_network() -> None:
    last, mean = (build("deepconvlstm", SIGNAL, readout=r).eval() for r in ("last", "mean"))
    mean.load_state_dict(last.state_dict())
    window = torch.randn(2, 3, 128)
    features, output = last(window).features, mean(window)
    torch.testing.assert_close(output.features, features)
    by_hand = torch.stack(features.unbind(2)).sum(0) / 112
    torch.testing.assert_close(output.embedding, mean.embedding(by_hand))


def test_deepconvlstm_normalises_after_each_convolution_if_it_is_told_to() -> None:
    model = build("deepconvlstm", SIGNAL, batch_norm=True, layers=1, dropout=0.0)
    maps = model.convolutions(torch.randn(8, 1, 3, 128))
    torch.testing.assert_close(maps.mean((0, 2, 3)), torch.zeros(64), rtol=0, atol=1e-5)
    torch.testing.assert_close(maps.var((0, 2, 3), correction=0), torch.ones(64), rtol=0, atol=1e-2)
    assert [type(layer) for layer in model.convolutions] == 4 * [
        nn.Conv2d,
        nn.ReLU,
        nn.BatchNorm2d,
    ]
    convolutions = 64 * (5 + 1) + 3 * 64 * (64 * 5 + 1) + 4 * 2 * 64
    assert without_our_embedding(model, 27) == convolutions + lstm_parameters(192, 128) + 27 * 129


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"readout": "max"}, "readout is 'max', neither last nor mean"),
        ({"layers": 0}, "layers is 0, not at least 1"),
    ],
)
def test_deepconvlstm_refuses(option: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build("deepconvlstm", SIGNAL, **option)


def test_deepconvlstm_starts_orthogonal() -> None:
    for name, weight in build("deepconvlstm", SIGNAL).named_parameters():
        if "bias" in name:
            assert not weight.any()
            continue
        for gate in weight.detach().flatten(1).double().chunk(4 if "lstm" in name else 1):
            short = gate if len(gate) <= gate.shape[1] else gate.T
            torch.testing.assert_close(
                short @ short.T, torch.eye(len(short)).double(), rtol=0, atol=1e-5
            )


# --- attention, by hand -------------------------------------------------------------------------


def weights_of(layer: nn.Module) -> list[np.ndarray]:
    return [p.detach().double().numpy() for p in layer.parameters()]


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(v - max(values)) for v in values]
    return [p / sum(powers) for p in powers]


def test_tinyhar_axes_look_at_one_another_at_their_time_step() -> None:
    layer = switched_on("tinyhar").axes.double()
    x = torch.randn(2, 4, 3, 28).double()  # clips, time steps, axes, filters
    found = layer(x).detach().numpy()
    query, key, value = (weights_of(part)[0] for part in (layer.query, layer.key, layer.value))
    for axes, outcome in zip(x.flatten(0, 1).numpy(), found.reshape(-1, 3, 28), strict=True):
        for i in range(3):
            scores = [(query @ axes[i]) @ (key @ axes[j]) / math.sqrt(28) for j in range(3)]
            mean = sum(w * (value @ axes[j]) for j, w in enumerate(softmax(scores)))
            np.testing.assert_allclose(outcome[i], axes[i] + 0.7 * mean, atol=1e-6)


def test_tinyhar_adds_a_weighted_mean_to_the_last_step() -> None:
    layer = switched_on("tinyhar").time.double()
    steps = torch.randn(2, 5, 56).double()
    found = layer(steps).detach().numpy()
    (hidden, bias), (score,) = weights_of(layer.hidden), weights_of(layer.score)
    for clip, outcome in zip(steps.numpy(), found, strict=True):
        weights = softmax([(score @ np.tanh(hidden @ step + bias)).item() for step in clip])
        mean = sum(w * step for w, step in zip(weights, clip, strict=True))
        np.testing.assert_allclose(outcome, clip[-1] + 0.7 * mean, atol=1e-6)


def test_an_encoder_layer_of_xtinyhar_is_pytorchs() -> None:
    ours = build("xtinyhar", SIGNAL).layers[0].eval()
    theirs = nn.TransformerEncoderLayer(
        128, 4, 256, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    norm, first, second = (ours.feed_forward[i] for i in (0, 1, 4))
    pairs = [
        (theirs.norm1, ours.attention_norm),
        (theirs.self_attn.out_proj, ours.attention.mix),
        (theirs.norm2, norm),
        (theirs.linear1, first),
        (theirs.linear2, second),
    ]
    for copy, original in pairs:
        copy.load_state_dict(original.state_dict())
    theirs.self_attn.in_proj_weight.data = ours.attention.project.weight.data
    theirs.self_attn.in_proj_bias.data = ours.attention.project.bias.data
    tokens = torch.randn(2, 7, 128)
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens), rtol=1e-5, atol=1e-5)


def test_xtinyhar_knows_the_order_of_patches_by_their_positions_alone() -> None:
    model = build("xtinyhar", SIGNAL).eval()
    window = torch.randn(1, 3, 128)
    swapped = window.clone()
    swapped[..., 20:40], swapped[..., 80:100] = window[..., 80:100], window[..., 20:40]
    assert not torch.allclose(model(window).logits, model(swapped).logits)
    nn.init.zeros_(model.positions)
    torch.testing.assert_close(model(window).logits, model(swapped).logits)


def test_xtinyhar_drops_what_is_no_whole_patch() -> None:
    model = build("xtinyhar", SIGNAL).eval()
    window = torch.randn(1, 3, 128)
    cut = window.clone()
    cut[..., 120:] = 0
    assert torch.equal(model(window).logits, model(cut).logits)
    cut[..., 119] = 0
    assert not torch.equal(model(window).logits, model(cut).logits)
