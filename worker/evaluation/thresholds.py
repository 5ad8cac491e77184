"""From which probability a label holds, for deciding: fitted on validation, careful where positives are few."""

import numpy as np
from scipy.special import expit, logit

from worker.evaluation.metrics import Binary, Floats, f1, macro_f1

# 0.001 to 0.999, even in log-odds: where classes are weighted alike a rare label may have 0.99 in texts that lack it,
# and where they are not 0.01 in those that have it.
GRID = expit(np.arange(-6.9, 6.95, 0.1))
TRUST = 20.0  # positives at which a label's own threshold weighs as much as the one for all
FALLBACK = 0.5


def fit_thresholds(probabilities: Floats, truth: Binary) -> Floats:
    """One threshold a label, shape (labels,), for the highest F1 on these rows.

    Each label's own best is drawn towards the best single one (in log-odds): with a handful of positives its own
    is mostly luck. Without any positive at all there is nothing to fit.
    """
    positives = truth.sum(axis=0)
    if not positives.any():
        return np.full(truth.shape[1], FALLBACK)
    shared = _best_for_all(probabilities, truth)
    own = np.array([_best(probabilities[:, label], truth[:, label], shared) for label in range(truth.shape[1])])
    weight = positives / (positives + TRUST)
    return np.asarray(expit(weight * logit(own) + (1 - weight) * logit(shared)))


def _best_for_all(probabilities: Floats, truth: Binary) -> float:
    scores = np.array([macro_f1(truth, (probabilities >= threshold).astype(np.int64)) for threshold in GRID])
    return _middle(scores)


def _best(probabilities: Floats, truth: Binary, otherwise: float) -> float:
    if not truth.any():
        return otherwise
    predicted = probabilities[None, :] >= GRID[:, None]
    hits = (predicted & (truth == 1)).sum(axis=1)
    return _middle(f1(hits, predicted.sum(axis=1) + truth.sum()))


def _middle(scores: Floats) -> float:
    """The middle of the longest run of thresholds that do best: an edge would be a matter of one row, and between two
    runs there are worse ones."""
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    return float(np.median(GRID[max(runs, key=len)]))
