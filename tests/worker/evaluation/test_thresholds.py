import numpy as np
import pytest
from sklearn.metrics import f1_score

from worker.evaluation.metrics import Binary, Floats
from worker.evaluation.thresholds import fit_thresholds


def separable(rows: int, borders: list[float], positives: list[int]) -> tuple[Floats, Binary]:
    """Labels that hold just where their probability is above a border of their own."""
    generator = np.random.default_rng(0)
    p, truth = np.zeros((rows, len(borders))), np.zeros((rows, len(borders)), dtype=np.int64)
    for label, (border, count) in enumerate(zip(borders, positives, strict=True)):
        truth[:count, label] = 1
        p[:count, label] = generator.uniform(border + 0.03, border + 0.2, count)
        p[count:, label] = generator.uniform(0.0, border - 0.03, rows - count)
    return p, truth


def test_labels_with_many_positives_get_their_own_threshold() -> None:
    p, truth = separable(2000, [0.2, 0.7], [800, 800])
    first, second = fit_thresholds(p, truth)
    assert first == pytest.approx(0.2, abs=0.04)
    assert second == pytest.approx(0.7, abs=0.04)


def test_a_label_with_few_positives_is_drawn_to_the_one_for_all() -> None:
    many = separable(2000, [0.3, 0.3, 0.8], [800, 800, 800])
    few = separable(2000, [0.3, 0.3, 0.8], [800, 800, 2])
    own, shrunk = fit_thresholds(*many)[2], fit_thresholds(*few)[2]
    assert own == pytest.approx(0.8, abs=0.05)
    assert shrunk < 0.6


def test_they_beat_one_half_where_probabilities_are_low() -> None:
    generator = np.random.default_rng(1)
    truth = (generator.random((3000, 5)) < 0.1).astype(np.int64)
    p = np.clip(0.25 * truth + generator.normal(0.1, 0.08, truth.shape), 0.001, 0.999)
    thresholds = fit_thresholds(p[:1000], truth[:1000])
    fitted = f1_score(truth[1000:], p[1000:] >= thresholds, average="macro")
    half = f1_score(truth[1000:], p[1000:] >= 0.5, average="macro", zero_division=0)
    assert fitted > 0.8 > 0.3 > half


def test_without_a_single_positive_one_half_stays() -> None:
    assert fit_thresholds(np.full((10, 2), 0.3), np.zeros((10, 2), dtype=np.int64)).tolist() == [0.5, 0.5]


def test_a_label_that_validation_never_has_takes_the_one_for_all() -> None:
    p, truth = separable(500, [0.3, 0.5], [200, 0])
    first, second = fit_thresholds(p, truth)
    assert second == pytest.approx(first, abs=0.1)


def test_between_two_best_ranges_no_threshold_is_taken() -> None:
    """One positive is low, one high, and two negatives are just below the latter: F1 is 2/3 with all four, or with the
    high one alone, and less in between."""
    p, truth = np.array([[0.12], [0.97], [0.85], [0.85]]), np.array([[1], [1], [0], [0]])
    (threshold,) = fit_thresholds(p, truth)
    assert f1_score(truth[:, 0], p[:, 0] >= threshold) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("lacking", "having"), [(0.985, 0.995), (0.002, 0.01)])
def test_labels_whose_probabilities_are_all_high_or_all_low_are_told_apart(lacking: float, having: float) -> None:
    """As those of rare labels are, with classes weighted alike and not weighted."""
    truth = (np.arange(500) < 60).astype(np.int64)[:, None]
    p = np.where(truth == 1, having, lacking)
    assert f1_score(truth[:, 0], (p >= fit_thresholds(p, truth))[:, 0]) == 1
