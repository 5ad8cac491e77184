"""What is measured: F1, accuracy, calibration. Only numpy and scikit-learn: the peers use it too."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from service.store.records import Task
from worker.evaluation.metrics import Binary, decide, macro_f1

Probabilities = NDArray[np.float64]  # of shape (rows, labels)
BINS = 15


def best_threshold(probabilities: Probabilities, truth: Binary) -> float:
    """One threshold for all labels: of those that change an answer, at most 200, the best by macro-F1."""
    candidates = np.unique(np.quantile(probabilities, np.linspace(0.01, 1, 200)))
    return float(max(candidates, key=lambda threshold: macro_f1(truth, decide(probabilities, "deciding", threshold))))


def macro_f1_at_best(probabilities: Probabilities, truth: Binary, task: Task) -> float:
    """What a method is chosen by on validation texts."""
    threshold = best_threshold(probabilities, truth) if task == "deciding" else 0.0
    return macro_f1(truth, decide(probabilities, task, threshold))


def expected_calibration_error(probabilities: Probabilities, truth: Binary, task: Task) -> float:
    """Mean gap between confidence and outcome over 15 equal-width bins, weighted by what falls into each.

    Choosing: of the top probability. Deciding: of the probability of each label of each text.
    Source: Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """
    if task == "choosing":
        confidence = probabilities.max(axis=1)
        outcome = truth[np.arange(len(truth)), probabilities.argmax(axis=1)]
    else:
        confidence, outcome = probabilities.ravel(), truth.ravel()
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(float((confidence - outcome)[bins == number].sum())) for number in range(BINS)]
    return sum(gaps) / len(confidence)


def score(probabilities: Probabilities, predicted: Binary, truth: Binary, task: Task) -> dict[str, float]:
    """`macro_f1`, `ece`, and `accuracy` for choosing or `micro_f1` for deciding."""
    scores = {
        "macro_f1": macro_f1(truth, predicted),
        "ece": expected_calibration_error(probabilities, truth, task),
    }
    if task == "choosing":
        scores["accuracy"] = float(accuracy_score(truth, predicted))
    else:
        scores["micro_f1"] = float(f1_score(truth, predicted, average="micro", zero_division=0))
    return {name: round(value, 5) for name, value in scores.items()}
