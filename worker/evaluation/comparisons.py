"""The model beside what costs next to nothing: baselines, languages, doubtful labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Example
from service.jobs.report import Baseline, Suspect, Transfer
from service.jobs.spec import HeadRows
from service.store.records import Task
from worker.evaluation.baselines import (
    compare,
    frozen_embeddings,
    majority,
    out_of_fold,
    tfidf,
)
from worker.evaluation.metrics import Binary, Floats, decide
from worker.evaluation.suspects import find_suspects
from worker.evaluation.thresholds import fit_thresholds
from worker.evaluation.transfer import make_transfer


@dataclass(frozen=True, slots=True)
class Measured:
    """One split: its rows, their frozen features of shape (rows, features), their labels of shape (rows, labels)."""

    rows: list[Example]
    features: NDArray[np.float32]
    truth: Binary

    @property
    def texts(self) -> list[str]:
        return [row.text for row in self.rows]

    def and_those_of(self, other: "Measured") -> "Measured":
        return Measured(
            [*self.rows, *other.rows],
            np.concatenate([self.features, other.features]),
            np.concatenate([self.truth, other.truth]),
        )


@dataclass(frozen=True, slots=True)
class Comparisons:
    baselines: list[Baseline]
    transfer: Transfer | None
    suspects: list[Suspect]


def compare_with_simple_models(
    splits: Mapping[str, Measured], predicted: Binary, labels: list[str], task: Task, head_rows: HeadRows
) -> Comparisons:
    """`splits`: train, val and test; `predicted`: the model's labels of the test rows.

    Baselines learn from the very rows that the model's head learnt from.
    """
    train, test = splits["train"], splits["test"]
    return Comparisons(
        baselines=[
            compare(name, test.truth, predicted, own) for name, own in _baseline_labels(splits, task, head_rows).items()
        ],
        transfer=make_transfer(
            (train.rows, train.features, train.truth), (test.rows, test.features, test.truth), predicted, task
        ),
        suspects=find_suspects(train.rows, train.truth, out_of_fold(train.features, train.truth, task), labels, task),
    )


def _baseline_labels(splits: Mapping[str, Measured], task: Task, head_rows: HeadRows) -> dict[str, Binary]:
    train, val, test = splits["train"], splits["val"], splits["test"]
    learnt = train if head_rows == "train" else train.and_those_of(val)

    def by_words(known: Measured, asked: Measured) -> Floats:
        return tfidf(known.texts, known.truth, asked.texts, task)

    def by_features(known: Measured, asked: Measured) -> Floats:
        return frozen_embeddings(known.features, known.truth, asked.features, task)

    def labels_of_test(probabilities: Callable[[Measured, Measured], Floats]) -> Binary:
        if task == "choosing":
            return decide(probabilities(learnt, test), task)
        thresholds = fit_thresholds(probabilities(train, val), val.truth)  # fitted where the model fits its own
        return decide(probabilities(learnt, test), task, thresholds)

    return {
        "majority": majority(learnt.truth, len(test.rows), task),
        "tfidf_logistic_regression": labels_of_test(by_words),
        "frozen_embeddings_logistic_regression": labels_of_test(by_features),
    }
