"""The service with a model that fails at chosen texts: `python -m parts.faulty_api`.

All else is real. A text that is exactly one of these words does to the forward pass what its name says. And every token
takes `SECONDS_A_TOKEN` longer, as on a slower device: the processor, which the test needs, is left alone.
"""

import ctypes
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Sequence

import torch

from service.cli import main
from service.inference.classifier import Classifier
from service.inference.predictions import Encoding

RAISES, NO_MEMORY, NOT_A_NUMBER, STUCK, DEAD, LOST = "raises", "no memory", "not a number", "stuck", "dead", "lost"
SECONDS_A_TOKEN = float(os.environ.get("SECONDS_A_TOKEN", "0"))
_EXIT_OF_A_THREAD = {"x86_64": 60, "aarch64": 93}[platform.machine()]  # the system call


def _raise() -> None:
    raise RuntimeError("index out of range in self")


def _run_out_of_memory() -> None:
    raise MemoryError


def _hang() -> None:
    threading.Event().wait()


def _die() -> None:
    """As a thread that a library ends: Python and whoever waits for it hear nothing."""
    ctypes.CDLL(None).syscall(_EXIT_OF_A_THREAD, 0)


def _lose_the_device() -> None:
    raise torch.AcceleratorError("CUDA error: device-side assert triggered")  # as torch says it, once and for ever


FAULTS: dict[str, Callable[[], None]] = {
    RAISES: _raise,
    NO_MEMORY: _run_out_of_memory,
    STUCK: _hang,
    DEAD: _die,
    LOST: _lose_the_device,
}
_right = Classifier._logits


def logits(self: Classifier, rows: Sequence[Encoding]) -> torch.Tensor:
    read = [row.ids for row in rows]
    for word, fault in FAULTS.items():
        if _ids(self, word) in read:
            fault()
    time.sleep(SECONDS_A_TOKEN * sum(len(ids) for ids in read))
    found = _right(self, rows)
    found[[ids == _ids(self, NOT_A_NUMBER) for ids in read]] = torch.nan
    return found


def _ids(classifier: Classifier, word: str) -> list[int]:
    return classifier.encoder.encode([word])[0].ids


if __name__ == "__main__":
    Classifier._logits = logits  # type: ignore[method-assign]
    sys.exit(main(["api"]))
