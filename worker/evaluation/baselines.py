"""What a user could have instead for next to nothing, on the very same rows."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_union

from service.jobs.report import Baseline
from service.store.records import Task
from worker.evaluation.calibration import activate
from worker.evaluation.intervals import Bootstrap, accuracy_interval, macro_f1_draws, macro_f1_interval
from worker.evaluation.metrics import Binary, Floats, decide, macro_f1
from worker.training.probe import fit_probe

FOLDS = 5
# Test rows with labels from which the interval of a gain is believed. The bootstrap's intervals are too narrow on few
# rows: of two models that are equally good, one "beat" the other in up to 6 % of tests of 4 to 15 rows, where 2.5 % are
# meant; from 20 on in 3 %, with ten labels 5 %.
LEAST_ROWS = 20


def majority(truth_train: Binary, rows: int, task: Task) -> Binary:
    """Choosing: always the commonest label. Deciding: each label as most of train has it."""
    if task == "choosing":
        return np.tile(decide(truth_train.mean(axis=0, keepdims=True), task), (rows, 1))
    return np.tile((truth_train.mean(axis=0) >= 0.5).astype(np.int64), (rows, 1))


def tfidf(train: Sequence[str], truth_train: Binary, texts: Sequence[str], task: Task) -> Floats:
    """Probabilities for `texts` by words and characters weighted by TF-IDF and logistic regression."""
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b")
    characters = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 5))
    has_words = any(re.search(r"\w", text) for text in train)  # emoji have none, and scikit-learn fails without any
    vectors = make_union(words, characters) if has_words else characters
    known, asked = vectors.fit_transform(train), vectors.transform(texts)
    if task == "deciding":
        return np.column_stack([_regression(known, own, asked, classes=2)[:, 1] for own in truth_train.T])
    return _regression(known, truth_train.argmax(axis=1), asked, truth_train.shape[1])


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


def out_of_fold(features: NDArray[np.floating], truth: Binary, task: Task, seed: int = 0) -> Floats:
    """`frozen_embeddings` of each row by a probe that never saw it; one half of a row that is alone."""
    probabilities = np.full(truth.shape, 0.5)
    if len(truth) == 1:
        return probabilities
    for rest, held_out in KFold(min(FOLDS, len(truth)), shuffle=True, random_state=seed).split(features):
        probabilities[held_out] = frozen_embeddings(features[rest], truth[rest], features[held_out], task)
    return probabilities


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
