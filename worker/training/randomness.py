"""Seeds and random state: what makes a run repeatable, and two passes alike."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

RandomState = dict[str, Tensor]


def seed_everything(seed: int) -> None:
    """Torch draws everything random in a run (initial head, dropout); the order of batches has seeds of its own."""
    torch.manual_seed(seed)


def random_state() -> RandomState:
    """The generators' states, uint8 tensors by device."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: RandomState) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


@contextmanager
def same_dropout(state: RandomState) -> Iterator[None]:
    """Draws inside the block repeat those made since `state`: both gradients of SAM see one network."""
    restore_random_state(state)
    yield
