"""Trained in one language, tested in another: what one language's examples are worth to the others."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Example
from service.jobs.report import Transfer
from service.store.records import Task
from worker.evaluation.baselines import frozen_embeddings
from worker.evaluation.metrics import Binary, decide
from worker.evaluation.slices import LANGUAGE_COLUMNS, LEAST_ROWS, groups_of, present_macro_f1, slice_columns

LEAST_TO_TRAIN_ON = 20
MOST_LANGUAGES = 20
ALL, ALL_QUICK = "all (the published model)", "all (the same quick classifier)"
Rows = NDArray[np.int64]


def make_transfer(
    train: tuple[Sequence[Example], NDArray[np.floating], Binary],
    test: tuple[Sequence[Example], NDArray[np.floating], Binary],
    predicted: Binary,
    task: Task,
) -> Transfer | None:
    """The matrix of macro-F1, or None where no column names the rows' languages.

    The quick classifier of all languages stands between those of one and the published model: what the latter has over
    the ones above it may be its method, and not the other languages.

    `train` and `test`: rows, frozen features of shape (rows, features), labels of shape (rows, labels).
    """
    column = next((name for name in slice_columns(test[0]) if name.casefold() in LANGUAGE_COLUMNS), None)
    if column is None:
        return None
    sources = {value: own for value, own in groups_of(train[0], column).items() if len(own) >= LEAST_TO_TRAIN_ON}
    targets = {value: own for value, own in groups_of(test[0], column).items() if len(own) >= LEAST_ROWS}
    sources, targets = dict(list(sources.items())[:MOST_LANGUAGES]), dict(list(targets.items())[:MOST_LANGUAGES])
    everything = np.arange(len(train[0]))
    quick = {**sources, ALL_QUICK: everything}
    rows = [[_score(train, own, test, there, task) for there in targets.values()] for own in quick.values()]
    last: list[float | None] = [present_macro_f1(test[2][there], predicted[there]) for there in targets.values()]
    return Transfer(
        column=column,
        trained_in=[*quick, ALL],
        tested_in=[*targets],
        macro_f1=[*rows, last],
        trained_on=[*map(len, quick.values()), len(everything)],
        tested_on=[*map(len, targets.values())],
    )


def _score(
    train: tuple[Sequence[Example], NDArray[np.floating], Binary],
    own: Rows,
    test: tuple[Sequence[Example], NDArray[np.floating], Binary],
    there: Rows,
    task: Task,
) -> float | None:
    truth = train[2][own]
    if truth.any(axis=0).sum() < 2:
        return None  # one label: nothing was learnt
    probabilities = frozen_embeddings(train[1][own], truth, test[1][there], task)
    return present_macro_f1(test[2][there], decide(probabilities, task))
