"""GASF and GADF against pyts, and what must hold of any of them."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch

from pskd.errors import UsageError
from pskd.signal.gaf import METHODS, gramian_angular_field, piecewise_aggregate

ByPyts = Callable[[torch.Tensor, int, str], np.ndarray]


def series(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def by_pyts() -> Iterator[ByPyts]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_DISABLE_JIT", "1")  # else importing pyts compiles for half a minute
        from pyts.image import GramianAngularField

        def fields(x: torch.Tensor, image_size: int, method: str) -> np.ndarray:
            flat = x.reshape(-1, x.shape[-1]).numpy()
            images = GramianAngularField(image_size, method=method).transform(flat)
            return images.reshape(*x.shape[:-1], image_size, image_size)

        yield fields


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("samples", "size"), [(2, 2), (7, 3), (100, 1), (128, 96), (128, 64), (150, 149), (300, 224)]
)
def test_equals_pyts(by_pyts: ByPyts, samples: int, size: int, method: str) -> None:
    x = series(4, 3, samples)
    expected = by_pyts(x, size, method)
    # pyts takes sqrt(1 - cos^2), which is right to sqrt(1e-16) only where the sine is near 0.
    assert np.abs(gramian_angular_field(x, size, method).numpy() - expected).max() < 1e-7
    single = gramian_angular_field(x.float(), size, method)
    assert single.dtype == torch.float32
    # A mean rounded to float32 next to an extreme moves its sine by up to sqrt(1e-7).
    assert np.abs(single.numpy() - expected).max() < 5e-4


@pytest.mark.parametrize("method", METHODS)
def test_without_averaging_single_precision_equals_pyts_closely(
    by_pyts: ByPyts, method: str
) -> None:
    x = series(8, 128).float()
    expected = by_pyts(x, 128, method)
    assert np.abs(gramian_angular_field(x, method=method).numpy() - expected).max() < 2e-6


@pytest.mark.parametrize("method", METHODS)
def test_constant_series_as_in_pyts_and_without_nan(by_pyts: ByPyts, method: str) -> None:
    x = torch.full((2, 16), 0.7, requires_grad=True)
    field = gramian_angular_field(x, 8, method)
    assert torch.equal(field, torch.full_like(field, 1.0 if method == "summation" else 0.0))
    assert np.array_equal(field.detach().numpy(), by_pyts(x.detach(), 8, method))
    field.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, torch.zeros_like(x))


def test_windows_are_those_of_numpy_linspace() -> None:
    for samples in range(2, 60):
        for size in range(1, samples + 1):
            bounds = np.linspace(0, samples, size + 1).astype(np.int64)
            x = torch.arange(samples, dtype=torch.float64)
            expected = [x[a:b].mean() for a, b in pairwise(bounds)]
            assert torch.allclose(piecewise_aggregate(x, size), torch.stack(expected), atol=1e-12)


def test_is_the_cosine_of_sums_and_the_sine_of_differences_of_angles() -> None:
    x = series(5, 40)
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    phi = torch.arccos((2 * (x - low) / (high - low) - 1).clamp(-1, 1))
    summed, differed = phi[:, :, None] + phi[:, None, :], phi[:, :, None] - phi[:, None, :]
    assert torch.allclose(gramian_angular_field(x), summed.cos(), atol=1e-7)
    assert torch.allclose(gramian_angular_field(x, method="difference"), differed.sin(), atol=1e-7)


def test_symmetry_range_and_independence_of_unit() -> None:
    x = series(2, 3, 50)
    gasf, gadf = (gramian_angular_field(x, 20, method) for method in METHODS)
    assert torch.allclose(gasf, gasf.mT, atol=1e-12)
    assert torch.allclose(gadf, -gadf.mT, atol=1e-12)
    assert gasf.abs().max() <= 1 + 1e-12
    assert torch.allclose(gramian_angular_field(9.80665 * x + 3, 20), gasf, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_gradient_is_right_at_the_extremes_too(method: str) -> None:
    x = series(2, 9, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: gramian_angular_field(x, 6, method), (x,))
    assert torch.autograd.gradcheck(lambda x: gramian_angular_field(x, None, method), (x,))


def test_writes_to_out_and_keeps_precision_of_half_series() -> None:
    x = series(3, 32).float()
    out = torch.empty(3, 32, 32)
    assert gramian_angular_field(x, out=out) is out
    assert torch.equal(out, gramian_angular_field(x))
    assert gramian_angular_field(x.bfloat16()).dtype == torch.float32
    expected = gramian_angular_field(x, 20)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gramian_angular_field(x, 20), expected)


def test_refuses_unknown_methods_and_sizes() -> None:
    x = torch.zeros(3, 16)
    with pytest.raises(UsageError, match="Did you mean 'summation'"):
        gramian_angular_field(x, method="summatoin")
    for size in (0, 17):
        with pytest.raises(UsageError, match="from 1 to 16"):
            gramian_angular_field(x, size)
