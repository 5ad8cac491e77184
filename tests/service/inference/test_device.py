"""What torch and CUDA say, told apart: a full GPU, a broken one, and anything else."""

import pytest
import torch

from service.errors import DeviceLost
from service.inference.device import has_bfloat16, is_out_of_memory, telling_of_loss

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"),
]
BROKEN = [
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
]


@pytest.mark.parametrize("error", FULL)
def test_a_full_device_is_not_a_lost_one(error: RuntimeError) -> None:
    assert is_out_of_memory(error)
    with pytest.raises(type(error)), telling_of_loss():
        raise error


@pytest.mark.parametrize("error", BROKEN)
def test_a_broken_context_is_a_lost_device(error: RuntimeError) -> None:
    assert not is_out_of_memory(error)
    with pytest.raises(DeviceLost), telling_of_loss():
        raise error


def test_what_has_nothing_to_do_with_the_device_stays_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes"), telling_of_loss():
        raise RuntimeError("shapes cannot be multiplied")


def test_a_gpu_that_only_emulates_bfloat16_does_not_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a T4 or a V100 answers."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not has_bfloat16(torch.device("cuda"))
