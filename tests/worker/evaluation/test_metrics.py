import numpy as np
import pytest
from sklearn.metrics import f1_score

from worker.evaluation.metrics import label_f1, macro_f1, micro_f1, row_f1


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("labels", [2, 3, 20])
def test_they_are_scikit_learns_where_there_are_two_columns_or_more(share: float, labels: int) -> None:
    generator = np.random.default_rng(labels)
    truth, predicted = ((generator.random((40, labels)) < share).astype(np.int64) for _ in range(2))
    assert macro_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average="macro", zero_division=0))
    assert micro_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average="micro", zero_division=0))
    assert label_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average=None, zero_division=0))
    own = f1_score(truth, predicted, average="samples", zero_division=1)
    assert row_f1(truth, predicted).mean() == pytest.approx(own)


def test_one_column_is_one_label_and_not_two_classes() -> None:
    truth = np.array([[1]] * 10)
    predicted = np.array([[1]] * 8 + [[0]] * 2)
    assert macro_f1(truth, predicted) == micro_f1(truth, predicted) == pytest.approx(16 / 18)
    assert row_f1(truth, predicted).tolist() == [1.0] * 8 + [0.0] * 2
    assert macro_f1(1 - truth, predicted) == 0.0
