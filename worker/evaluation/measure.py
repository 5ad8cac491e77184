"""The test split, measured once with the classifier that serves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logit
from sklearn.metrics import classification_report, confusion_matrix

from service.datasets.dataset import Example
from service.inference.predictions import Encoding, rank
from service.jobs.report import ConfusionMatrix, LabelCounts, LabelResult, Misclassified, TestResult
from service.store.records import Json, Task
from worker.evaluation.agreement import kappa_of_choosing, kappas_of_labels
from worker.evaluation.intervals import Bootstrap, label_f1_bounds, label_f1_draws, label_intervals, wilson
from worker.evaluation.metrics import (
    Binary,
    Floats,
    label_f1,
    right_rows,
    row_losses,
    to_matrix,
)

MOST_MISCLASSIFIED = 1_000
LONGEST_TEXT = 500  # characters of a text that a report shows
MOST_SCORES = 10
SAMPLES, DIGITS = "samples avg", 3  # a row of scikit-learn's table, and how it writes figures


def measure(
    examples: Sequence[Example],
    rows: Sequence[Encoding],
    scores: Floats,
    predicted: Binary,
    labels: list[str],
    task: Task,
    thresholds: Sequence[float] = (),
) -> tuple[TestResult, str]:
    """The test result, and scikit-learn's report as text.

    Of shape (examples, labels): `scores`, the probabilities; `predicted`, the labels that `/predict` gives, 0 or 1.
    `thresholds`, for deciding: from which these were given.
    """
    truth = to_matrix([example.labels for example in examples], labels)
    wrong = np.flatnonzero(~right_rows(truth, predicted)).tolist()
    deciding = task == "deciding"
    sureness = _distances(scores, truth, predicted, thresholds) if deciding else scores.max(axis=1)
    losses = row_losses(scores, truth, task)
    figures = label_intervals(truth, predicted, task) | {"loss": Bootstrap(len(losses)).mean(losses)}
    if not deciding and (kappa := kappa_of_choosing(truth, predicted)):
        figures["kappa"] = kappa
    report, text = _sklearn_reports(truth, predicted, labels, task)
    result = TestResult(
        rows=len(examples),
        loss=figures["loss"].value,
        accuracy=figures["accuracy"].value,
        macro_f1=figures["macro_f1"].value,
        micro_f1=figures["micro_f1"].value,
        samples_f1=figures["samples_f1"].value if deciding else None,
        hamming_loss=figures["hamming_loss"].value if deciding else None,
        kappa=figures["kappa"].value if "kappa" in figures else None,
        truncated_rows=sum(row.truncated for row in rows),
        intervals=figures,
        per_label=_per_label(truth, predicted, labels, task),
        classification_report=report,
        confusion_matrix=None if deciding else _confusion(truth, predicted, labels),
        label_counts=_label_counts(truth, predicted, labels) if deciding else None,
        misclassified_rows=len(wrong),
        misclassified=_surest(wrong, sureness, examples, scores, predicted, labels),
    )
    return result, text


def _per_label(truth: Binary, predicted: Binary, labels: Sequence[str], task: Task) -> dict[str, LabelResult]:
    bootstrap = Bootstrap(len(truth))
    f1_draws = bootstrap.over(lambda weights: label_f1_draws(weights, truth, predicted))
    hits, given, own = (truth * predicted).sum(axis=0), predicted.sum(axis=0), truth.sum(axis=0)
    f1 = label_f1(truth, predicted)
    kappas = kappas_of_labels(truth, predicted) if task == "deciding" else [None] * len(labels)
    results = {}
    for n, label in enumerate(labels):
        precision, recall = wilson(int(hits[n]), int(given[n])), wilson(int(hits[n]), int(own[n]))
        interval = bootstrap.interval(float(f1[n]), f1_draws[:, n], label_f1_bounds(precision, recall))
        results[label] = LabelResult(
            support=int(own[n]), precision=precision, recall=recall, f1=interval, kappa=kappas[n]
        )
    return results


def _sklearn_reports(truth: Binary, predicted: Binary, labels: list[str], task: Task) -> tuple[Json, str]:
    """As a dictionary and as text. For deciding, a row with no label that was given none is right in its `samples avg`
    too, as in our samples-F1; scikit-learn can only count such rows as 0, or every division by zero as 1."""
    report, text = (_as_sklearn_has_it(truth, predicted, labels, task, as_text=as_text) for as_text in (False, True))
    if task == "choosing":
        return report, text
    rightly_empty = float(1 - (truth | predicted).any(axis=1).mean())
    own = {name: report[SAMPLES][name] + rightly_empty for name in ("precision", "recall", "f1-score")}
    above, _, row = text.rpartition(SAMPLES)  # the last row
    figures = "".join(f" {figure:>9.{DIGITS}f}" for figure in own.values())
    return report | {SAMPLES: report[SAMPLES] | own}, f"{above}{SAMPLES} {figures} {row.split()[-1]:>9}\n"


def _as_sklearn_has_it(truth: Binary, predicted: Binary, labels: list[str], task: Task, *, as_text: bool) -> Any:
    if task == "choosing":
        truth, predicted = truth.argmax(axis=1), predicted.argmax(axis=1)
    elif len(labels) == 1:  # an empty column beside it, which is not asked for: one alone is taken for two classes
        truth, predicted = (np.pad(matrix, ((0, 0), (0, 1))) for matrix in (truth, predicted))
    return classification_report(
        truth,
        predicted,
        labels=range(len(labels)),
        target_names=labels,
        zero_division=0,
        output_dict=not as_text,
        digits=DIGITS,
    )


def _confusion(truth: Binary, predicted: Binary, labels: list[str]) -> ConfusionMatrix:
    counts = confusion_matrix(truth.argmax(axis=1), predicted.argmax(axis=1), labels=range(len(labels)))
    return ConfusionMatrix(labels=labels, counts=counts.tolist())


def _label_counts(truth: Binary, predicted: Binary, labels: list[str]) -> dict[str, LabelCounts]:
    hits, own, given = (truth * predicted).sum(axis=0), truth.sum(axis=0), predicted.sum(axis=0)
    counts = zip(labels, hits.tolist(), (given - hits).tolist(), (own - hits).tolist(), strict=True)
    return {
        label: LabelCounts(
            true_positives=tp, false_positives=fp, false_negatives=fn, true_negatives=len(truth) - tp - fp - fn
        )
        for label, tp, fp, fn in counts
    }


def _distances(scores: Floats, truth: Binary, predicted: Binary, thresholds: Sequence[float]) -> Floats:
    """How far each row's surest mistake is from its label's threshold, in log-odds, shape (rows,): a right label may
    have the highest score of all, and a label that is missed has a low one."""
    odds = logit(np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7))
    distances = np.abs(odds - logit(np.clip(np.asarray(thresholds), 1e-7, 1 - 1e-7)))
    return np.asarray(np.where(truth != predicted, distances, 0.0).max(axis=1))


def _surest(
    wrong: Sequence[int],
    sureness: Floats,
    examples: Sequence[Example],
    scores: Floats,
    predicted: Binary,
    labels: Sequence[str],
) -> list[Misclassified]:
    """They tell most about the data and the labels."""
    ranked = sorted(wrong, key=lambda row: -sureness[row])
    places = {row: examples[row].place("test", row) for row in ranked[:MOST_MISCLASSIFIED]}
    return [
        Misclassified(
            split=split,
            row=sent_row,
            text=examples[row].text[:LONGEST_TEXT],
            true_labels=list(examples[row].labels),
            predicted_labels=(given := [labels[place] for place in np.flatnonzero(predicted[row]).tolist()]),
            scores=_largest(rank(labels, scores[row].astype(np.float32).tolist()), [*examples[row].labels, *given]),
        )
        for row, (split, sent_row) in places.items()
    ]


def _largest(ranked: list[tuple[str, float]], concerned: Sequence[str]) -> dict[str, float]:
    """And those of the labels concerned, wherever they rank."""
    scores = dict(ranked)
    return dict(ranked[:MOST_SCORES]) | {label: scores[label] for label in concerned}
