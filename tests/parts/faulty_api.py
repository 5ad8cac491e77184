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

import numpy as np

from service.cli import main
from service.inference.classifier import Classifier
from service.inference.predictions import Encoding, Scores

RAISES, NO_MEMORY, NOT_A_NUMBER, STUCK, DEAD = "raises", "no memory", "not a number", "stuck", "dead"
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


FAULTS: dict[str, Callable[[], None]] = {RAISES: _raise, NO_MEMORY: _run_out_of_memory, STUCK: _hang, DEAD: _die}
_right = Classifier.forward


def forward(self: Classifier, rows: Sequence[Encoding]) -> Scores:
    read = [row.ids for row in rows]
    for word, fault in FAULTS.items():
        if _ids(self, word) in read:
            fault()
    time.sleep(SECONDS_A_TOKEN * sum(len(ids) for ids in read))
    scores = _right(self, rows)
    scores[[ids == _ids(self, NOT_A_NUMBER) for ids in read]] = np.nan
    return scores


def _ids(classifier: Classifier, word: str) -> list[int]:
    return classifier.encoder.encode([word])[0].ids


if __name__ == "__main__":
    Classifier.forward = forward  # type: ignore[method-assign]
    sys.exit(main(["api"]))
