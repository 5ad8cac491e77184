"""Figures of a classifier, with scikit-learn where it has them. Labels are 0/1 matrices of shape (rows, labels)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

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


def macro_f1(truth: Binary, predicted: Binary) -> float:
    return float(f1_score(truth, predicted, average="macro", zero_division=0))
