import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from worker.evaluation.agreement import kappa_of_choosing, kappas_of_labels
from worker.evaluation.metrics import Binary


def answers(rows: int, seed: int = 0) -> tuple[Binary, Binary]:
    """Four labels, one of which most rows have; each answer is right in 70 % of the rows, else any."""
    generator = np.random.default_rng(seed)
    truth = generator.choice(4, size=rows, p=[0.7, 0.1, 0.1, 0.1])
    predicted = np.where(generator.random(rows) < 0.7, truth, generator.integers(0, 4, rows))
    eye = np.eye(4, dtype=np.int64)
    return eye[truth], eye[predicted]


def test_kappa_is_scikit_learns() -> None:
    truth, predicted = answers(300)
    found = kappa_of_choosing(truth, predicted)
    assert found is not None
    assert found.value == pytest.approx(cohen_kappa_score(truth.argmax(axis=1), predicted.argmax(axis=1)))
    for label, own in enumerate(kappas_of_labels(truth, predicted)):
        assert own is not None
        assert own.value == pytest.approx(cohen_kappa_score(truth[:, label], predicted[:, label]))
        assert own.low < own.value < own.high


def test_its_interval_mostly_covers_what_many_rows_say() -> None:
    expected = cohen_kappa_score(*(own.argmax(axis=1) for own in answers(50_000)))
    found = [kappa_of_choosing(*answers(150, seed)) for seed in range(1, 61)]
    covered = sum(own is not None and own.low <= expected <= own.high for own in found)
    assert covered >= 52, f"{covered} of 60 where 57 are meant"


def test_who_always_gives_the_commonest_label_agrees_by_chance_alone() -> None:
    truth, _ = answers(200)
    always = np.tile([1, 0, 0, 0], (200, 1))
    found = kappa_of_choosing(truth, always)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0), abs=0.3)
    assert truth[:, 0].mean() > 0.6  # accuracy, which looks like something


def test_where_chance_explains_all_there_is_no_kappa() -> None:
    always = np.tile([1, 0], (10, 1))
    assert kappa_of_choosing(always, always) is None
    assert kappas_of_labels(always, always) == [None, None]


def test_three_rows_that_are_all_right_prove_no_certainty() -> None:
    truth = np.eye(3, dtype=np.int64)
    found = kappa_of_choosing(truth, truth)
    assert found is not None
    assert (found.value, found.high) == (1, 1)
    assert found.low < 0.4
    (label, *_) = kappas_of_labels(np.eye(30, dtype=np.int64), np.eye(30, dtype=np.int64))
    assert label is not None
    assert label.value == 1
    assert label.low < 0.5
