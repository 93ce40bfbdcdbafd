"""Batch-norm statistics that follow a wearer."""

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pskd.errors import UsageError
from pskd.models import Model, Signal, build
from pskd.models.adapt import adapt

WINDOWS = torch.randn((12, 3, 32), generator=torch.Generator().manual_seed(1)) * 0.4 + 0.3


@pytest.fixture
def student() -> Model:
    torch.manual_seed(0)
    model = build("temporal_cnn", Signal(classes=5, samples=32), widths=[8, 8], strides=[2, 1])
    for _ in range(20):  # statistics of training
        model(torch.randn(16, 3, 32))
    return model.eval()


def norms(model: nn.Module) -> Iterator[nn.BatchNorm2d]:
    return (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))


def logits(model: Model, windows: Tensor = WINDOWS) -> Tensor:
    with torch.inference_mode():
        return model(windows).logits


def test_without_a_prior_it_normalises_as_training_would(student: Model) -> None:
    training = deepcopy(student).train()
    for layer in training.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()
    adapted = adapt(student, WINDOWS, prior=0)
    torch.testing.assert_close(logits(adapted), logits(training), atol=1e-5, rtol=1e-4)
    assert (logits(adapted) - logits(student)).abs().max() > 0.01


def test_a_gain_of_the_sensor_is_taken_out(student: Model) -> None:
    plain, loud = adapt(student, WINDOWS, prior=0), adapt(student, 3 * WINDOWS, prior=0)
    torch.testing.assert_close(logits(plain), logits(loud, 3 * WINDOWS), atol=1e-3, rtol=1e-3)


def test_the_first_layer_has_the_statistics_of_the_mixture(student: Model) -> None:
    before, after = (next(norms(m)) for m in (student, adapt(student, WINDOWS, prior=4)))
    with torch.inference_mode():
        x = student.encoder.stem[0](WINDOWS.unflatten(2, (1, -1))).numpy()  # type: ignore[union-attr,index]
    own = x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1).astype(np.float64)
    mean, variance = before.running_mean.double().numpy(), before.running_var.double().numpy()
    share = 12 / 16
    expected = share * own.mean(1) + (1 - share) * mean
    second = share * (own**2).mean(1) + (1 - share) * (variance + mean**2)
    np.testing.assert_allclose(after.running_mean.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(after.running_var.numpy(), second - expected**2, atol=1e-5)


def test_a_strong_prior_leaves_it_as_it_was_and_the_student_is_never_touched(
    student: Model,
) -> None:
    before = deepcopy(student.state_dict())
    adapted = adapt(student, WINDOWS, prior=1e9)
    torch.testing.assert_close(logits(adapted), logits(student), atol=1e-4, rtol=1e-4)
    adapt(student, WINDOWS)
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any(layer._forward_pre_hooks for layer in adapted.modules())
    trained = dict(adapt(student, WINDOWS).named_parameters())
    assert all(torch.equal(p, before[name]) for name, p in trained.items())


def test_of_very_many_windows_as_many_are_used_as_fit(
    student: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pskd.models.adapt.MOST", 4)
    few = adapt(student, WINDOWS[[0, 4, 7, 11]], prior=4 * 5 / 12)  # of the same share
    many = adapt(student, WINDOWS, prior=5)
    torch.testing.assert_close(logits(few), logits(many))


def test_what_it_cannot_adapt_to_is_named(student: Model) -> None:
    with pytest.raises(UsageError, match="no window"):
        adapt(student, WINDOWS[:0])
    with pytest.raises(UsageError, match="prior of -1 windows"):
        adapt(student, WINDOWS, prior=-1)
    transformer = build("xtinyhar", Signal(classes=5, samples=32))
    with pytest.raises(UsageError, match=r"no batch norm.*temporal_cnn"):
        adapt(transformer, WINDOWS)
