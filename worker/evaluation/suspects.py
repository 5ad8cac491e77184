"""Training rows whose label looks wrong: a baseline that did not see the row is surer of another.

Ranked by how much surer, the normalised margin of Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating
Uncertainty in Dataset Labels".
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Example
from service.jobs.report import Suspect
from service.store.records import Task
from worker.evaluation.measure import LONGEST_TEXT
from worker.evaluation.metrics import Binary, Floats

MOST = 50


def find_suspects(
    rows: Sequence[Example], truth: Binary, probabilities: Floats, labels: Sequence[str], task: Task
) -> list[Suspect]:
    """The most contradicted rows first, from out-of-fold probabilities of shape (rows, labels).

    Where val or test were cut from train, a row has the number that it had when train was sent.
    """
    doubt, given, suggested = _choosing(truth, probabilities) if task == "choosing" else _deciding(truth, probabilities)
    order = [int(row) for row in np.argsort(-doubt, kind="stable")[:MOST] if doubt[row] > 0]
    return [
        Suspect(
            row=rows[row].place("train", row)[1],
            text=rows[row].text[:LONGEST_TEXT],
            labels=list(rows[row].labels),
            suggested=[labels[label] for label in np.flatnonzero(suggested[row]).tolist()],
            probability=float(given[row]),
        )
        for row in order
    ]


def _choosing(truth: Binary, probabilities: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Doubt of each row, what its own label was given, and the label in its place as a row of a matrix."""
    given = (probabilities * truth).sum(axis=1)
    others = np.where(truth == 1, -np.inf, probabilities)
    best = others.argmax(axis=1)
    return others[np.arange(len(best)), best] - given, given, np.eye(truth.shape[1], dtype=bool)[best]


def _deciding(truth: Binary, probabilities: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """By the row's most contradicted label; suggested is the row with that one turned over."""
    given = np.where(truth == 1, probabilities, 1 - probabilities)
    worst = given.argmin(axis=1)
    rows = np.arange(len(worst))
    suggested = truth.astype(bool)
    suggested[rows, worst] = ~suggested[rows, worst]
    return 0.5 - given[rows, worst], given[rows, worst], suggested
