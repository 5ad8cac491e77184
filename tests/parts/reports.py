"""Reports that are made up but hang together: every figure follows from one random confusion."""

import math
import random
from collections.abc import Sequence
from typing import Any

from service.jobs.report import (
    Baseline,
    Calibration,
    CalibrationError,
    ConfusionMatrix,
    GivenCalibration,
    Interval,
    LabelCounts,
    LabelResult,
    Misclassified,
    ReliabilityBin,
    Repeat,
    Report,
    ReportWarning,
    Reproduction,
    Selection,
    Slice,
    Suspect,
    SuspectCounts,
    TestResult,
    Transfer,
    Validation,
    WithoutLeaks,
)
from service.store.records import Task
from worker.evaluation.repeats import summarise

TEXT = "The train was late again, and nobody on the platform knew why or for how long it would be."


def make_report(
    task: Task = "choosing",
    labels: Sequence[str] = ("anger", "joy", "optimism", "sadness"),
    *,
    rows_of_a_label: int = 60,
    epochs: int = 8,
    seed: int = 0,
    text: str = TEXT,
    **changes: Any,
) -> Report:
    """A complete report; `changes` replace its fields. Supports fall from `rows_of_a_label` to a fifth of it."""
    chance = random.Random(seed)
    matrix = _confusion(chance, list(labels), rows_of_a_label)
    test = _test_result(chance, task, matrix, text)
    history = [_epoch(number, epochs) for number in range(1, epochs + 1)]
    fields: dict[str, Any] = {
        "job_id": "job_1",
        "model_id": "mdl_1",
        "dataset_id": "ds_1",
        "task": task,
        "labels": list(labels),
        "warnings": [ReportWarning(code="few_test_rows", message="Some labels have fewer than 30 test rows.")],
        "test": test,
        "baselines": _baselines(test),
        "repeats": summarise(
            [Repeat(seed=n, val_loss=0.5, accuracy=test.accuracy, macro_f1=test.macro_f1 - n / 100) for n in range(3)]
        ),
        "calibration": _calibration(chance, test.rows, task),
        "thresholds": {label: 0.3 + 0.4 * chance.random() for label in labels} if task == "deciding" else None,
        "slices": _slices(test),
        "transfer": _transfer(chance, test.macro_f1),
        "without_leaks": _without_leaks(test),
        "suspects": [_suspect(chance, row, list(labels), text) for row in range(12)],
        "suspect_counts": SuspectCounts(rows=300, judged=298, contradicted=71, suspected=12),
        "selection": Selection(chosen_by="the lowest validation loss", test_scored_before=2),
        "validation": Validation(best=min(history, key=lambda entry: float(entry["val_loss"])), history=history),
        "reproduction": _reproduction(epochs, seed),
    }
    return Report(**(fields | changes))


def interval(value: float, support: int = 100) -> Interval:
    half = 1.96 * math.sqrt(max(value * (1 - value), 0.01) / max(1, support))
    return Interval(value=value, low=max(0.0, value - half), high=min(1.0, value + half), support=support)


def _confusion(chance: random.Random, labels: list[str], rows_of_a_label: int) -> ConfusionMatrix:
    counts = []
    for truth in range(len(labels)):
        total = max(1, round(rows_of_a_label * (1 - 0.8 * truth / max(1, len(labels) - 1))))
        likely = [30.0 if given == truth else chance.random() ** 6 * 12 for given in range(len(labels))]
        drawn = chance.choices(range(len(labels)), likely, k=total)
        counts.append([drawn.count(given) for given in range(len(labels))])
    return ConfusionMatrix(labels=labels, counts=counts)


def _test_result(chance: random.Random, task: Task, matrix: ConfusionMatrix, text: str) -> TestResult:
    per_label = {label: _label_result(matrix, number, task) for number, label in enumerate(matrix.labels)}
    rows = sum(map(sum, matrix.counts))
    wrong = rows - sum(row[number] for number, row in enumerate(matrix.counts))
    accuracy = (rows - wrong) / rows
    macro = sum(result.f1.value for result in per_label.values()) / len(per_label)
    figures = {"accuracy": accuracy, "macro_f1": macro, "micro_f1": accuracy}
    if task == "deciding":
        figures |= {"samples_f1": accuracy, "hamming_loss": (1 - accuracy) / len(per_label)}
    else:
        figures |= {"kappa": max(0.0, accuracy - 0.1)}
    return TestResult(
        rows=rows,
        loss=0.6,
        kappa=figures.get("kappa"),
        samples_f1=figures.get("samples_f1"),
        hamming_loss=figures.get("hamming_loss"),
        truncated_rows=3,
        accuracy=accuracy,
        macro_f1=macro,
        micro_f1=accuracy,
        intervals={name: interval(value, rows) for name, value in figures.items()},
        per_label=per_label,
        classification_report={},
        confusion_matrix=matrix if task == "choosing" else None,
        label_counts=_label_counts(matrix, rows) if task == "deciding" else None,
        misclassified_rows=wrong,
        misclassified=[_mistake(chance, row, matrix.labels, text) for row in range(min(wrong, 60))],
    )


def _label_result(matrix: ConfusionMatrix, number: int, task: Task) -> LabelResult:
    support, given = sum(matrix.counts[number]), sum(row[number] for row in matrix.counts)
    right = matrix.counts[number][number]
    f1 = 2 * right / (support + given)
    return LabelResult(
        support=support,
        precision=interval(right / max(1, given), given),
        recall=interval(right / support, support),
        f1=interval(f1, support),
        kappa=interval(f1 * 0.9, support) if task == "deciding" else None,
    )


