"""The model beside what costs next to nothing: baselines, languages, doubtful labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Example
from service.jobs.report import Baseline, Suspect, Transfer
from service.store.records import Task
from worker.evaluation.baselines import (
    compare,
    decide_like_the_model,
    frozen_embeddings,
    majority,
    out_of_fold,
    tfidf,
)
from worker.evaluation.metrics import Binary
from worker.evaluation.suspects import find_suspects
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


@dataclass(frozen=True, slots=True)
class Comparisons:
    baselines: list[Baseline]
    transfer: Transfer | None
    suspects: list[Suspect]


def compare_with_simple_models(
    splits: Mapping[str, Measured], predicted: Binary, labels: list[str], task: Task
) -> Comparisons:
    """`splits`: train, val and test; `predicted`: the model's labels of the test rows."""
    train, test = splits["train"], splits["test"]
    return Comparisons(
        baselines=[compare(name, test.truth, predicted, own) for name, own in _baseline_labels(splits, task).items()],
        transfer=make_transfer(
            (train.rows, train.features, train.truth), (test.rows, test.features, test.truth), predicted, task
        ),
        suspects=find_suspects(train.rows, train.truth, out_of_fold(train.features, train.truth, task), labels, task),
    )


def _baseline_labels(splits: Mapping[str, Measured], task: Task) -> dict[str, Binary]:
    train, val, test = splits["train"], splits["val"], splits["test"]
    by_words = tfidf(train.texts, train.truth, [*val.texts, *test.texts], task)
    features = np.concatenate([val.features, test.features])
    by_features = frozen_embeddings(train.features, train.truth, features, task)
    return {
        "majority": majority(train.truth, len(test.rows), task),
        **{
            name: decide_like_the_model(both[len(val.rows) :], both[: len(val.rows)], val.truth, task)
            for name, both in (
                ("tfidf_logistic_regression", by_words),
                ("frozen_embeddings_logistic_regression", by_features),
            )
        },
    }
