"""The order in which examples are read: a pure function of the seed and the step."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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
    """Seeded batches that can start at any step, of equal sizes but for one row. Each epoch is a new permutation.

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
        steps = self.steps_per_epoch
        bounds = [step * len(order) // steps for step in range(steps + 1)]
        pooled = min(POOL, max(1, steps // 2))  # batches; a single pool would make the same ones in every epoch
        batches = []
        for first in range(0, steps, pooled):
            own = bounds[first : first + pooled + 1]
            pool = sorted(order[own[0] : own[-1]], key=lambda index: len(self.rows[index].encoding.ids))
            batches += [pool[start - own[0] : end - own[0]] for start, end in pairwise(own)]
        shuffled: list[int] = torch.randperm(len(batches), generator=generator).tolist()
        return [batches[number] for number in shuffled]
