import pytest
import torch
from torch import nn

from worker.training.averaging import WeightAverage


def parameters(value: float) -> list[nn.Parameter]:
    return [nn.Parameter(torch.full((3,), value)), nn.Parameter(torch.full((2, 2), -value))]


def put(own: list[nn.Parameter], value: float) -> None:
    with torch.no_grad():
        own[0].fill_(value)
        own[1].fill_(-value)


def test_it_is_the_exponential_average_of_what_it_saw() -> None:
    own = parameters(1.0)
    average = WeightAverage(own, decay=0.9)
    expected = 1.0
    for step in range(100, 130):  # late, where the decay is the one that was asked for
        put(own, float(step))
        average.update(step)
        expected = 0.9 * expected + 0.1 * step
    assert average.tensors[0].tolist() == pytest.approx([expected] * 3, rel=1e-5)
    assert average.tensors[1].flatten().tolist() == pytest.approx([-expected] * 4, rel=1e-5)


def test_early_on_the_start_is_soon_forgotten() -> None:
    own = parameters(100.0)
    average = WeightAverage(own, decay=0.99)
    put(own, 0.0)
    for step in range(10):
        average.update(step)
    assert average.tensors[0].max() < 0.01


def test_without_decay_it_is_the_weights_themselves() -> None:
    own = parameters(1.0)
    average = WeightAverage(own, decay=0.0)
    put(own, 7.0)
    average.update(0)
    assert torch.equal(average.tensors[0], own[0])


def test_restarted_it_knows_only_the_weights_as_they_are() -> None:
    own = parameters(1.0)
    average = WeightAverage(own, decay=0.9)
    put(own, 5.0)
    average.restart()
    assert average.tensors[0].tolist() == [5.0] * 3
