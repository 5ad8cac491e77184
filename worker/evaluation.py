"""Measuring a classifier with scikit-learn: each epoch on validation, once at the end on test."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    classification_report,
    confusion_matrix,
    f1_score,
    multilabel_confusion_matrix,
)

from service.datasets.dataset import Example
from service.inference.classifier import Classifier
from service.inference.predictions import Encoding, Prediction, Scores, read_predictions
from service.jobs.report import ConfusionMatrix, LabelCounts, Misclassified, TestResult
from service.store.records import Task

Binary = NDArray[np.int64]
MOST_MISCLASSIFIED = 1_000
LONGEST_TEXT = 500  # characters
MOST_SCORES = 10


def to_matrix(label_sets: Sequence[Sequence[str]], labels: Sequence[str]) -> Binary:
    """0/1 of shape (rows, labels)."""
    column = {label: number for number, label in enumerate(labels)}
    matrix = np.zeros((len(label_sets), len(labels)), dtype=np.int64)
    for row, own in enumerate(label_sets):
        matrix[row, [column[label] for label in own]] = 1
    return matrix


def mean_loss(scores: Scores, truth: Binary, task: Task) -> float:
    """Cross-entropy of probabilities of shape (rows, labels): over labels for choosing, of each label for deciding."""
    p = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    if task == "choosing":
        return float(-np.log(p[truth == 1]).mean())
    return float(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean())


def macro_f1(truth: Binary, predicted: Binary) -> float:
    return float(f1_score(truth, predicted, average="macro", zero_division=0))


def validate(classifier: Classifier, rows: Sequence[Encoding], truth: Binary, max_tokens: int) -> dict[str, float]:
    """`val_loss` and `val_macro_f1` of a model that is being trained."""
    scores = classifier.score(rows, max_tokens)
    labels = classifier.card.labels
    predicted = to_matrix([p.labels for p in read_predictions(scores, rows, classifier.card)], labels)
    return {"val_loss": mean_loss(scores, truth, classifier.card.task), "val_macro_f1": macro_f1(truth, predicted)}


def measure(classifier: Classifier, examples: Sequence[Example], max_tokens: int) -> tuple[TestResult, str]:
    """The test result, and scikit-learn's report as text."""
    card = classifier.card
    rows = classifier.encoder.encode([example.text for example in examples])
    scores = classifier.score(rows, max_tokens)
    predictions = read_predictions(scores, rows, card)
    truth = to_matrix([example.labels for example in examples], card.labels)
    predicted = to_matrix([prediction.labels for prediction in predictions], card.labels)
    wrong = [row for row in range(len(examples)) if not np.array_equal(truth[row], predicted[row])]
    matrix, counts = _confusion(truth, predicted, card.labels, card.task)
    result = TestResult(
        rows=len(examples),
        loss=mean_loss(scores, truth, card.task),
        accuracy=float(accuracy_score(truth, predicted)),
        macro_f1=macro_f1(truth, predicted),
        micro_f1=float(f1_score(truth, predicted, average="micro", zero_division=0)),
        truncated_rows=sum(row.truncated for row in rows),
        classification_report=_sklearn_report(truth, predicted, card.labels, card.task, as_text=False),
        confusion_matrix=matrix,
        label_counts=counts,
        misclassified_rows=len(wrong),
        misclassified=_surest(wrong, examples, predictions),
    )
    return result, _sklearn_report(truth, predicted, card.labels, card.task, as_text=True)


def _sklearn_report(truth: Binary, predicted: Binary, labels: list[str], task: Task, *, as_text: bool):  # type: ignore[no-untyped-def]  # str or dict, as scikit-learn has it
    if task == "choosing":
        truth, predicted = truth.argmax(axis=1), predicted.argmax(axis=1)
    return classification_report(
        truth,
        predicted,
        labels=range(len(labels)),
        target_names=labels,
        zero_division=0,
        output_dict=not as_text,
        digits=3,
    )


def _confusion(
    truth: Binary, predicted: Binary, labels: list[str], task: Task
) -> tuple[ConfusionMatrix | None, dict[str, LabelCounts] | None]:
    if task == "choosing":
        counts = confusion_matrix(truth.argmax(axis=1), predicted.argmax(axis=1), labels=range(len(labels)))
        return ConfusionMatrix(labels=labels, counts=counts.tolist()), None
    tables = multilabel_confusion_matrix(truth, predicted).tolist()
    return None, {
        label: LabelCounts(true_positives=tp, false_positives=fp, false_negatives=fn, true_negatives=tn)
        for label, ((tn, fp), (fn, tp)) in zip(labels, tables, strict=True)
    }


def _surest(
    wrong: Sequence[int], examples: Sequence[Example], predictions: Sequence[Prediction]
) -> list[Misclassified]:
    """The mistakes with the highest scores first: they tell most about the data and the labels."""
    ranked = sorted(wrong, key=lambda row: -max(predictions[row].scores.values()))
    return [
        Misclassified(
            row=row,
            text=examples[row].text[:LONGEST_TEXT],
            true_labels=list(examples[row].labels),
            predicted_labels=predictions[row].labels,
            scores=dict(list(predictions[row].scores.items())[:MOST_SCORES])
            | {label: predictions[row].scores[label] for label in examples[row].labels},
        )
        for row in ranked[:MOST_MISCLASSIFIED]
    ]
