"""Where the numbers are computed."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

from service.errors import DeviceLost, DeviceMissing

FULL_IN_WORDS = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")


def pick_device(asked: Literal["auto", "cpu", "cuda"] = "auto") -> torch.device:
    """CUDA when there is one, else the processor. Raises: DeviceMissing when CUDA was asked for and is not there."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise DeviceMissing("DEVICE=cuda, but torch sees no GPU; look at its driver and build, or set DEVICE=auto")
    return torch.device("cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu")


def describe_device(device: torch.device) -> str:
    """For people: `cuda (NVIDIA H200)` or `cpu (8 threads)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products run in hardware there (on x86: AVX-512 BF16 or AMX; NVIDIA's from Ampere on)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 autocast where the hardware has it, else plain float32. No loss scaling is needed for bfloat16."""
    if not has_bfloat16(device):
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@contextmanager
def telling_of_loss() -> Iterator[None]:
    """Raises: DeviceLost in place of whatever torch says when a GPU's context breaks inside the block."""
    try:
        yield
    except RuntimeError as error:
        if _is_loss(error):
            raise DeviceLost from error
        raise


def _is_loss(error: Exception) -> bool:
    """CUDA's errors but for those of memory: a full GPU is not a broken one. cuBLAS and cuDNN have words only."""
    is_of_cuda = isinstance(error, torch.AcceleratorError) or str(error).startswith("CUDA error")
    return is_of_cuda and not is_out_of_memory(error)


def is_out_of_memory(error: Exception) -> bool:
    """Torch has a type of its own for what its allocator is refused on a GPU, and only words for the processor's memory
    and for what CUDA and its libraries allocate themselves."""
    typed = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return typed or any(words in str(error) for words in FULL_IN_WORDS)


def use_threads(threads: int | None) -> None:
    """Bounds the processor threads of one forward pass; None: as many as torch takes by itself."""
    if threads:
        torch.set_num_threads(threads)
