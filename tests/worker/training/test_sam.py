"""SAM and ASAM against the papers' formulas."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW

from worker.training.sam import ETA, SAM


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def backward(network: nn.Module, scale: float = 1.0) -> None:
    torch.manual_seed(1)
    inputs, targets = torch.randn(16, 4), torch.randint(0, 3, (16,))
    network.zero_grad()
    loss: Tensor = nn.functional.cross_entropy(network(inputs), targets) * scale
    loss.backward()  # type: ignore[no-untyped-call]


def weights(network: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def make(network: nn.Module, rho: float, adaptive: bool = False) -> SAM:
    return SAM(list(network.parameters()), AdamW(network.parameters(), lr=0.01), rho, adaptive)


@pytest.mark.parametrize("rho", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_climb_is_rho_long_whatever_the_gradient(rho: float, scale: float) -> None:
    network = small_network()
    start = weights(network)
    backward(network, scale)
    make(network, rho).climb()
    moved = torch.cat([(now - w).flatten() for now, w in zip(weights(network), start, strict=True)])
    assert float(moved.norm()) == pytest.approx(rho, rel=1e-4)


def test_the_climb_follows_the_gradient_and_raises_the_loss() -> None:
    network = small_network()
    start = weights(network)
    backward(network)
    gradients = torch.cat(
        [parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None]
    )
    make(network, 0.1).climb()
    moved = torch.cat([(now - w).flatten() for now, w in zip(weights(network), start, strict=True)])
    assert float(nn.functional.cosine_similarity(moved, gradients, dim=0)) == pytest.approx(1.0, abs=1e-5)


def test_asam_measures_its_radius_in_units_of_each_weight() -> None:
    """‖T⁻¹ε‖ = ρ with T = |w| + η for weights and 1 for biases (Kwon et al. 2021, equation 4)."""
    network = small_network()
    start = weights(network)
    backward(network)
    make(network, 0.5, adaptive=True).climb()
    scaled = [(now - w) / (w.abs() + ETA if w.ndim > 1 else 1) for now, w in zip(weights(network), start, strict=True)]
    assert float(torch.cat([part.flatten() for part in scaled]).norm()) == pytest.approx(0.5, rel=1e-4)


def test_asam_is_blind_to_rescaling_that_keeps_the_function() -> None:
    """Two layers (W₁, W₂) and (2W₁, W₂/2) are the same linear function; SAM's climb tells them apart, ASAM's not."""

    def climbed_loss(factor: float, adaptive: bool) -> float:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 8, bias=False), nn.Linear(8, 3, bias=False))
        with torch.no_grad():
            for parameter, by in zip(network.parameters(), (factor, 1 / factor), strict=True):
                parameter.add_(parameter.sign()).mul_(by)  # far from zero, where η does not matter
        backward(network)
        make(network, 0.05, adaptive).climb()
        torch.manual_seed(1)
        inputs, targets = torch.randn(16, 4), torch.randint(0, 3, (16,))
        return float(nn.functional.cross_entropy(network(inputs), targets).detach())

    def change(adaptive: bool) -> float:
        return abs(climbed_loss(5.0, adaptive) / climbed_loss(1.0, adaptive) - 1)

    assert change(adaptive=True) < 0.01
    assert change(adaptive=False) > 0.05


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_weights_come_back_exactly(adaptive: bool) -> None:
    network = small_network()
    start = weights(network)
    optimizer = make(network, 0.7, adaptive)
    backward(network)
    optimizer.climb()
    assert not torch.equal(weights(network)[0], start[0])
    optimizer.return_to_start()
    assert all(torch.equal(now, w) for now, w in zip(weights(network), start, strict=True))


def test_a_step_applies_the_gradient_found_at_the_top() -> None:
    network = small_network()
    start = weights(network)
    optimizer = SAM(list(network.parameters()), SGD(network.parameters(), lr=0.1), rho=0.3)
    backward(network)
    optimizer.climb()
    backward(network)
    at_top = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    optimizer.return_to_start()
    optimizer.descend()
    for now, w, gradient in zip(weights(network), start, at_top, strict=True):
        assert torch.allclose(now, w - 0.1 * gradient, atol=1e-7)


def test_parameters_without_a_gradient_stay() -> None:
    network = small_network()
    extra = nn.Parameter(torch.ones(3))
    optimizer = SAM([*network.parameters(), extra], AdamW([*network.parameters(), extra]), rho=1.0)
    backward(network)
    optimizer.climb()
    assert torch.equal(extra.detach(), torch.ones(3))
    optimizer.return_to_start()
    assert torch.equal(extra.detach(), torch.ones(3))


def test_a_gradient_of_zero_climbs_nowhere() -> None:
    network = small_network()
    start = copy.deepcopy(weights(network))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    make(network, 1.0).climb()
    assert all(torch.equal(now, w) for now, w in zip(weights(network), start, strict=True))