def _label_counts(matrix: ConfusionMatrix, rows: int) -> dict[str, LabelCounts]:
    counts = {}
    for number, label in enumerate(matrix.labels):
        right, support = matrix.counts[number][number], sum(matrix.counts[number])
        wrong = sum(row[number] for row in matrix.counts) - right
        counts[label] = LabelCounts(true_positives=right, false_positives=wrong, false_negatives=support - right,
                                    true_negatives=rows - support - wrong)  # fmt: skip
    return counts


def _mistake(chance: random.Random, row: int, labels: list[str], text: str) -> Misclassified:
    truth, given = chance.sample(labels, 2)
    scores = {given: 0.99 - 0.007 * row, truth: 0.004 + 0.003 * row}
    return Misclassified(row=row * 3, text=text, true_labels=[truth], predicted_labels=[given], scores=scores)


def _baselines(test: TestResult) -> list[Baseline]:
    names = ("majority", "tfidf_logistic_regression", "frozen_embeddings_logistic_regression")
    return [_baseline(name, test, reached) for name, reached in zip(names, (0.2, 0.8, 0.97), strict=True)]


def _baseline(name: Any, test: TestResult, reached: float) -> Baseline:
    gain = test.macro_f1 * (1 - reached)
    return Baseline(
        name=name,
        accuracy=interval(test.accuracy * reached, test.rows),
        macro_f1=interval(test.macro_f1 * reached, test.rows),
        gain=Interval(value=gain, low=gain - 0.05, high=gain + 0.05, support=test.rows),
        beaten=gain > 0.05,
    )


def _calibration(chance: random.Random, rows: int, task: Task) -> Calibration:
    before, after = (_error(chance, rows, too_sure, task) for too_sure in (0.16, 0.03))
    return Calibration(temperature=1.62, prior_share=0.46 * (task == "deciding"), before=before, after=after)


def _error(chance: random.Random, rows: int, too_sure: float, task: Task) -> CalibrationError:
    """15 bins, the lowest of them empty, where the shares lie below the probabilities by about `too_sure`."""
    bins = []
    for number in range(15):
        middle = (number + 0.5) / 15
        share = min(1.0, max(0.0, middle - too_sure + chance.gauss(0, 0.02)))
        count = round(rows * middle**4 / 3) if number > 2 else 0
        mean, share = (middle, share) if count else (0.0, 0.0)
        edges = {"low": number / 15, "high": (number + 1) / 15}
        bins.append(ReliabilityBin(**edges, count=count, mean_probability=mean, share_true=share))
    figures = {"ece": too_sure * 0.9, "brier": 0.2 + too_sure / 2}
    given = GivenCalibration(claims=rows + 1, ece=interval(too_sure * 1.2, rows), ece_if_calibrated=0.031)
    return CalibrationError(
        ece=figures["ece"],
        brier=figures["brier"],
        intervals={name: interval(f, rows) for name, f in figures.items()},
        bins=bins,
        ece_if_calibrated=0.021,
        given=given if task == "deciding" else None,
    )


def _slices(test: TestResult) -> list[Slice]:
    values = (("language", "de"), ("language", "en"), ("language", "fr"), ("source", "survey"), ("source", "forum"))
    return [
        Slice(column=column, value=value, rows=test.rows // 3, **_of_some(test, test.rows // 3, 1))
        for column, value in values
    ]


def _of_some(test: TestResult, rows: int, better: float) -> dict[str, Interval]:
    """The figures of a subset, that much better than those of the whole."""
    return {name: interval(own.value * better, rows) for name, own in test.intervals.items() if name != "kappa"}


def _transfer(chance: random.Random, macro_f1: float) -> Transfer:
    languages = ["de", "en", "fr"]
    alone: list[list[float | None]] = [[macro_f1 * chance.uniform(0.4, 0.95) for _ in languages] for _ in languages]
    alone[2][0] = None
    quick: list[float | None] = [macro_f1 * 0.95] * 3
    return Transfer(
        column="language",
        trained_in=[*languages, "all (quick)", "all"],
        tested_in=languages,
        macro_f1=[*alone, quick, [macro_f1] * 3],
        trained_on=[81, 62, 23, 166, 166],
        tested_on=[31, 22, 13],
    )


def _without_leaks(test: TestResult) -> WithoutLeaks:
    rows = test.rows - 4
    return WithoutLeaks(leaked_rows=4, rows=rows, **_of_some(test, rows, 0.99))


def _suspect(chance: random.Random, row: int, labels: list[str], text: str) -> Suspect:
    given, suggested = chance.sample(labels, 2)
    return Suspect(row=row * 7, text=text, labels=[given], suggested=[suggested], probability=0.01 + 0.004 * row)


def _epoch(number: int, epochs: int) -> dict[str, Any]:
    """The validation loss is lowest after about two thirds of the epochs."""
    done = number / epochs
    return {
        "epoch": number,
        "step": 30 * number,
        "train_loss": 1.4 * math.exp(-2.5 * done),
        "val_loss": 0.6 + 1.2 * (done - 0.65) ** 2,
        "val_macro_f1": 0.8 - 0.5 * math.exp(-4 * done),
        "learning_rate": 3e-5 * (1 - done),
    }


def _reproduction(epochs: int, seed: int) -> Reproduction:
    return Reproduction(
        dataset_sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        base_model="xlm-roberta-base",
        base_model_sha256="4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865",
        base_model_commit="e73636d4f797dec63c3081bb6ed5c7b0bb3f2089",
        hyperparameters={
            "batch_size": 16,
            "learning_rate": 3e-5,
            "num_epochs": epochs,
            "optimizer": "sam",
            "seed": seed,
        },
        seed=seed,
        device="cpu (AMD EPYC 7B13)",
        versions={"classiglot": "0.1.0", "torch": "2.10.0", "python": "3.11.7"},
    )
