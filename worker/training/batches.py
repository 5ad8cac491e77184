"""The order in which examples are read: a pure function of the seed and the step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from service.inference.predictions import Encoding
from service.store.records import Task

Target = int | NDArray[np.int64]
POOL = 8  # batches whose texts are sorted by length among themselves


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """An encoded text and its target: an index for choosing, 0/1 of shape (labels,) for deciding."""

    encoding: Encoding
    target: Target


def make_rows(encodings: Sequence[Encoding], truth: NDArray[np.int64], task: Task) -> list[TrainingRow]:
    """From 0/1 labels of shape (rows, labels), which a row for deciding is a view of: as Python's numbers they take
    gigabytes where rows and labels are many."""
    targets = truth.argmax(axis=1).tolist() if task == "choosing" else truth
    return [TrainingRow(encoding, target) for encoding, target in zip(encodings, targets, strict=True)]


class Batches:
    """Seeded batches that can start at any step. Each epoch is a new permutation; one batch may be small.

    Texts of like length share a batch, because padding costs as much as text (measured on sentences of 39 tokens in
    the mean: 60 % more). They are sorted within random pools of a few batches, so that batches still differ from
    epoch to epoch, and the batches' own order is random.
    """

    def __init__(self, rows: Sequence[TrainingRow], batch_size: int, seed: int) -> None:
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self._planned: tuple[int, list[list[int]]] | None = None

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def at(self, step: int) -> list[TrainingRow]:
        """The rows of this step, counted from 0 over all epochs."""
        epoch = self.epoch_of(step)
        if self._planned is None or self._planned[0] != epoch:
            self._planned = (epoch, self._plan(epoch))
        return [self.rows[index] for index in self._planned[1][step % self.steps_per_epoch]]

    def _plan(self, epoch: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order: list[int] = torch.randperm(len(self.rows), generator=generator).tolist()
        size = self.batch_size * POOL
        batches = []
        for start in range(0, len(order), size):
            pool = sorted(order[start : start + size], key=lambda index: len(self.rows[index].encoding.ids))
            batches += [pool[first : first + self.batch_size] for first in range(0, len(pool), self.batch_size)]
        shuffled: list[int] = torch.randperm(len(batches), generator=generator).tolist()
        return [batches[number] for number in shuffled]
