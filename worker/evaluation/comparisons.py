"""The model beside what costs next to nothing: baselines, languages, doubtful labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import vstack

from service.datasets.dataset import Example
from service.jobs.report import Baseline, BaselineName, Suspect, SuspectCounts, Transfer, UnmeasuredBaseline
from service.jobs.spec import HEAD_SPLITS, HeadRows
from service.logs import get_logger
from service.store.records import Task
from worker.evaluation.baselines import compare, frozen_embeddings, majority, tfidf
from worker.evaluation.folds import out_of_fold, text_groups
from worker.evaluation.metrics import Binary, Floats, decide
from worker.evaluation.suspects import find_suspects
from worker.evaluation.tfidf import tfidf_features
from worker.evaluation.thresholds import fit_thresholds
from worker.evaluation.transfer import make_transfer

log = get_logger(__name__)


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
    unmeasured: list[UnmeasuredBaseline]
    transfer: Transfer | None
    suspects: list[Suspect]
    suspect_counts: SuspectCounts


def compare_with_simple_models(
    splits: Mapping[str, Measured], predicted: Binary, labels: list[str], task: Task, head_rows: HeadRows
) -> Comparisons:
    """`splits`: train, val and test; `predicted`: the model's labels of the test rows.

    Baselines learn from the very rows that the model's head learnt from.
    """
    train, test = splits["train"], splits["test"]
    baselines, unmeasured = _measure_baselines(splits, predicted, task, head_rows)
    doubted = out_of_fold(train.features, train.truth, text_groups(train.texts), task)
    suspects, counts = find_suspects(train.rows, train.truth, doubted, labels, task)
    return Comparisons(
        baselines=baselines,
        unmeasured=unmeasured,
        transfer=make_transfer(
            (train.rows, train.features, train.truth), (test.rows, test.features, test.truth), predicted, task
        ),
        suspects=suspects,
        suspect_counts=counts,
    )


def _measure_baselines(
    splits: Mapping[str, Measured], predicted: Binary, task: Task, head_rows: HeadRows
) -> tuple[list[Baseline], list[UnmeasuredBaseline]]:
    """A model is trained by then: what its baselines lack of memory must not cost it."""
    learnt = HEAD_SPLITS[head_rows]
    ways: dict[BaselineName, Callable[[], Binary]] = {
        "majority": lambda: majority(_truth_of(splits, learnt), len(splits["test"].rows), task),
        "tfidf_logistic_regression": lambda: _by_words(splits, learnt, task),
        "frozen_embeddings_logistic_regression": lambda: _by_features(splits, learnt, task),
    }
    found, missing = [], []
    for name, answer in ways.items():
        try:
            found.append(compare(name, splits["test"].truth, predicted, answer()))
        except MemoryError:
            log.warning("baseline_not_measured", baseline=name, exc_info=True)
            missing.append(UnmeasuredBaseline(name=name, reason="out_of_memory"))
    return found, missing


def _by_words(splits: Mapping[str, Measured], learnt: tuple[str, ...], task: Task) -> Binary:
    classes = splits["train"].truth.shape[1] if task == "choosing" else 1
    texts = {name: split.texts for name, split in splits.items()}
    words = tfidf_features([text for name in learnt for text in texts[name]], texts, classes)

    def probabilities(known: tuple[str, ...], asked: str) -> Floats:
        return tfidf(vstack([words[name] for name in known]), _truth_of(splits, known), words[asked], task)

    return _labels_of_test(probabilities, splits, learnt, task)


def _by_features(splits: Mapping[str, Measured], learnt: tuple[str, ...], task: Task) -> Binary:
    def probabilities(known: tuple[str, ...], asked: str) -> Floats:
        features = np.concatenate([splits[name].features for name in known])
        return frozen_embeddings(features, _truth_of(splits, known), splits[asked].features, task)

    return _labels_of_test(probabilities, splits, learnt, task)


def _truth_of(splits: Mapping[str, Measured], names: tuple[str, ...]) -> Binary:
    return np.concatenate([splits[name].truth for name in names])


def _labels_of_test(
    probabilities: Callable[[tuple[str, ...], str], Floats],
    splits: Mapping[str, Measured],
    learnt: tuple[str, ...],
    task: Task,
) -> Binary:
    """Thresholds are fitted where the model fits its own."""
    if task == "choosing":
        return decide(probabilities(learnt, "test"), task)
    thresholds = fit_thresholds(probabilities(("train",), "val"), splits["val"].truth)
    return decide(probabilities(learnt, "test"), task, thresholds)
