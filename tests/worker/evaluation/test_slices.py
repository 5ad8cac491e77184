import time
from collections.abc import Sequence

import numpy as np
import pytest

from service.datasets.dataset import Example
from worker.evaluation.slices import LEAST_ROWS, groups_of, make_slices, slice_columns


def rows_with(**columns: Sequence[object]) -> list[Example]:
    count = len(next(iter(columns.values())))
    return [Example("x", ("a",), {name: values[n] for name, values in columns.items()}) for n in range(count)]  # type: ignore[misc]


def test_columns_that_make_groups_are_used_language_first_and_others_are_not() -> None:
    rows = rows_with(age=["old", "young"] * 50, language=["de", "en"] * 50, number=list(range(100)), always=["x"] * 100)
    assert slice_columns(rows) == ["language", "age"]


def test_rows_may_each_bring_columns_of_their_own() -> None:
    """As JSONL allows. None of them is a group; a hundred walks over all the rows for each would take minutes."""
    rows = [Example("x", ("a",), {f"{n} {m}": "y" for m in range(50)} | {"kind": "pq"[n % 2]}) for n in range(3000)]
    began = time.monotonic()
    assert slice_columns(rows) == ["kind"]
    assert time.monotonic() - began < 5


def test_columns_that_most_rows_have_come_first_and_the_rest_is_left_out() -> None:
    rows = [Example("x", ("a",), {f"{m:03}": n % 2 for m in range(200) if n >= m}) for n in range(300)]
    assert slice_columns(rows) == [f"{m:03}" for m in range(100)]
    assert slice_columns(rows_with(rare=["x"] * (LEAST_ROWS - 1) + [None] * 20)) == []


def test_rows_without_a_value_are_in_no_group() -> None:
    groups = groups_of(rows_with(source=["a", None, "", "b", "a"]), "source")
    assert {value: own.tolist() for value, own in groups.items()} == {"a": [0, 4], "b": [3]}


def test_a_group_that_the_model_fails_on_shows() -> None:
    truth = np.tile(np.eye(2, dtype=np.int64), (50, 1))
    predicted = truth.copy()
    predicted[60:] = truth[60:, ::-1]  # all wrong
    found = make_slices(rows_with(language=["de"] * 60 + ["sw"] * 40), truth, predicted, "choosing")
    assert [(part.value, part.rows, part.accuracy.value, part.macro_f1.value) for part in found] == [
        ("de", 60, 1.0, 1.0),
        ("sw", 40, 0.0, 0.0),
    ]
    assert found[0].accuracy.low < 1


def test_a_group_of_a_handful_is_left_out() -> None:
    truth = np.tile(np.eye(2, dtype=np.int64), (10, 1))
    few = LEAST_ROWS - 1
    found = make_slices(rows_with(language=["de"] * (20 - few) + ["sw"] * few), truth, truth, "choosing")
    assert [part.value for part in found] == ["de"]


def test_labels_that_a_group_does_not_have_do_not_count_against_it() -> None:
    truth = np.zeros((20, 3), dtype=np.int64)
    truth[:, 0] = 1
    (first, second) = make_slices(rows_with(kind=["p", "q"] * 10), truth, truth, "choosing")
    assert (first.macro_f1.value, second.macro_f1.value) == (1.0, 1.0)


def test_a_group_with_a_single_label_has_the_f1_of_that_label() -> None:
    truth = np.tile([[1, 0, 0]], (20, 1))
    predicted = truth.copy()
    predicted[[0, 1, 2, 3]] = [0, 1, 0]
    (first, second) = make_slices(rows_with(kind=["p", "q"] * 10), truth, predicted, "choosing")
    assert first.macro_f1.value == second.macro_f1.value == pytest.approx(16 / 18)
    assert first.macro_f1.low < 16 / 18 < first.macro_f1.high


def test_a_group_has_the_figures_of_the_whole() -> None:
    truth = np.tile([[1, 0, 0], [1, 1, 0], [0, 0, 0]], (10, 1))
    predicted = np.tile([[1, 0, 0], [1, 0, 0], [0, 0, 1]], (10, 1))
    (first, _) = make_slices(rows_with(kind=["p"] * 15 + ["q"] * 15), truth, predicted, "deciding")
    assert first.samples_f1 is not None
    assert first.hamming_loss is not None
    assert first.micro_f1.value == pytest.approx(2 * 10 / (15 + 15))  # a false alarm counts, whatever the label
    assert first.samples_f1.value == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert first.hamming_loss.value == pytest.approx(2 / 9)
    assert first.macro_f1.value == pytest.approx((1 + 0) / 2)  # of the two labels that occur
    assert first.micro_f1.low < first.micro_f1.value < first.micro_f1.high
    (choosing, _) = make_slices(rows_with(kind=["p"] * 15 + ["q"] * 15), truth, predicted, "choosing")
    assert (choosing.samples_f1, choosing.hamming_loss) == (None, None)
