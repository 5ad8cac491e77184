"""Seeds and random state: what makes a run repeatable, and two passes alike."""

import torch
from torch import Tensor

RandomState = dict[str, Tensor]


def seed_everything(seed: int) -> None:
    """Torch draws everything random in a run (initial head, dropout); the order of batches has seeds of its own."""
    torch.manual_seed(seed)


def random_state() -> RandomState:
    """The generators' states, uint8 tensors by device. A GPU's where it is in use: to ask would else open a context on
    it, hundreds of MiB for a run on the processor."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: RandomState) -> None:
    """What is drawn from here on repeats what was drawn since `state`."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.set_rng_state(state["cuda"])
