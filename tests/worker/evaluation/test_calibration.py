import numpy as np
import pytest

from parts.honest import honest
from service.jobs.report import CalibrationError
from service.store.records import Task
from worker.evaluation.calibration import calibration_error, noise_of_ece, reliability_bins
from worker.evaluation.metrics import Binary, Floats, decide
from worker.evaluation.scaling import activate


def error_of(probabilities: Floats, truth: Binary, task: Task) -> CalibrationError:
    return calibration_error(probabilities, truth, decide(probabilities, task), task)


def test_ece_and_brier_of_a_case_done_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    truth = np.array([[1, 0], [0, 1], [0, 1], [1, 0]])
    found = error_of(probabilities, truth, "choosing")
    # bins: 0.9, 0.9 (one of two right), 0.8 (right), 0.6 (right)
    assert found.ece == pytest.approx((2 * 0.4 + 0.2 + 0.4) / 4)
    assert found.brier == pytest.approx((0.02 + 1.62 + 0.08 + 0.32) / 4)
    assert [part.count for part in found.bins] == [1, 1, 2]


def test_claims_at_the_edges_have_a_bin() -> None:
    bins = reliability_bins(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert [(part.low, part.high) for part in bins] == [(0.0, pytest.approx(1 / 15)), (pytest.approx(14 / 15), 1.0)]


@pytest.mark.parametrize("task", ["choosing", "deciding"])
@pytest.mark.parametrize("boast", [1.5, 3.0])
def test_the_intervals_of_both_errors_mostly_cover_what_many_rows_say(task: Task, boast: float) -> None:
    def measured(rows: int, seed: int) -> CalibrationError:
        logits, truth = honest(task, rows, seed)
        return error_of(activate(logits * boast, task), truth, task)

    expected, found = measured(5_000, 0), [measured(200, seed) for seed in range(1, 41)]
    for name in ("ece", "brier"):
        intervals, true = [error.intervals[name] for error in found], getattr(expected, name)
        covered = sum(own.low <= true <= own.high for own in intervals)
        assert covered >= 31, f"{name}: {covered} of 40 where 38 are meant"
        assert all(own.low <= own.value <= own.high and own.support == 200 for own in intervals)
        assert [own.value for own in intervals] == [getattr(error, name) for error in found]


def test_an_honest_models_ece_may_be_next_to_nothing() -> None:
    """Its figure on few rows is noise; the interval must reach down to what is true."""
    logits, truth = honest("choosing", 100)
    found = error_of(activate(logits, "choosing"), truth, "choosing").intervals["ece"]
    assert found.value > 0.05
    assert found.low < 0.03


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_what_so_few_texts_show_of_a_model_without_fault_is_told(task: Task) -> None:
    """By drawing outcomes from the stated probabilities: the mean over many honest models is much the same."""
    errors = []
    for seed in range(30):
        logits, truth = honest(task, 100, seed)
        errors.append(error_of(activate(logits, task), truth, task))
    expected = [error.ece_if_calibrated for error in errors if error.ece_if_calibrated]
    assert np.mean([error.ece for error in errors]) == pytest.approx(np.mean(expected), rel=0.1)
    logits, truth = honest(task, 100)
    boastful = error_of(activate(logits * 4, task), truth, task)
    assert boastful.ece > 1.5 * (boastful.ece_if_calibrated or 0)
    again = error_of(activate(logits * 4, task), truth, task)
    assert again.ece_if_calibrated == boastful.ece_if_calibrated  # seeded


def test_of_twice_the_claims_the_noise_is_less() -> None:
    said = np.random.default_rng(0).random(4_000)
    assert noise_of_ece(said) == pytest.approx(noise_of_ece(said[:1_000]) / 2, rel=0.1)
    assert noise_of_ece(np.ones(3)) == 0


def test_what_is_wrong_with_labels_that_are_given_does_not_drown_in_those_that_are_not() -> None:
    """A hundred labels that plainly do not hold, and two that are given with 0.9 and hold in every second text."""
    truth = np.zeros((200, 102), dtype=np.int64)
    truth[::2, :2] = 1
    probabilities = np.full(truth.shape, 0.001)
    probabilities[:, :2] = 0.9
    found = error_of(probabilities, truth, "deciding")
    assert found.ece < 0.02
    assert found.given is not None
    assert found.given.claims == 400
    assert found.given.ece.value == pytest.approx(0.4)
    assert found.given.ece.low < 0.4 < found.given.ece.high
    assert found.given.ece_if_calibrated < 0.05
    assert error_of(np.full((5, 3), 0.1), truth[:5, :3], "deciding").given is None
    assert error_of(probabilities[:, :3], truth[:, :3], "choosing").given is None
