import numpy as np
import pytest
from scipy.special import logit

from parts.honest import honest
from service.store.records import Task
from worker.evaluation.calibration import calibration_error
from worker.evaluation.metrics import Binary, Floats, decide
from worker.evaluation.scaling import activate, fit_scaling, fit_temperature


def errors(probabilities: Floats, truth: Binary, task: Task) -> tuple[float, float]:
    found = calibration_error(probabilities, truth, decide(probabilities, task), task)
    return found.ece, found.brier


@pytest.mark.parametrize("task", ["choosing", "deciding"])
@pytest.mark.parametrize("boast", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_what_made_a_model_too_sure_or_too_shy(task: Task, boast: float) -> None:
    logits, truth = honest(task, 3000)
    temperature = fit_temperature(logits * boast, truth, task)
    assert temperature == pytest.approx(boast, rel=0.1)
    test_logits, test_truth = honest(task, 3000, seed=1)
    ece_before, brier_before = errors(activate(test_logits * boast, task), test_truth, task)
    ece_after, brier_after = errors(activate(test_logits * boast / temperature, task), test_truth, task)
    assert ece_after < 0.03
    assert brier_after <= brier_before + 1e-4
    assert boast == 1.0 or ece_before > 2 * ece_after


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_a_temperature_changes_no_choice(task: Task) -> None:
    logits, _ = honest(task, 200)
    assert np.array_equal(decide(activate(logits, task), task), decide(activate(logits / 2.7, task), task))


def test_a_few_rows_that_are_all_right_prove_no_certainty() -> None:
    truth = np.eye(4, dtype=np.int64)[np.arange(40) % 4]
    temperature = fit_temperature(truth * 5.0, truth, "choosing")
    assert 0.95 < activate(truth * 5.0 / temperature, "choosing").max() < 0.99


def test_many_rare_labels_of_an_honest_model_leave_its_temperature_alone() -> None:
    """A hundred rows, thirty labels that one row in fifty has."""
    found = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        logits = generator.normal(-5.5, 2.0, size=(100, 30))
        truth = (generator.random(logits.shape) < activate(logits, "deciding")).astype(np.int64)
        found.append(np.log(fit_temperature(logits, truth, "deciding")))
    assert abs(np.mean(found)) < 0.03


def rare(rows: int, seed: int) -> tuple[Floats, Binary, Floats]:
    """Logits of a model for which labels of 3 to 30 % of the rows counted as if half of them had it; labels; shares."""
    generator = np.random.default_rng(seed)
    shares = np.array([0.03, 0.05, 0.1, 0.3])
    truth = (generator.random((rows, 4)) < shares).astype(np.int64)
    evidence = (2 * truth - 1) * 1.2 + generator.normal(scale=np.sqrt(2.4), size=truth.shape)  # log-odds by themselves
    return evidence, truth, shares


def test_labels_that_were_made_to_count_alike_are_stated_as_often_as_they_hold() -> None:
    logits, truth, shares = rare(2_000, 0)
    scaling = fit_scaling(logits, truth, "deciding", shares)
    assert scaling.temperature == pytest.approx(1, rel=0.1)
    assert scaling.prior_share == pytest.approx(1, abs=0.1)
    logits, truth, _ = rare(4_000, 1)
    one_temperature = activate(logits / fit_temperature(logits, truth, "deciding"), "deciding")
    scaled = activate(scaling.of(logits), "deciding")
    assert scaled.sum(axis=0) == pytest.approx(truth.sum(axis=0), rel=0.15)
    assert one_temperature.sum() > 1.3 * truth.sum()
    (ece, brier), (ece_of_one, brier_of_one) = (errors(p, truth, "deciding") for p in (scaled, one_temperature))
    assert ece < 0.02 < ece_of_one
    assert brier < brier_of_one


def test_a_model_of_honest_frequencies_and_one_that_chooses_are_not_shifted() -> None:
    logits, truth, shares = rare(2_000, 0)
    honest_logits = logits + logit(shares)
    assert fit_scaling(honest_logits, truth, "deciding", shares).prior_share == pytest.approx(0, abs=0.1)
    assert not fit_scaling(logits, truth, "deciding", None).shift.any()
    chosen = np.eye(4, dtype=np.int64)[truth.argmax(axis=1)]
    assert not fit_scaling(logits, chosen, "choosing", shares).shift.any()


def test_shifted_thresholds_part_the_same_texts_and_a_scaling_can_be_undone() -> None:
    logits, truth, shares = rare(500, 0)
    temperature = fit_temperature(logits, truth, "deciding")
    scaling = fit_scaling(logits, truth, "deciding", shares)
    assert scaling.unshifted == temperature
    alike = np.array([0.2, 0.5, 0.7, 0.9])
    shifted = scaling.thresholds(alike)
    given = activate(logits / temperature, "deciding") >= alike
    assert np.array_equal(activate(scaling.of(logits), "deciding") >= shifted, given)
    assert scaling.undone(scaling.of(logits)) == pytest.approx(logits)
