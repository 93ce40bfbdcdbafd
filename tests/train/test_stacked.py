from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pskd.models import Signal
from pskd.models.sensor import TemporalCNN
from pskd.train.stacked import Stacked

SIGNAL = Signal(classes=5, samples=32, embedding=6)
S, B, STEPS, KEEP = 3, 4, 10, 0.8


class GivenMasks(nn.Module):
    """Dropout whose masks are given, one a call."""

    def __init__(self, masks: Tensor) -> None:
        super().__init__()
        self.masks = iter(masks)

    def forward(self, x: Tensor) -> Tensor:
        return x * next(self.masks) / KEEP


def students(widths: tuple[int, ...] = (6, 8, 8)) -> list[TemporalCNN]:
    torch.manual_seed(0)
    return [TemporalCNN(SIGNAL, widths, (2, 1, 1), 6, 5).double() for _ in range(S)]


def adamw(model: nn.Module) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.05)


def assert_states_equal(stacked: Stacked, models: list[TemporalCNN]) -> None:
    for state, model in zip(stacked.unstack(), models, strict=True):
        torch.testing.assert_close(state, dict(model.state_dict()), rtol=1e-7, atol=1e-9)


def test_ten_steps_equal_those_of_models_trained_alone() -> None:
    models = students()
    before = [value.clone() for value in models[1].state_dict().values()]
    stacked = Stacked(models)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS, S, B, 3, 32, generator=generator, dtype=torch.float64)
    y = torch.randint(5, (STEPS, S, B), generator=generator)
    masks = (torch.rand(STEPS, S, B, 16, generator=generator) < KEEP).double()

    optimizer = adamw(stacked)
    outputs = []
    for step in range(STEPS):
        outputs.append(stacked(x[step], masks[step] / KEEP))
        losses = [functional.cross_entropy(outputs[-1].logits[i], y[step, i]) for i in range(S)]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
    for i, value in enumerate(models[1].state_dict().values()):
        torch.testing.assert_close(value, before[i], rtol=0, atol=0)

    for i, model in enumerate(models):
        model.head.dropout = GivenMasks(masks[:, i])
        optimizer = adamw(model)
        for step in range(STEPS):
            alone = model(x[step, i])
            for all_models, own in zip(outputs[step], alone, strict=True):
                torch.testing.assert_close(all_models[i], own, rtol=1e-7, atol=1e-9)
            optimizer.zero_grad()
            functional.cross_entropy(alone.logits, y[step, i]).backward()
            optimizer.step()
    assert_states_equal(stacked, models)
    assert int(models[2].state_dict()["encoder.stem.1.num_batches_tracked"]) == STEPS


def test_predictions_are_those_of_each_model() -> None:
    models = students()
    stacked = Stacked(models).eval()
    assert_states_equal(stacked, models)
    x = torch.randn(S, B, 3, 32, dtype=torch.float64)
    for i, model in enumerate(models):
        torch.testing.assert_close(stacked(x).logits[i], model.eval()(x[i]).logits)


def test_dropout_differs_between_models() -> None:
    model = students()[0]
    stacked = Stacked([model, model])
    x = torch.randn(1, B, 3, 32, dtype=torch.float64).expand(2, -1, -1, -1)
    output = stacked(x)
    torch.testing.assert_close(output.features[0], output.features[1])
    assert not torch.allclose(output.embedding[0], output.embedding[1])


def test_a_mask_is_the_one_that_a_model_draws_alone() -> None:
    model = students()[0]
    stacked = Stacked([model, *students()[1:]])
    x = torch.randn(B, 3, 32, dtype=torch.float64)
    torch.manual_seed(3)
    alone = model(x)
    torch.manual_seed(3)
    mask = stacked.draw_mask(B)
    assert 0 < int((mask == 0).sum()) < mask.numel()
    together = stacked(x.expand(S, -1, -1, -1), mask.expand(S, -1, -1))
    torch.testing.assert_close(together.embedding[0], alone.embedding)


def test_models_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        Stacked([students()[0], students((6, 8, 10))[0]])
