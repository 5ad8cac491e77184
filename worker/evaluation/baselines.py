"""What a user could have instead for next to nothing, on the very same rows."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from service.jobs.report import Baseline
from service.store.records import Task
from worker.evaluation.intervals import Bootstrap, accuracy_interval, macro_f1_draws, macro_f1_interval
from worker.evaluation.metrics import Binary, Floats, decide, macro_f1
from worker.evaluation.scaling import activate
from worker.training.probe import fit_probe

# Test rows with labels from which the interval of a gain is believed. The bootstrap's intervals are too narrow on few
# rows: of two models that are equally good, one "beat" the other in up to 6 % of tests of 4 to 15 rows, where 2.5 % are
# meant; from 20 on in 3 %, with ten labels 5 %.
LEAST_ROWS = 20


def majority(truth_train: Binary, rows: int, task: Task) -> Binary:
    """Choosing: always the commonest label. Deciding: each label as most of train has it."""
    if task == "choosing":
        return np.tile(decide(truth_train.mean(axis=0, keepdims=True), task), (rows, 1))
    return np.tile((truth_train.mean(axis=0) >= 0.5).astype(np.int64), (rows, 1))


def tfidf(known: csr_matrix, truth: Binary, asked: csr_matrix, task: Task) -> Floats:
    """Probabilities by logistic regression on TF-IDF, see `tfidf_features`."""
    if task == "deciding":
        return np.column_stack([_regression(known, own, asked, classes=2)[:, 1] for own in truth.T])
    return _regression(known, truth.argmax(axis=1), asked, truth.shape[1])


def _regression(known: csr_matrix, truth: NDArray[np.int64], asked: csr_matrix, classes: int) -> Floats:
    """Probabilities of shape (rows asked, classes). Where all known rows are of one class, nothing else is thought of:
    scikit-learn refuses to, and its one-versus-rest takes a lone label that all rows have for one that none has."""
    probabilities, found = np.zeros((asked.shape[0], classes)), np.unique(truth)
    if len(found) == 1:
        probabilities[:, found] = 1.0
    else:
        model = LogisticRegression(C=10, class_weight="balanced", max_iter=1_000).fit(known, truth)
        probabilities[:, found] = model.predict_proba(asked)
    return probabilities


def frozen_embeddings(
    train: NDArray[np.floating], truth_train: Binary, features: NDArray[np.floating], task: Task
) -> Floats:
    """Probabilities by logistic regression on what the base model's frozen encoder says of each text."""
    return activate(fit_probe(train, truth_train, task).logits(features), task)


def compare(name: str, truth: Binary, model: Binary, baseline: Binary) -> Baseline:
    """The baseline's figures and the model's gain over it, on the same draws of the test rows."""
    bootstrap = Bootstrap(len(truth))
    scores = {
        kind: bootstrap.over(lambda weights, labels=labels: macro_f1_draws(weights, truth, labels))  # type: ignore[misc]
        for kind, labels in (("model", model), ("baseline", baseline))
    }
    lead = macro_f1(truth, model) - macro_f1(truth, baseline)
    gain = bootstrap.interval(lead, scores["model"] - scores["baseline"])
    telling = (truth | model | baseline).any(axis=1).sum()  # rows with no label, rightly given none, tell of nothing
    return Baseline(
        name=name,  # type: ignore[arg-type]  # pydantic checks that it is one of the three
        accuracy=accuracy_interval(truth, baseline),
        macro_f1=macro_f1_interval(truth, baseline, scores["baseline"]),
        gain=gain,
        beaten=bool(gain.low > 0 and telling >= LEAST_ROWS),
    )
