"""What training makes small: cross-entropy, in which rare labels may count as much as frequent ones."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from service.jobs.spec import ClassWeight
from service.store.records import Task
from worker.training.batches import Target

HEAVIEST = 20.0  # a label's positives count at most so many times: more lets single rows tear at the weights


class ClassificationLoss(nn.Module):
    """Softmax cross-entropy for choosing, binary cross-entropy for deciding; a sum, so that parts of a batch add up.

    Targets are int64 of shape (rows,) for choosing, float32 of shape (rows, labels) for deciding.
    """

    def __init__(self, task: Task, weight: Tensor | None) -> None:
        """`weight`, float32 of shape (labels,): of each label's rows for choosing, of its positives for deciding."""
        super().__init__()
        self.task = task
        self.register_buffer("weight", weight)
        self.weight: Tensor | None

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """From float32 logits of shape (rows, labels) to the weighted sum over all rows, shape ()."""
        if self.task == "choosing":
            return cross_entropy(logits, targets, weight=self.weight, reduction="sum")
        return binary_cross_entropy_with_logits(logits, targets, pos_weight=self.weight, reduction="sum")

    def size(self, targets: Tensor) -> Tensor:
        """What the sum is divided by to be torch's mean, shape ()."""
        if self.task == "choosing" and self.weight is not None:
            return self.weight[targets].sum()
        return torch.tensor(float(targets.numel()), device=targets.device)


def make_loss(truth: NDArray[np.int64], task: Task, class_weight: ClassWeight) -> ClassificationLoss:
    """
    Args:
        truth: 0/1 of shape (training rows, labels), by which labels are weighted when `class_weight` is "balanced":
            as in scikit-learn, a label counts by the inverse of its share of the rows.
    """
    if class_weight != "balanced":
        return ClassificationLoss(task, None)
    counts = torch.from_numpy(truth.sum(axis=0)).float().clamp(min=1)
    rows, labels = truth.shape
    if task == "choosing":
        return ClassificationLoss(task, rows / (labels * counts))
    return ClassificationLoss(task, ((rows - counts) / counts).clamp(min=1 / HEAVIEST, max=HEAVIEST))


def make_targets(targets: Sequence[Target], task: Task, device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(targets)).to(device, torch.long if task == "choosing" else torch.float32)
