"""The GAF students: sizes, shapes, the encoding inside, learning."""

import pytest
import torch
from torch.nn import functional

from pskd.errors import UsageError
from pskd.models import Signal, build
from pskd.models.gaf import GafCNN, GafResNet18
from pskd.signal.gaf import gramian_angular_field


def windows(count: int = 2, samples: int = 64) -> torch.Tensor:
    return torch.randn(count, 3, samples, generator=torch.Generator().manual_seed(0))


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_resnet_has_the_parameters_of_torchvision() -> None:
    model = GafResNet18(Signal(classes=27, embedding=300))
    last = 512 * 1000 + 1000
    assert parameters(model.stem) + parameters(model.blocks) == 11_689_512 - last
    assert parameters(model) == 11_689_512 - last + (512 * 300 + 300) + (300 * 27 + 27)


def test_resnet_has_the_shapes_of_torchvision() -> None:
    """Output of each stage for 224 x 224 pixels, table 1 of He et al. (2016)."""
    model = GafResNet18(Signal(classes=27, samples=224), image_size=224).eval()
    with torch.no_grad():
        x = model.stem(model.images(windows(1, 224)))
        assert x.shape == (1, 64, 56, 56)
        for stage, (channels, size) in enumerate([(64, 56), (128, 28), (256, 14), (512, 7)]):
            x = model.blocks[2 * stage : 2 * stage + 2](x)
            assert x.shape == (1, channels, size, size)


@pytest.mark.parametrize("method", ["summation", "difference", "both"])
def test_small_cnn_is_small(method: str) -> None:
    assert parameters(GafCNN(Signal(classes=27, embedding=64), method=method)) <= 50_000


@pytest.mark.parametrize("name", ["gaf_resnet18", "gaf_cnn"])
@pytest.mark.parametrize("method", ["summation", "both"])
def test_output_shapes(name: str, method: str) -> None:
    signal = Signal(classes=5, samples=64, embedding=16)
    model = build(name, signal, image_size=48, method=method).eval()
    assert model.inputs == ("acceleration",)
    output = model(windows(3))
    assert output.logits.shape == (3, 5)
    assert output.embedding.shape == (3, 16)
    assert output.features.shape[:2] == (3, model.feature_channels)
    assert output.features.shape[2] == {"gaf_resnet18": 2, "gaf_cnn": 6}[name]


def test_images_stack_axes_then_methods() -> None:
    x = windows()
    images = GafCNN(Signal(classes=5, samples=64), image_size=32, method="both").images(x)
    assert images.shape == (2, 6, 32, 32)
    assert torch.equal(images[:, 1], gramian_angular_field(x[:, 1], 32, "summation"))
    assert torch.equal(images[:, 5], gramian_angular_field(x[:, 2], 32, "difference"))


@pytest.mark.parametrize("name", ["gaf_resnet18", "gaf_cnn"])
def test_takes_raw_windows_whatever_their_gain(name: str) -> None:
    """Each axis is scaled to its own range, so gain and offset of an axis do not matter."""
    torch.manual_seed(0)
    model = build(name, Signal(classes=5, samples=64), image_size=32).eval()
    x = windows()
    moved = x * torch.tensor([0.5, 2.0, 4.0])[:, None] + torch.tensor([1.0, -1.0, 0.0])[:, None]
    assert torch.allclose(model(x).logits, model(moved).logits, atol=1e-4)


def test_columns_of_the_features_are_time() -> None:
    """A change early in the window moves its early features, where the rows are averaged."""
    torch.manual_seed(0)
    model = GafCNN(Signal(classes=5, samples=96)).eval()
    x = torch.linspace(0, 12, 96).sin().expand(1, 3, 96).clone()
    x[:, :, 0], x[:, :, -1] = -2, 2  # extremes that stay, so that the scale does
    changed = x.clone()
    changed[:, :, 4:12] += 0.5
    moved = (model(changed).features - model(x).features).abs().mean((0, 1))
    assert moved.argmax() <= 1


@pytest.mark.parametrize("name", ["gaf_resnet18", "gaf_cnn"])
def test_learns_and_its_gradients_reach_the_windows(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, Signal(classes=2, samples=32), image_size=32, dropout=0.0)
    time = torch.linspace(0, 1, 32)
    speeds = torch.tensor([3.0, 3.2, 3.4, 3.6, 9.0, 9.2, 9.4, 9.6])
    x = (6.28 * speeds[:, None, None] * time + torch.arange(3.0)[:, None]).sin().requires_grad_()
    labels = torch.tensor([0] * 4 + [1] * 4)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(8):
        optimizer.zero_grad()
        functional.cross_entropy(model(x).logits, labels).backward()
        optimizer.step()
    assert torch.equal(model(x).logits.argmax(1), labels)
    assert x.grad is not None and torch.isfinite(x.grad).all() and x.grad.abs().sum() > 0


def test_a_flat_axis_gives_finite_output_and_gradient() -> None:
    model = GafCNN(Signal(classes=5, samples=64), image_size=32)
    x = windows()
    x[:, 1] = 0.3
    x.requires_grad_()
    output = model(x)
    output.logits.sum().backward()
    assert torch.isfinite(output.logits).all()
    assert x.grad is not None and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("name", ["gaf_resnet18", "gaf_cnn"])
def test_exports_with_its_encoding_and_static_shapes(name: str) -> None:
    model = build(name, Signal(classes=5, samples=64), image_size=48).eval()
    x = windows(1)
    exported = torch.export.export(model, (x,)).module()
    assert torch.allclose(exported(x)[0], model(x).logits, atol=1e-5)


@pytest.mark.parametrize("name", ["gaf_resnet18", "gaf_cnn"])
def test_refuses_wrong_options(name: str) -> None:
    with pytest.raises(UsageError, match=r"Set image_size to at most 128"):
        build(name, Signal(classes=5, samples=128), image_size=224)
    with pytest.raises(UsageError, match="Did you mean 'both'"):
        build(name, Signal(classes=5), method="bothe")
