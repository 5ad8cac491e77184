"""A run's memory, as the system sees it."""

import contextlib
import ctypes
from pathlib import Path

import torch


def go_first_when_memory_runs_out() -> None:
    """A run is tried again; the worker beside it, or the service, would take more with them."""
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def give_memory_back() -> None:
    """Of all that is free, to the system: glibc keeps it for later, and what comes now maps files and tables. Torch
    does the same with a GPU's, which others may need meanwhile."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
