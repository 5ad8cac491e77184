from pathlib import Path

import pytest
import torch

from service.errors import DiskFull
from service.store.artifacts import ArtifactStore
from worker.training.pretrained import PretrainedWeights


def test_weights_come_back_bit_for_bit_as_often_as_asked_whatever_became_of_them(artifacts: ArtifactStore) -> None:
    own = [torch.randn(3, 4), torch.randn(5), torch.randn(2, 3).T]
    before = [tensor.clone() for tensor in own]
    with artifacts.scratch() as file:
        kept = PretrainedWeights(own, file)
        for tensor in own:
            tensor.zero_()
        for _ in range(2):
            assert all(torch.equal(a, b) for a, b in zip(kept, before, strict=True))
        assert list((artifacts.root / ".aside").iterdir()) == []  # whatever kills this process, no file is left


def test_a_full_disk_is_named(artifacts: ArtifactStore) -> None:
    with pytest.raises(DiskFull), artifacts.scratch(), Path("/dev/full").open("wb") as full:
        PretrainedWeights([torch.ones(3)], full)
