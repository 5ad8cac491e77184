"""Figures of a classifier. Labels are 0/1 matrices of shape (rows, labels).

In numpy alone: scikit-learn takes a matrix of one column for two classes, and then counts the rows without the label
as a label of their own. With two columns or more its figures are these.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.store.records import Task

Binary = NDArray[np.int64]
Floats = NDArray[np.float64]


def to_matrix(label_sets: Sequence[Sequence[str]], labels: Sequence[str]) -> Binary:
    """0/1 of shape (rows, labels)."""
    column = {label: number for number, label in enumerate(labels)}
    matrix = np.zeros((len(label_sets), len(labels)), dtype=np.int64)
    for row, own in enumerate(label_sets):
        matrix[row, [column[label] for label in own]] = 1
    return matrix


def row_losses(probabilities: NDArray[np.floating], truth: Binary, task: Task) -> Floats:
    """Cross-entropy of each row, shape (rows,): of its label for choosing, the mean over labels for deciding."""
    p = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    if task == "choosing":
        return np.asarray(-np.log(p[truth == 1]))
    return np.asarray(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean(axis=1))


def decide(probabilities: NDArray[np.floating], task: Task, thresholds: NDArray[np.floating] | float = 0.5) -> Binary:
    """The labels that hold: the most probable for choosing, all at or above their threshold for deciding."""
    if task == "choosing":
        predicted = np.zeros(probabilities.shape, dtype=np.int64)
        predicted[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = 1
        return predicted
    return (probabilities >= thresholds).astype(np.int64)


def right_rows(truth: Binary, predicted: Binary) -> NDArray[np.bool_]:
    """Which rows have all their labels right, shape (rows,)."""
    return np.asarray((truth == predicted).all(axis=1))


def present_labels(truth: Binary) -> NDArray[np.bool_]:
    """Which labels occur, shape (labels,), to measure some of the rows by: one that they miss tells nothing of the
    model. All of them where none does."""
    present = np.asarray(truth.any(axis=0))
    return present if present.any() else np.ones_like(present)


def f1(hits: NDArray[np.number], both: NDArray[np.number], otherwise: float = 0.0) -> Floats:
    """From what was given rightly, and all that was true plus all that was given; `otherwise` where that is nothing."""
    return np.asarray(np.divide(2 * hits, both, out=np.full(np.shape(both), otherwise), where=both > 0))


def label_f1(truth: Binary, predicted: Binary) -> Floats:
    """F1 of each label, shape (labels,); 0 for one that no row has or was given."""
    return f1((truth * predicted).sum(axis=0), truth.sum(axis=0) + predicted.sum(axis=0))


def row_f1(truth: Binary, predicted: Binary) -> Floats:
    """F1 of each row, shape (rows,); a row with no label, given none, is right."""
    return f1((truth * predicted).sum(axis=1), truth.sum(axis=1) + predicted.sum(axis=1), otherwise=1.0)


def macro_f1(truth: Binary, predicted: Binary) -> float:
    return float(label_f1(truth, predicted).mean())


def micro_f1(truth: Binary, predicted: Binary) -> float:
    return float(f1((truth * predicted).sum(), truth.sum() + predicted.sum()))
