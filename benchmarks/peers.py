"""What a user could pick instead of Classiglot. Runs in an environment of its own, `python -m benchmarks.peers`.

Reads one request as JSON from standard input and answers on standard output with the probabilities of validation and
test texts, and the seconds from the first text to the last probability, libraries and weights being loaded included.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion

from benchmarks.scores import Probabilities, macro_f1_at_best
from service.store.records import Task
from worker.evaluation.metrics import Binary, to_matrix


@dataclass(frozen=True, slots=True)
class Contest:
    """Texts of train, val and test, and the truth of train and val; `checkpoint` is the base model's folder."""

    task: Task
    texts: dict[str, list[str]]
    truth: dict[str, Binary]
    checkpoint: str
    seed: int

    @classmethod
    def from_json(cls, request: dict[str, Any]) -> "Contest":
        return cls(
            task=request["task"],
            texts={split: request[split]["texts"] for split in ("train", "val", "test")},
            truth={split: to_matrix(request[split]["labels"], request["labels"]) for split in ("train", "val")},
            checkpoint=request["checkpoint"],
            seed=request["seed"],
        )

    @property
    def targets(self) -> Any:
        """As scikit-learn wants them: label numbers for choosing, the 0/1 matrix for deciding."""
        return self.truth["train"].argmax(axis=1) if self.task == "choosing" else self.truth["train"]


Answer = dict[str, Probabilities]  # for "val" and "test"
Peer = Callable[[Contest], Answer]


def majority(contest: Contest) -> Answer:
    """Every label as probable as it is frequent in train."""
    shares = contest.truth["train"].mean(axis=0)
    return {split: np.tile(shares, (len(contest.texts[split]), 1)) for split in ("val", "test")}


def tfidf(contest: Contest) -> Answer:
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    features = FeatureUnion([("words", words), ("characters", characters)])
    features.fit(contest.texts["train"])
    return _best_logistic({split: features.transform(texts) for split, texts in contest.texts.items()}, contest, [1.0])


def frozen(contest: Contest) -> Answer:
    from benchmarks.fine_tuned import embed

    return _best_logistic(embed(contest), contest, [0.01, 0.1, 1.0, 10.0])


def trainer(contest: Contest) -> Answer:
    from benchmarks.fine_tuned import train_with_trainer

    return train_with_trainer(contest)


def setfit(contest: Contest) -> Answer:
    from benchmarks.fine_tuned import train_with_setfit

    return train_with_setfit(contest)


PEERS: dict[str, Peer] = {peer.__name__: peer for peer in (majority, tfidf, frozen, trainer, setfit)}


def _best_logistic(features: dict[str, Any], contest: Contest, strengths: Iterable[float]) -> Answer:
    """The logistic regression, plain or balanced, of the C that validation texts like best."""
    answers = [
        _logistic(features, contest, strength, balance) for strength in strengths for balance in (None, "balanced")
    ]
    return max(answers, key=lambda answer: macro_f1_at_best(answer["val"], contest.truth["val"], contest.task))


def _logistic(features: dict[str, Any], contest: Contest, strength: float, balance: str | None) -> Answer:
    model = LogisticRegression(C=strength, class_weight=balance, max_iter=2000)
    if contest.task == "deciding":
        model = OneVsRestClassifier(model)
    model.fit(features["train"], contest.targets)
    return {split: model.predict_proba(features[split]) for split in ("val", "test")}


def answer_to(request: dict[str, Any]) -> dict[str, Any]:
    """From a request as JSON has it to the answer as JSON has it."""
    contest, peer = Contest.from_json(request), PEERS[request["method"]]
    began = time.monotonic()
    answer = peer(contest)
    seconds = time.monotonic() - began
    return {"seconds": seconds} | {split: answer[split].tolist() for split in ("val", "test")}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print; the answer must stand alone
    warnings.simplefilter("ignore")
    json.dump(answer_to(json.load(sys.stdin)), answers)


if __name__ == "__main__":
    main()
