import numpy as np
import pytest

from service.jobs.report import WithoutLeaks
from worker.evaluation.leaks import measure_without_leaks


def test_what_leaked_no_longer_flatters() -> None:
    truth = np.tile(np.eye(2, dtype=np.int64), (20, 1))
    predicted = truth.copy()
    predicted[10:] = truth[10:, ::-1]  # right on the ten leaked rows alone
    found = measure_without_leaks(list(range(10)), truth, predicted, "choosing")
    assert found is not None
    assert found.accuracy is not None
    assert found.macro_f1 is not None
    assert (found.leaked_rows, found.rows, found.accuracy.value, found.macro_f1.value) == (10, 30, 0.0, 0.0)


def test_a_label_that_went_with_the_leaked_rows_does_not_count_against_the_rest() -> None:
    truth = np.repeat(np.eye(3, dtype=np.int64), 10, axis=0)
    found = measure_without_leaks(list(range(20, 30)), truth, truth, "choosing")
    assert found is not None
    assert found.macro_f1 is not None
    assert found.macro_f1.value == 1.0


def test_what_is_compared_is_over_the_same_labels() -> None:
    """Accuracy falls, and macro-F1 must not seem to rise because two of four labels were never tested."""
    truth = np.eye(4, dtype=np.int64)[[0] * 20 + [1] * 20]
    predicted = truth.copy()
    predicted[:10] = truth[20:30]  # of the rows that did not leak half are wrong
    found = measure_without_leaks(list(range(20, 40)), truth, predicted, "choosing")
    figures = found and (found.accuracy, found.macro_f1, found.macro_f1_with)
    assert figures
    # of the label that is left, half of whose rows were given another
    assert [figure and figure.value for figure in figures] == [0.5, pytest.approx(2 / 3), pytest.approx(2 / 3)]


def test_there_is_nothing_to_say_where_nothing_leaked() -> None:
    truth = np.tile(np.eye(2, dtype=np.int64), (3, 1))
    assert measure_without_leaks([], truth, truth, "choosing") is None


def test_where_everything_leaked_the_rows_are_counted_and_no_figure_is_left() -> None:
    truth = np.tile(np.eye(2, dtype=np.int64), (3, 1))
    found = measure_without_leaks(list(range(6)), truth, truth, "choosing")
    assert found == WithoutLeaks(leaked_rows=6, rows=0)
    assert found.macro_f1 is None
