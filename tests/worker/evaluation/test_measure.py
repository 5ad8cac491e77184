from typing import Any

import numpy as np
import pytest
from sklearn.metrics import classification_report, cohen_kappa_score, f1_score, hamming_loss

from service.datasets.dataset import Example
from service.inference.predictions import Encoding, read_predictions
from service.jobs.report import TestResult as Result
from service.models.finished import ModelCard
from service.store.records import Task
from worker.evaluation.baselines import compare
from worker.evaluation.intervals import label_intervals, wilson
from worker.evaluation.measure import measure
from worker.evaluation.metrics import to_matrix

LABELS = ["a", "b", "c"]


def measured(
    task: Task, scores: list[list[float]], truth: list[tuple[str, ...]], labels: list[str] = LABELS
) -> tuple[Result, str]:
    card = ModelCard(task, labels, 64, "x", "j", "s", [0.5] * len(labels) if task == "deciding" else [])
    rows = [Encoding([0, 5, 2], truncated=number == 0) for number in range(len(truth))]
    matrix = np.array(scores)
    predicted = to_matrix([p.labels for p in read_predictions(matrix.astype(np.float32), rows, card)], labels)
    examples = [Example(f"text {number}", own) for number, own in enumerate(truth)]
    return measure(examples, rows, matrix, predicted, labels, task, card.thresholds)


def test_choosing() -> None:
    scores = [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.9, 0.05, 0.05], [0.1, 0.7, 0.2]]
    result, text = measured("choosing", scores, [("a",), ("a",), ("b",), ("b",)])
    assert result.accuracy == 0.5
    assert result.loss == pytest.approx(-np.log([0.8, 0.3, 0.05, 0.7]).mean())
    assert result.confusion_matrix is not None
    assert result.confusion_matrix.counts == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert [(mistake.row, mistake.predicted_labels) for mistake in result.misclassified] == [(2, ["a"]), (1, ["b"])]
    assert result.truncated_rows == 1
    assert result.per_label["a"].recall.value == 0.5
    assert (result.per_label["c"].support, result.per_label["c"].recall.support) == (0, 0)
    assert (result.label_counts, result.hamming_loss, result.samples_f1) == (None, None, None)
    assert result.intervals.keys() == {"accuracy", "macro_f1", "micro_f1", "loss", "kappa"}
    assert result.kappa == result.intervals["kappa"].value == cohen_kappa_score([0, 0, 1, 1], [0, 1, 0, 1])
    assert result.per_label["a"].kappa is None
    assert "macro avg" in text


def test_deciding() -> None:
    scores = [[0.8, 0.6, 0.1], [0.3, 0.6, 0.1], [0.2, 0.1, 0.3], [0.1, 0.7, 0.9]]
    truth: list[tuple[str, ...]] = [("a",), ("b",), (), ("b", "c")]
    result, _ = measured("deciding", scores, truth)
    y_true = [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 1]]
    y_pred = [[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 1, 1]]
    assert result.accuracy == 0.75
    assert result.hamming_loss == hamming_loss(y_true, y_pred)
    assert result.samples_f1 == pytest.approx(f1_score(y_true, y_pred, average="samples", zero_division=1))
    assert result.intervals["samples_f1"].value == pytest.approx(result.samples_f1)
    assert result.intervals["hamming_loss"].value == pytest.approx(result.hamming_loss)
    assert result.label_counts is not None
    assert result.label_counts["b"].false_positives == 1
    assert result.kappa is None
    kappa = result.per_label["b"].kappa
    assert kappa is not None
    assert kappa.value == cohen_kappa_score([0, 1, 0, 1], [1, 1, 0, 1])
    assert result.confusion_matrix is None


def test_scikit_learns_table_has_our_samples_f1() -> None:
    """Of twenty texts sixteen are rightly given nothing, and one of the others is given nothing wrongly."""
    scores = [[0.1] * 3] * 16 + [[0.9, 0.1, 0.1], [0.9, 0.8, 0.1], [0.1, 0.9, 0.9], [0.1] * 3]
    truth: list[tuple[str, ...]] = [()] * 16 + [("a",), ("a",), ("b", "c"), ("c",)]
    result, text = measured("deciding", scores, truth)
    own = result.classification_report["samples avg"]
    assert own["f1-score"] == pytest.approx(result.samples_f1) == pytest.approx((16 + 1 + 2 / 3 + 1) / 20)
    assert own["precision"] == pytest.approx((16 + 1 + 1 / 2 + 1) / 20)
    assert own["recall"] == pytest.approx((16 + 3) / 20)
    assert own["support"] == 5
    *_, above, last = text.splitlines()
    assert last.split() == ["samples", "avg", "0.925", "0.950", "0.933", "5"]
    assert [len(last), last.index("avg")] == [len(above), above.index("avg")]  # below the other rows


