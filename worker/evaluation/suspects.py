"""Training rows whose label looks wrong: a probe that did not see the row is surer of another, and as sure of it as of
texts that have it.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels": a label's threshold is
the mean probability that it is given in the rows that have it; rows are ranked by the normalised margin. Where a probe
is seldom sure, as on any hard set, half of the rows may be contradicted; few of them pass.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Example
from service.jobs.report import Suspect, SuspectCounts
from service.store.records import Task
from worker.evaluation.folds import OutOfFold
from worker.evaluation.measure import LONGEST_TEXT
from worker.evaluation.metrics import Binary, Floats

MOST = 50
UNREACHABLE = 2.0  # for a probability


def find_suspects(
    rows: Sequence[Example], truth: Binary, doubted: OutOfFold, labels: Sequence[str], task: Task
) -> tuple[list[Suspect], SuspectCounts]:
    """The most contradicted rows first. Where val or test were cut from train, a row has the number that it had when
    train was sent."""
    given = _given(truth, doubted.probabilities, task)
    margins, passes = (_choosing if task == "choosing" else _deciding)(truth, given, doubted)
    contradicted = (margins > 0).any(axis=1)
    margins = np.where(passes, margins, -np.inf)
    worst = margins.argmax(axis=1)
    doubt = margins.max(axis=1)
    suspected = np.flatnonzero(doubt > 0)
    order = suspected[np.argsort(-doubt[suspected], kind="stable")][:MOST].tolist()
    judged = doubted.judged & (truth == 1) if task == "choosing" else doubted.judged
    counts = SuspectCounts(
        rows=len(rows),
        judged=int(judged.any(axis=1).sum()),
        contradicted=int(contradicted.sum()),
        suspected=len(suspected),
    )
    return [_suspect(rows, row, truth, int(worst[row]), given, labels, task) for row in order], counts


def _suspect(
    rows: Sequence[Example], row: int, truth: Binary, label: int, given: Floats, labels: Sequence[str], task: Task
) -> Suspect:
    """Suggested is the other label; for deciding, the row with that one turned over."""
    own = truth[row].copy() if task == "deciding" else np.zeros_like(truth[row])
    own[label] = 1 - own[label]
    return Suspect(
        row=rows[row].place("train", row)[1],
        text=rows[row].text[:LONGEST_TEXT],
        labels=list(rows[row].labels),
        suggested=[labels[number] for number in np.flatnonzero(own).tolist()],
        probability=float(given[row, label]),
    )


def _given(truth: Binary, probabilities: Floats, task: Task) -> Floats:
    """What the data's answer was given, shape (rows, labels): of choosing the same for all labels of a row."""
    if task == "choosing":
        return np.repeat((probabilities * truth).sum(axis=1, keepdims=True), truth.shape[1], axis=1)
    return np.where(truth == 1, probabilities, 1 - probabilities)


def _choosing(truth: Binary, given: Floats, doubted: OutOfFold) -> tuple[Floats, NDArray[np.bool_]]:
    """By how much each other label is more probable than the row's own, and whether it is as probable as in its own
    rows; shape (rows, labels)."""
    own = (truth == 1) & doubted.judged
    others = own.any(axis=1, keepdims=True) & doubted.judged & (truth == 0)
    margins = np.where(others, doubted.probabilities - given, -np.inf)
    return margins, doubted.probabilities >= _mean_where(own, doubted.probabilities)


def _deciding(truth: Binary, given: Floats, doubted: OutOfFold) -> tuple[Floats, NDArray[np.bool_]]:
    """By how much the opposite of each yes or no is more probable, and whether it is as probable as in rows that have
    the opposite; shape (rows, labels)."""
    yes, no = (_mean_where((truth == value) & doubted.judged, given) for value in (1, 0))
    opposite = 1 - given
    return np.where(doubted.judged, opposite - given, -np.inf), opposite >= np.where(truth == 1, no, yes)


def _mean_where(cells: NDArray[np.bool_], probabilities: Floats) -> Floats:
    """Of each label, shape (labels,)."""
    count = cells.sum(axis=0)
    mean = (probabilities * cells).sum(axis=0) / np.maximum(1, count)
    return np.where(count > 0, mean, UNREACHABLE)
