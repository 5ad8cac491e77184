"""What a probe says of rows that it did not learn from. Copies of a text are in one fold: else they vouch for each
other, and for a label that is wrong in both."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from service.datasets.dataset import folded
from service.store.records import Task
from worker.evaluation.metrics import Binary, Floats
from worker.evaluation.scaling import activate
from worker.training.probe import Groups, fit_probe

FOLDS = 5
LEAST_KNOWN = 2  # rows of a label, else the probe has not learnt what it is
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Of shape (rows, labels): `probabilities`, and where they were `judged`, by a probe that knew the label."""

    probabilities: Floats
    judged: NDArray[np.bool_]


def text_groups(texts: Sequence[str]) -> Groups:
    """The same number for copies of a text."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(folded(text), len(numbers)) for text in texts], dtype=np.int64)


def out_of_fold(features: NDArray[np.floating], truth: Binary, groups: Groups, task: Task) -> OutOfFold:
    """By logistic regression on frozen features. Labels are as frequent there as they are: were they weighted to count
    alike, texts would be suspected of every rare one."""
    found = OutOfFold(np.full(truth.shape, 0.5), np.zeros(truth.shape, dtype=bool))
    for rest, held_out in _stratified(truth, groups):
        probe = fit_probe(features[rest], truth[rest], task, class_weight="none")
        found.probabilities[held_out] = activate(probe.logits(features[held_out]), task)
        found.judged[held_out] = _is_known(truth[rest], task)
    return found


def _is_known(truth: Binary, task: Task) -> NDArray[np.bool_]:
    """Which labels can be learnt from these rows, shape (labels,); deciding has to see texts without it, too."""
    having = truth.sum(axis=0)
    lacking = len(truth) - having
    return np.asarray((having >= LEAST_KNOWN) & ((task == "choosing") | (lacking >= LEAST_KNOWN)))


def _stratified(truth: Binary, groups: Groups) -> list[tuple[Rows, Rows]]:
    """Each label in all folds, as far as it goes; a row of several counts by its rarest. None where no two rows have a
    label in common."""
    counts = truth.sum(axis=0)
    rarest = np.where(truth == 1, counts, len(truth) + 1).argmin(axis=1)
    strata = np.where(truth.any(axis=1), rarest, truth.shape[1])
    folds = min(FOLDS, len(np.unique(groups)), int(np.bincount(strata).max()))
    if folds < 2:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of labels with fewer rows than folds; they are not judged
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
        return list(splitter.split(strata, strata, groups))
