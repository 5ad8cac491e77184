"""The order in which examples are read: a pure function of the seed and the step."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from service.inference.predictions import Encoding


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """An encoded text and its target: an index for choosing, 0/1 for each label for deciding."""

    encoding: Encoding
    target: int | list[float]


@dataclass(frozen=True, slots=True)
class Batches:
    """Seeded batches that can start at any step. Each epoch is a new permutation; the last batch may be small."""

    rows: Sequence[TrainingRow]
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def at(self, step: int) -> list[TrainingRow]:
        """The rows of this step, counted from 0 over all epochs."""
        order = self._order(self.epoch_of(step))
        start = step % self.steps_per_epoch * self.batch_size
        return [self.rows[index] for index in order[start : start + self.batch_size]]

    def _order(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order: list[int] = torch.randperm(len(self.rows), generator=generator).tolist()
        return order
