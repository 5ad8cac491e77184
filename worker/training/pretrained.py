"""The weights that training starts from, kept on disk: they are needed once an epoch, and in memory all the time they
would be as much as a sixth of it."""

from collections.abc import Iterator, Sequence
from typing import IO

import torch
from torch import Tensor


class PretrainedWeights:
    """A copy of tensors, read one at a time."""

    def __init__(self, tensors: Sequence[Tensor], file: IO[bytes]) -> None:
        """`file`: an empty one of its own. Raises: OSError when the disk is full."""
        self._file = file
        self._like = [(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors]
        for tensor in tensors:
            file.write(_bytes(tensor.detach().cpu().contiguous()))
        file.flush()

    def __iter__(self) -> Iterator[Tensor]:
        self._file.seek(0)
        for shape, dtype, device in self._like:
            tensor = torch.empty(shape, dtype=dtype)
            _bytes(tensor)[:] = self._file.read(tensor.nbytes)
            yield tensor.to(device)


def _bytes(tensor: Tensor) -> memoryview:
    """The tensor's own memory."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data