def test_scikit_learns_table_is_its_own_where_every_text_has_a_label() -> None:
    scores = [[0.8, 0.6, 0.1], [0.3, 0.6, 0.1], [0.1, 0.7, 0.9], [0.1] * 3]
    truth: list[tuple[str, ...]] = [("a",), ("b",), ("b", "c"), ("c",)]
    result, text = measured("deciding", scores, truth)
    y_true = to_matrix(truth, LABELS)
    y_pred = (np.array(scores) >= 0.5).astype(int)
    asked: dict[str, Any] = {"target_names": LABELS, "zero_division": 0, "digits": 3}
    assert text == classification_report(y_true, y_pred, **asked)
    theirs = classification_report(y_true, y_pred, output_dict=True, **asked)
    assert result.classification_report["samples avg"] == pytest.approx(theirs["samples avg"])


def test_deciding_on_a_single_label() -> None:
    """Two hits, one miss, one false alarm and one row that is rightly empty."""
    scores, truth = [[0.8], [0.7], [0.1], [0.9], [0.2]], [("a",), ("a",), ("a",), (), ()]
    result, text = measured("deciding", scores, truth, ["a"])
    assert result.macro_f1 == result.micro_f1 == result.per_label["a"].f1.value == pytest.approx(4 / 6)
    assert (result.accuracy, result.samples_f1, result.hamming_loss) == pytest.approx((0.6, 0.6, 0.4))
    assert result.label_counts is not None
    assert [*result.label_counts["a"].model_dump().values()] == [2, 1, 1, 1]
    assert result.classification_report["a"]["recall"] == pytest.approx(2 / 3)
    assert result.classification_report["a"]["support"] == result.classification_report["macro avg"]["support"] == 3
    assert text.split()[4:9] == ["a", "0.667", "0.667", "0.667", "3"]


def test_a_mistake_has_its_ten_largest_scores_and_those_of_its_true_labels() -> None:
    labels = [f"label {number}" for number in range(40)]
    scores = np.linspace(0.9, 0.1, 40)
    result, _ = measured("deciding", [scores.tolist()], [("label 0", "label 30")], labels)
    (mistake,) = result.misclassified
    assert list(mistake.scores) == [*labels[:10], "label 30", *labels[10:20]]
    assert mistake.scores["label 30"] == float(np.float32(scores[30]))
    assert mistake.predicted_labels == labels[: (scores >= 0.5).sum()]


def test_for_deciding_the_surest_mistake_is_the_one_furthest_from_its_threshold() -> None:
    """A right label may be surer than anything that is wrong, and a miss has a low score."""
    thresholds, labels = [0.5, 0.5, 0.02], ["a", "b", "c"]
    scores = np.array([[0.999, 0.55, 0.01], [0.6, 0.01, 0.01], [0.1, 0.2, 0.04]])
    truth = [("a",), ("a", "b"), ()]
    predicted = (scores >= thresholds).astype(np.int64)
    examples = [Example(f"text {number}", own) for number, own in enumerate(truth)]
    rows = [Encoding([0, 2], truncated=False)] * 3
    result, _ = measure(examples, rows, scores, predicted, labels, "deciding", thresholds)
    assert [mistake.row for mistake in result.misclassified] == [1, 2, 0]
    assert result.misclassified[0].scores["b"] == pytest.approx(0.01)


def test_scores_of_all_labels_given_are_kept_however_many() -> None:
    labels = [f"label {number}" for number in range(40)]
    result, _ = measured("deciding", [np.linspace(0.9, 0.5, 40).tolist()], [("label 0",)], labels)
    assert len(result.misclassified[0].scores) == 40


