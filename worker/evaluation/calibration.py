"""Probabilities that mean what they say: one temperature fitted on validation, and how far off they are on test.

Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from service.jobs.report import CalibrationError, ReliabilityBin
from service.store.records import Task
from worker.evaluation.intervals import Bootstrap
from worker.evaluation.metrics import Binary, Floats

BINS = 15
COOLEST, HOTTEST = 0.01, 10.0  # a head that is kept small says everything far too mildly


def activate(logits: NDArray[np.floating], task: Task) -> Floats:
    """Softmax for choosing, sigmoid for deciding, over logits of shape (rows, labels)."""
    z = logits.astype(np.float64)
    if task == "choosing":
        exponents = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -500, 500))))


def fit_temperature(logits: NDArray[np.floating], truth: Binary, task: Task) -> float:
    """The T > 0 for which logits / T have the lowest cross-entropy on these rows. It changes no choice of label.

    The truth is softened by one claim in all, as Platt (1999, "Probabilistic Outputs for Support Vector Machines")
    does: fifty rows that are all right prove no certainty, and the plain optimum would then be T = 0. Deciding claims
    something of each label: softened by a row for each, labels that hardly a row has would seem thrice as frequent.
    """
    doubt = 1 / ((len(truth) if task == "choosing" else truth.size) + 2)
    soft = truth * (1 - doubt) + doubt / (truth.shape[1] if task == "choosing" else 2)

    def loss(log_t: float) -> float:
        p = np.clip(activate(logits / np.exp(log_t), task), 1e-12, 1 - 1e-12)
        against = 0.0 if task == "choosing" else (1 - soft) * np.log(1 - p)
        return float(-(soft * np.log(p) + against).sum())

    found = minimize_scalar(loss, bounds=(np.log(COOLEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def calibration_error(probabilities: Floats, truth: Binary, task: Task) -> CalibrationError:
    """ECE and Brier score of probabilities of shape (rows, labels)."""
    said, came_true = _claims(probabilities, truth, task)
    squared = (probabilities - truth) ** 2
    brier = squared.sum(axis=1) if task == "choosing" else squared.mean(axis=1)
    excess = _excess(said, came_true, len(truth))
    bootstrap = Bootstrap(len(truth))

    def ece(weights: Floats) -> Floats:
        return np.asarray(np.abs(weights @ excess).sum(axis=1) / len(said))

    value = float(ece(np.ones((1, len(truth))))[0])
    # Noise alone makes it larger: draws lie above it much as it lies above the truth. So they are mirrored at it (the
    # basic bootstrap); plain percentiles of an honest model's never held the truth in 300 tries.
    mirrored = np.maximum(0.0, 2 * value - bootstrap.over(ece))
    return CalibrationError(
        ece=value,
        brier=float(brier.mean()),
        intervals={"ece": bootstrap.interval(value, mirrored), "brier": bootstrap.mean(brier)},
        bins=reliability_bins(said, came_true),
    )


def _excess(said: Floats, came_true: Floats, rows: int) -> Floats:
    """By how much each row's claims are too high in each bin, shape (rows, bins)."""
    row = np.arange(len(said)) // (len(said) // rows)
    cells = np.bincount(row * BINS + _bin_of(said), weights=said - came_true, minlength=rows * BINS)
    return np.asarray(cells.reshape(rows, BINS))


def reliability_bins(said: Floats, came_true: Floats) -> list[ReliabilityBin]:
    """Equal bins over [0, 1] that have any claims in them, from probabilities and 0/1 outcomes of shape (claims,)."""
    place = _bin_of(said)
    return [
        ReliabilityBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            count=int((place == number).sum()),
            mean_probability=float(said[place == number].mean()),
            share_true=float(came_true[place == number].mean()),
        )
        for number in range(BINS)
        if (place == number).any()
    ]


def _bin_of(said: Floats) -> NDArray[np.int64]:
    return np.minimum((said * BINS).astype(np.int64), BINS - 1)


def _claims(probabilities: Floats, truth: Binary, task: Task) -> tuple[Floats, Floats]:
    """What was claimed and whether it came true: the top label of each row, or every label of every row."""
    if task == "deciding":
        return probabilities.ravel(), truth.ravel().astype(np.float64)
    top = probabilities.argmax(axis=1)
    rows = np.arange(len(top))
    return probabilities[rows, top], truth[rows, top].astype(np.float64)
