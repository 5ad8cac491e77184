"""The head that validation texts teach too, and what says how sure it is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.store.records import Task
from worker.evaluation.calibration import calibration_error
from worker.evaluation.metrics import Binary, decide, macro_f1
from worker.evaluation.scaling import activate, fit_temperature
from worker.training.probe import FINE_TUNED, fit_head_to_both, fit_probe

LABELS, WIDTH = 3, 100


def rows(count: int, seed: int, learnt_by_heart: bool = False) -> tuple[NDArray[np.float64], Binary]:
    """Features that tell the labels somewhat apart; those that an encoder was trained on, all too well."""
    generator = np.random.default_rng(seed)
    truth = np.eye(LABELS, dtype=np.int64)[generator.integers(0, LABELS, count)]
    corners = np.random.default_rng(7).normal(size=(LABELS, WIDTH))
    features = truth @ corners * 0.2 + generator.normal(size=(count, WIDTH))
    if learnt_by_heart:
        features[:, :LABELS] += truth * 6.0  # where nothing is in other texts
    return features, truth


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_validation_texts_teach_what_training_texts_hide(task: Task) -> None:
    (train, truth_train), (val, truth_val), (test, truth_test) = rows(120, 0, True), rows(60, 1), rows(2000, 2)
    probe, _ = fit_head_to_both(train, truth_train, val, truth_val, task, np.arange(len(val)))
    nothing = val[:1]
    alone, _ = fit_head_to_both(train, truth_train, nothing, truth_val[:1], task, np.arange(1))
    scores = [macro_f1(truth_test, decide(activate(head.logits(test), task), "choosing")) for head in (probe, alone)]
    assert scores[0] > scores[1] + 0.05


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_what_is_said_of_validation_texts_is_as_sure_as_what_is_said_of_others(task: Task) -> None:
    """A temperature from what the head was fitted to would be far too cold."""
    (train, truth_train), (val, truth_val), (test, truth_test) = rows(120, 0, True), rows(100, 1), rows(2000, 2)
    probe, logits = fit_head_to_both(train, truth_train, val, truth_val, task, np.arange(len(val)))

    def error(temperature: float) -> float:
        return calibration_error(activate(probe.logits(test) / temperature, task), truth_test, truth_test, task).ece

    assert error(fit_temperature(logits, truth_val, task)) < 0.06
    assert error(fit_temperature(probe.logits(val), truth_val, task)) > 0.09


def test_of_few_texts_each_is_judged_by_a_head_that_lacks_hardly_more_than_it() -> None:
    """What is said of it is then nearly what a head says that lacks it alone; of five folds it is twice as far off."""
    (train, truth_train), (val, truth_val) = rows(120, 0, True), rows(60, 1)
    _, logits = fit_head_to_both(train, truth_train, val, truth_val, "choosing", np.arange(len(val)))
    off = []
    for number in range(0, 60, 6):
        rest = np.delete(np.arange(60), number)
        both, truth = np.concatenate([train, val[rest]]), np.concatenate([truth_train, truth_val[rest]])
        alone = fit_probe(both, truth, "choosing", FINE_TUNED).logits(val[number])
        off.append(np.abs(logits[number] - alone).mean())
    assert np.mean(off) < 0.06


def test_one_validation_text_is_enough_to_go_on() -> None:
    (train, truth_train), (val, truth_val) = rows(40, 0), rows(1, 1)
    probe, logits = fit_head_to_both(train, truth_train, val, truth_val, "choosing", np.arange(len(val)))
    assert logits.shape == (1, LABELS)
    assert np.isfinite(probe.weight).all()


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_copies_of_a_validation_text_do_not_make_it_sure_of_itself(task: Task) -> None:
    """Else the temperature would be too cold: each text would be judged by a head that knows its copy."""
    (train, truth_train), (val, truth_val) = rows(120, 0), rows(50, 1)
    copies = np.tile(np.arange(50), 3)
    found = [
        fit_head_to_both(train, truth_train, val[copies], truth_val[copies], task, groups)[1]
        for groups in (copies, np.arange(150))
    ]
    together, apart = (fit_temperature(logits, truth_val[copies], task) for logits in found)
    assert together > 1.5 * apart


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_classes_that_are_not_weighted_are_as_frequent_as_they_were(task: Task) -> None:
    (train, truth_train), (val, truth_val) = rows(400, 0), rows(60, 1)
    kept = (truth_train[:, 0] == 0) | (np.arange(400) % 10 == 0)
    of = train[kept], truth_train[kept], val, truth_val, task, np.arange(60)
    balanced, plain = fit_head_to_both(*of, "balanced")[0], fit_head_to_both(*of, "none")[0]
    assert plain.bias[0] < balanced.bias[0] - 0.3
