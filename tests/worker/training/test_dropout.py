"""Dropout from bytes is dropout: rate, scale, gradient, seeds."""

import pytest
import torch
from torch import nn

from worker.training.dropout import ByteDropout, draw_fast


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5])
def test_each_element_is_dropped_at_the_rate_and_the_mean_stays(p: float) -> None:
    torch.manual_seed(0)
    layer = ByteDropout(p).train()
    dropped = torch.zeros(999)  # no multiple of eight
    total = torch.zeros(999)
    for _ in range(2_000):
        found = layer(torch.ones(999))
        dropped += found == 0
        total += found
    deviation = (p * (1 - p) / 2_000) ** 0.5
    assert float((dropped / 2_000 - p).abs().max()) < 5 * deviation + 1 / 256
    assert float(dropped.mean() / 2_000) == pytest.approx(p, abs=1 / 256)
    assert float(total.mean() / 2_000) == pytest.approx(1, abs=0.003)


def test_elements_are_dropped_one_by_one() -> None:
    """Neighbours share a draw, but not its bits."""
    torch.manual_seed(0)
    kept = (ByteDropout(0.5).train()(torch.ones(80_000)) > 0).float().view(-1, 8)
    assert float((torch.corrcoef(kept.T) - torch.eye(8)).abs().max()) < 0.05


def test_the_gradient_passes_where_the_value_did() -> None:
    x = torch.randn(64, 7, dtype=torch.bfloat16, requires_grad=True)
    found = ByteDropout(0.5).train()(x)
    found.sum().backward()
    assert found.dtype == torch.bfloat16
    assert x.grad is not None
    assert torch.equal(x.grad != 0, found != 0)
    assert torch.equal(found, x * x.grad)


def test_it_hangs_on_the_seed_and_does_nothing_outside_of_training() -> None:
    layer, x = ByteDropout(0.1), torch.ones(1_000)
    torch.manual_seed(3)
    first, second = layer(x), layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)
    assert layer.eval()(x) is x


def test_it_takes_the_place_of_each_that_drops() -> None:
    model = nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)))
    draw_fast(model)
    assert [type(module) for module in model.modules() if isinstance(module, nn.Dropout)] == [ByteDropout, nn.Dropout]
