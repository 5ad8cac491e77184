"""The head before the rest: logistic regression on the frozen features (linear probing, then fine-tuning).

Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution": from a random
head the first steps pull the encoder about; from a fitted one they do not have to.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from service.inference.network import TextClassifier
from service.jobs.spec import ClassWeight
from service.store.records import Task

Groups = NDArray[np.int64]  # shape (rows,); the same number for copies of a text


@dataclass(frozen=True, slots=True)
class Strength:
    """Inverse strength of regularisation: scikit-learn's C is this by the rows, so that it holds from 50 to 1,000.

    For choosing it is also times the labels: what speaks for each is its share of the rows. For deciding each label has
    a regression of its own, in which that is one of two, however many others there are.
    """

    choosing: float
    deciding: float


# Features have variance 1 in each row, so one fits all encoders; those that were fine-tuned on the very rows that the
# probe is fitted to tell labels apart with less.
FROZEN, FINE_TUNED = Strength(choosing=1.0, deciding=6.0), Strength(choosing=0.15, deciding=2.0)
MAX_ITERATIONS = 1_000
# A head that lacks a fifth of the validation texts is less sure of the rest than the published one is: the temperature
# comes out too high (ECE 0.051, and 0.048 of 20 folds: 20 models of 200 texts). Of many rows a fifth is missed less.
FOLDS, FOLDS_OF_FEW, FEW_ROWS = 5, 20, 500


@dataclass(frozen=True, slots=True)
class LinearProbe:
    """`weight` float64 of shape (labels, features), `bias` of shape (labels,)."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Shape (rows, labels)."""
        return np.asarray(features @ self.weight.T + self.bias)

    def into(self, network: TextClassifier) -> None:
        """Makes it the network's head."""
        with torch.no_grad():
            network.head.weight.copy_(torch.from_numpy(self.weight))
            network.head.bias.copy_(torch.from_numpy(self.bias))


def fit_probe(
    features: NDArray[np.floating],
    truth: NDArray[np.int64],
    task: Task,
    strength: Strength = FROZEN,
    class_weight: ClassWeight = "balanced",
) -> LinearProbe:
    """From features of shape (rows, features) and 0/1 labels of shape (rows, labels).

    `strength`: `FROZEN` or `FINE_TUNED`, by what the features are of.
    `class_weight`: "balanced" has classes count alike: with few rows, rare labels would else not be seen at all.
    """
    if task == "deciding":
        parts = [
            _fit_label(features, truth[:, label], strength.deciding, class_weight) for label in range(truth.shape[1])
        ]
        return LinearProbe(np.stack([weight for weight, _ in parts]), np.array([bias for _, bias in parts]))
    classes = truth.argmax(axis=1)
    known = np.unique(classes)
    weight, bias = np.zeros((truth.shape[1], features.shape[1])), np.full(truth.shape[1], _log_odds(0, len(truth)))
    if len(known) == 1:  # a fold or a slice may hold a single class
        bias[known[0]] = 0.0
        return LinearProbe(weight, bias)
    model = _regression(strength.choosing * truth.shape[1] / len(truth), class_weight).fit(features, classes)
    if len(known) == 2:  # scikit-learn has one row of weights for two classes
        weight[known], bias[known] = (
            np.vstack([-model.coef_, model.coef_]) / 2,
            np.r_[-model.intercept_, model.intercept_] / 2,
        )
    else:
        weight[known], bias[known] = model.coef_, model.intercept_
    return LinearProbe(weight, bias)


def fit_head_to_both(
    train: NDArray[np.floating],
    truth_train: NDArray[np.int64],
    val: NDArray[np.floating],
    truth_val: NDArray[np.int64],
    task: Task,
    groups: Groups,
    class_weight: ClassWeight = "balanced",
) -> tuple[LinearProbe, NDArray[np.float64]]:
    """The head of training and validation texts, and out-of-fold logits of the latter, shape (val rows, labels): each
    by a head that saw neither that text nor a copy of it. From features of shape (rows, features), labels of shape
    (rows, labels); `groups`: of the validation texts."""

    def fit(own: NDArray[np.integer]) -> LinearProbe:
        both, truth = np.concatenate([train, val[own]]), np.concatenate([truth_train, truth_val[own]])
        return fit_probe(both, truth, task, FINE_TUNED, class_weight)

    logits = np.zeros(truth_val.shape)
    folds = FOLDS_OF_FEW if len(train) + len(val) <= FEW_ROWS else FOLDS
    if (kinds := len(np.unique(groups))) > 1:
        for rest, held_out in GroupKFold(min(folds, kinds), shuffle=True, random_state=0).split(val, groups=groups):
            logits[held_out] = fit(rest).logits(val[held_out])
    else:
        logits[:] = fit(np.arange(0)).logits(val)
    return fit(np.arange(len(val))), logits


def _fit_label(
    features: NDArray[np.floating], truth: NDArray[np.int64], strength: float, class_weight: ClassWeight
) -> tuple[NDArray[np.float64], float]:
    positives = int(truth.sum())
    if positives in (0, len(truth)):
        return np.zeros(features.shape[1]), _log_odds(positives, len(truth))
    model = _regression(strength / len(truth), class_weight).fit(features, truth)
    return model.coef_[0], float(model.intercept_[0])


def _regression(c: float, class_weight: ClassWeight) -> LogisticRegression:
    return LogisticRegression(
        C=c, class_weight=None if class_weight == "none" else class_weight, max_iter=MAX_ITERATIONS
    )


def _log_odds(positives: int, rows: int) -> float:
    """Of a label that is always or never there, with half a row of doubt."""
    return float(np.log((positives + 0.5) / (rows - positives + 0.5)))
