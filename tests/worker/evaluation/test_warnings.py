from parts.reports import make_report
from service.jobs import report
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


def test_few_rows_are_said_to_be_few() -> None:
    assert codes_of(rows=99, truncated_rows=0) == ["few_test_rows"]
