import numpy as np
import pytest

from parts.reports import interval, make_report
from service.jobs import report
from worker.evaluation.metrics import Binary
from worker.evaluation.repeats import summarise
from worker.evaluation.warnings import report_warnings


def codes_of(**changes: object) -> list[str]:
    test = make_report(rows_of_a_label=200).test
    return [warning.code for warning in report_warnings(report.TestResult(**{**test.model_dump(), **changes}), [])]


def test_a_sound_result_has_none() -> None:
    assert codes_of(truncated_rows=0) == []


def test_texts_that_were_cut_are_counted_by_the_tokenizer_itself() -> None:
    test = make_report(rows_of_a_label=200).test
    cut = report.TestResult(**{**test.model_dump(), "truncated_rows": 1})
    (warning,) = report_warnings(cut, [])
    assert warning.code == "truncation"
    assert f"1 of {test.rows} test texts" in warning.message


def test_one_text_is_not_said_to_be_several() -> None:
    test = make_report().test.model_copy(update={"rows": 1, "truncated_rows": 1})
    baseline = make_report().baselines[0].model_copy(update={"beaten": False})
    left = report.WithoutLeaks(leaked_rows=1, rows=0)
    messages = [warning.message for warning in report_warnings(test, [baseline], None, left)]
    assert len(messages) == 4
    for message in messages:
        assert "1 test text" in message
        assert "1 test texts" not in message
        assert "texts) are" not in message


def test_few_rows_are_said_to_be_few() -> None:
    assert codes_of(rows=99, truncated_rows=0) == ["few_test_rows"]


def test_labels_that_were_not_tested_are_said_to_lower_macro_f1() -> None:
    made = make_report(rows_of_a_label=200).test
    (unseen, _), *others = made.per_label.items()
    nothing = report.LabelResult(**dict.fromkeys(("precision", "recall", "f1"), interval(0.0)), support=0)
    test = made.model_copy(update={"per_label": {unseen: nothing, **dict(others)}, "truncated_rows": 0})
    (warning,) = report_warnings(test, [])
    mean = sum(own.f1.value for _, own in others) / len(others)
    assert warning.code == "labels_not_tested"
    assert f"it counts as 0 in macro-F1 (over the other {len(others)} labels it is {mean:.3f})" in warning.message


def told_of_seeds(scores: tuple[float, float], *, beaten: bool) -> list[str]:
    """What is said of seeds with these macro-F1 beside a baseline of 0.7."""
    made = make_report(rows_of_a_label=200)
    baseline = made.baselines[0].model_copy(update={"macro_f1": interval(0.7), "beaten": beaten})
    runs = [report.Repeat(seed=n, val_loss=1.0, accuracy=f, macro_f1=f) for n, f in enumerate(scores)]
    found = report_warnings(made.test, [baseline], summarise(runs))
    return [warning.message for warning in found if warning.code == "seeds_differ"]


@pytest.mark.parametrize(("scores", "warned"), [((0.90, 0.91), False), ((0.62, 0.98), True), ((0.75, 0.75), False)])
def test_a_lead_that_is_smaller_than_the_luck_of_seeds_is_a_warning(scores: tuple[float, float], warned: bool) -> None:
    assert ["above the best baseline's (+" in message for message in told_of_seeds(scores, beaten=True)] == [
        True
    ] * warned


@pytest.mark.parametrize("scores", [(0.68, 0.68), (0.70, 0.70), (0.66, 0.71)])
def test_seeds_that_agree_or_do_not_lead_are_no_warning_of_seeds(scores: tuple[float, float]) -> None:
    assert told_of_seeds(scores, beaten=False) == []


def test_a_published_run_that_was_lucky_is_called_so() -> None:
    (message,) = told_of_seeds((0.90, 0.30), beaten=True)
    assert "only the published run beats the best baseline: the mean does not (-0.100)" in message


@pytest.mark.parametrize(("leaked", "warned"), [(0.0, False), (0.09, False), (0.1, True), (1.0, True)])
def test_a_test_split_that_was_seen_before_is_a_warning(leaked: float, warned: bool) -> None:
    test = make_report(rows_of_a_label=200).test.model_copy(update={"rows": 400, "truncated_rows": 0})
    rows = round(400 * leaked)
    left = report.WithoutLeaks(leaked_rows=rows, rows=400 - rows, accuracy=interval(0.321) if leaked < 1 else None)
    found = report_warnings(test, [], None, left if rows else None)
    assert [warning.code for warning in found] == ["test_leaked"] * warned
    if warned:
        assert f"{rows} of 400 test texts ({leaked:.1%})" in found[0].message
        assert ("no figure here says" in found[0].message) == (leaked == 1)
        assert ("without them accuracy is 0.321, with them" in found[0].message) == (leaked < 1)


def test_a_lead_on_a_handful_of_rows_is_said_to_be_one() -> None:
    made = make_report(rows_of_a_label=200)
    baseline = made.baselines[0].model_copy(update={"beaten": False})
    assert baseline.gain.low > 0
    (warning,) = (own for own in report_warnings(made.test, [baseline]) if own.code == "baseline_not_beaten")
    assert "too few to be sure" in warning.message


def test_a_baseline_that_gets_more_texts_right_is_a_warning_whatever_macro_f1_says() -> None:
    made = make_report(rows_of_a_label=200)
    made.test.truncated_rows = 0
    ahead, beaten = (
        made.baselines[number].model_copy(update={"accuracy": interval(figure), "beaten": True})
        for number, figure in ((0, made.test.accuracy + 0.05), (1, made.test.accuracy))
    )
    (warning,) = report_warnings(made.test, [ahead, beaten])
    assert warning.code == "accuracy_below_baseline"
    assert f"always giving the commonest label gets {made.test.accuracy + 0.05:.3f}" in warning.message
    assert f"the model {made.test.accuracy:.3f}" in warning.message
    assert "class_weight none" in warning.message
    assert report_warnings(made.test, [beaten]) == []


def test_a_baseline_that_was_not_measured_is_a_warning() -> None:
    made = make_report(rows_of_a_label=200)
    made.test.truncated_rows = 0
    missing = report.UnmeasuredBaseline(name="tfidf_logistic_regression", reason="out_of_memory")
    (warning,) = report_warnings(made.test, [], unmeasured=[missing])
    assert warning.code == "baseline_not_measured"
    assert "TF-IDF with logistic regression" in warning.message


def told_of_val(val: Binary, *, deciding: bool) -> list[str]:
    made = make_report("deciding" if deciding else "choosing", rows_of_a_label=200)
    made.test.truncated_rows = 0
    return [warning.message for warning in report_warnings(made.test, [], val=val) if warning.code == "few_val_rows"]


def test_few_validation_texts_are_a_warning() -> None:
    assert told_of_val(np.eye(4, dtype=np.int64)[np.arange(50) % 4], deciding=False) == []
    (message,) = told_of_val(np.eye(4, dtype=np.int64)[np.arange(49) % 4], deciding=False)
    assert "only 49 validation texts chose the epoch and the temperature;" in message


def test_for_deciding_labels_that_hardly_a_validation_text_has_are_counted() -> None:
    val = np.zeros((60, 4), dtype=np.int64)
    val[:30] = 1
    assert told_of_val(val, deciding=True) == []
    val[4:, 1] = 0
    (message,) = told_of_val(val, deciding=True)
    assert message.startswith("1 of 4 labels has fewer than 5 of the 60 validation texts, so its threshold is mostly")
    (both,) = told_of_val(val[:20], deciding=True)
    assert both.startswith("only 20 validation texts chose the epoch, the temperature and the thresholds; 1 of 4 ")