@pytest.mark.parametrize("cut", [True, False])
def test_a_mistake_is_named_by_the_row_that_was_sent(cut: bool) -> None:
    scores = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.9, 0.05, 0.05]])
    examples = [Example(f"text {n}", (own,), sent_row=100 + n if cut else None) for n, own in enumerate("aab")]
    predicted = np.eye(3, dtype=np.int64)[scores.argmax(axis=1)]
    result, _ = measure(examples, [Encoding([0, 2], truncated=False)] * 3, scores, predicted, LABELS, "choosing")
    expected = [("train", 102), ("train", 101)] if cut else [("test", 2), ("test", 1)]
    assert [(mistake.split, mistake.row) for mistake in result.misclassified] == expected
    assert [mistake.text for mistake in result.misclassified] == ["text 2", "text 1"]


def test_every_interval_holds_its_figure() -> None:
    generator = np.random.default_rng(0)
    scores = generator.dirichlet(np.ones(3), size=80)
    result, _ = measured("choosing", scores.tolist(), [(LABELS[n],) for n in generator.integers(0, 3, 80)])
    for name, interval in result.intervals.items():
        assert interval.value == pytest.approx(getattr(result, name))
        assert interval.low < interval.value < interval.high
        assert interval.support == 80
    for own in result.per_label.values():
        assert own.f1.low <= own.f1.value <= own.f1.high


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_three_rows_that_are_all_right_or_all_wrong_prove_no_certainty(task: Task, right: bool) -> None:
    given = np.eye(3) if right else np.roll(np.eye(3), 1, axis=1)
    result, _ = measured(task, given.tolist(), [("a",), ("b",), ("c",)])
    for name in ("accuracy", "macro_f1", "micro_f1") + ("samples_f1",) * (task == "deciding"):
        own, expected = result.intervals[name], (0.4385, 1.0) if right else (0.0, 0.5615)  # Wilson's of three
        assert own.value == float(right)
        assert (own.low, own.high) == pytest.approx(expected, abs=1e-4), name
    for label in result.per_label.values():
        assert label.f1.high - label.f1.low == pytest.approx(label.recall.high - label.recall.low)
        assert label.f1.high - label.f1.low > 0.7  # of a single row
    if task == "deciding" and right:
        assert (result.intervals["hamming_loss"].low, result.intervals["hamming_loss"].high) == pytest.approx(
            (0.0, 0.5615), abs=1e-4
        )


def test_a_perfect_macro_f1_is_only_as_sure_as_its_rarest_label() -> None:
    truth: list[tuple[str, ...]] = [(label,) for label in "a" * 50 + "b" * 40 + "c" * 2]
    result, _ = measured("choosing", [[float(label in own) for label in LABELS] for own in truth], truth)
    assert result.intervals["accuracy"].low == result.intervals["micro_f1"].low > 0.95
    assert result.intervals["macro_f1"].low == pytest.approx(wilson(6, 6).low)
    assert result.per_label["c"].f1.low == pytest.approx(wilson(2, 2).low)
    assert result.per_label["a"].f1.low == pytest.approx(wilson(50, 50).low)


def test_of_a_label_that_is_not_tested_nothing_is_known() -> None:
    result, _ = measured("choosing", [[1, 0, 0], [0, 1, 0]] * 5, [("a",), ("b",)] * 5)
    untested, macro = result.per_label["c"].f1, result.intervals["macro_f1"]
    assert (untested.value, untested.low, untested.high) == (0, 0, 1)
    assert macro.value == macro.high == pytest.approx(2 / 3)
    assert macro.low == pytest.approx(2 / 3 * wilson(10, 10).low)


@pytest.mark.parametrize("positive", [1, 3, 4, 5, 6, 10])
def test_a_handful_of_rows_with_the_label_proves_nothing_however_many_have_none(positive: int) -> None:
    """All are right. A draw may have none of these rows, so that not all draws agree; but hardly more is known."""
    truth = np.zeros((30, 1), dtype=np.int64)
    truth[:positive] = 1
    found = label_intervals(truth, truth, "deciding")
    lowest = wilson(positive, positive).low
    assert found["macro_f1"].low == pytest.approx(lowest)
    assert found["micro_f1"].low == pytest.approx(lowest)
    assert not compare("majority", truth, truth, np.zeros_like(truth)).beaten
