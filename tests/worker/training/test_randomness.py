import pytest
import torch

from worker.training.randomness import random_state, restore_random_state


def test_draws_come_again() -> None:
    state = random_state()
    drawn = torch.rand(5)
    assert not torch.equal(torch.rand(5), drawn)
    restore_random_state(state)
    assert torch.equal(torch.rand(5), drawn)


def test_a_gpu_that_is_not_in_use_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on the processor of a machine that has a GPU: to touch its generator opens a context there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    for name in ("get_rng_state", "set_rng_state"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: pytest.fail("the GPU was touched"))
    restore_random_state(random_state() | {"cuda": torch.get_rng_state()})
