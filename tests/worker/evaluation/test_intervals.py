import numpy as np
import pytest

from worker.evaluation.intervals import (
    Bootstrap,
    label_f1_draws,
    macro_f1_draws,
    macro_f1_interval,
    micro_f1_draws,
    wilson,
)
from worker.evaluation.metrics import Binary, macro_f1


@pytest.mark.parametrize(
    ("successes", "rows", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0), (263, 300, 0.8346, 0.9091)],
)
def test_wilsons_interval_is_the_published_one(successes: int, rows: int, low: float, high: float) -> None:
    found = wilson(successes, rows)
    assert (found.value, found.support) == (successes / rows, rows)
    assert [found.low, found.high] == pytest.approx([low, high], abs=2e-4)


@pytest.mark.parametrize("rows", [*range(1, 400), 10**6])
def test_a_share_lies_within_its_interval(rows: int) -> None:
    for found in (wilson(0, rows), wilson(rows, rows)):
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_of_no_rows_nothing_is_known() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)


def noisy_answers(rows: int, generator: np.random.Generator) -> tuple[Binary, Binary]:
    """Three labels, 5:3:2; each answer is right in 70 % of the rows, else one of the others."""
    truth = generator.choice(3, size=rows, p=[0.5, 0.3, 0.2])
    slips = (generator.random(rows) > 0.7) * generator.integers(1, 3, size=rows)
    return np.eye(3, dtype=np.int64)[truth], np.eye(3, dtype=np.int64)[(truth + slips) % 3]


@pytest.mark.parametrize(("labels", "tested", "rows_of_each"), [(300, 150, 2), (60, 30, 3), (20, 10, 20), (30, 30, 3)])
def test_the_interval_of_macro_f1_covers_the_true_value_whatever_labels_are_not_tested(
    labels: int, tested: int, rows_of_each: int
) -> None:
    """Four in five answers are right; the expected figure is that of a hundred thousand rows."""
    generator = np.random.default_rng(0)

    def answers(rows_of_each: int) -> tuple[Binary, Binary]:
        truth = np.repeat(np.arange(tested), rows_of_each)
        slips = (generator.random(len(truth)) > 0.8) * generator.integers(1, tested, len(truth))
        return np.eye(labels, dtype=np.int64)[truth], np.eye(labels, dtype=np.int64)[(truth + slips) % tested]

    expected = macro_f1(*answers(100_000 // tested))
    covered = 0
    for seed in range(100):
        own = answers(rows_of_each)
        draws = Bootstrap(len(own[0]), seed, draws=200).over(lambda w, own=own: macro_f1_draws(w, *own))  # type: ignore[misc]
        found = macro_f1_interval(*own, draws)
        assert 0 <= found.low <= found.value <= found.high <= tested / labels
        covered += found.low <= expected <= found.high
    assert 90 <= covered <= 99, f"{covered} of 100 where 95 are meant"


def test_labels_that_are_not_tested_weigh_the_same_in_every_draw() -> None:
    truth = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]])
    without_the_last = np.array([[2.0, 1.0, 0.0]])
    assert macro_f1_draws(without_the_last, truth, truth)[0] == macro_f1(truth, truth) == 0.5


def test_the_bootstrap_interval_of_macro_f1_covers_the_true_value() -> None:
    generator = np.random.default_rng(0)
    expected = macro_f1(*noisy_answers(500_000, generator))
    covered = 0
    for seed in range(200):
        truth, predicted = noisy_answers(150, generator)
        bootstrap = Bootstrap(150, seed=seed, draws=400)
        draws = bootstrap.over(lambda w, t=truth, p=predicted: macro_f1_draws(w, t, p))  # type: ignore[misc]
        found = macro_f1_interval(truth, predicted, draws)
        covered += found.low <= expected <= found.high
    assert 180 <= covered <= 199, f"{covered} of 200 where 190 are meant"


def test_draws_in_parts_are_the_draws_of_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, predicted = noisy_answers(50, np.random.default_rng(1))
    whole = Bootstrap(50, draws=30).over(lambda weights: macro_f1_draws(weights, truth, predicted))
    monkeypatch.setattr("worker.evaluation.intervals.AT_ONCE", 350)
    parts = Bootstrap(50, draws=30).over(lambda weights: macro_f1_draws(weights, truth, predicted))
    assert np.array_equal(whole, parts)


def test_weights_of_one_give_scikit_learns_figures() -> None:
    from sklearn.metrics import f1_score

    truth, predicted = noisy_answers(80, np.random.default_rng(2))
    once = np.ones((1, 80))
    assert macro_f1_draws(once, truth, predicted)[0] == pytest.approx(macro_f1(truth, predicted))
    assert micro_f1_draws(once, truth, predicted)[0] == pytest.approx(f1_score(truth, predicted, average="micro"))
    assert label_f1_draws(once, truth, predicted)[0] == pytest.approx(f1_score(truth, predicted, average=None))


def test_a_label_that_a_draw_misses_does_not_count_as_failed_in_it() -> None:
    truth = np.array([[1, 0], [1, 0], [0, 1]])
    without_the_last = np.array([[2.0, 1.0, 0.0]])
    assert macro_f1_draws(without_the_last, truth, truth)[0] == 1
    never = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]])  # but one that the whole split misses is 0, as in scikit-learn
    assert (
        macro_f1_draws(np.ones((1, 3)), never, never)[0]
        == pytest.approx(macro_f1(never, never))
        == pytest.approx(2 / 3)
    )


def test_a_draw_counts_the_same_labels_whatever_was_predicted() -> None:
    truth = np.array([[1, 0], [1, 0], [0, 1]])
    daring = np.array([[1, 0], [0, 1], [0, 1]])
    timid = np.array([[1, 0], [0, 0], [0, 0]])
    without_the_last = np.array([[2.0, 1.0, 0.0]])  # and so without the second label
    first, second = (macro_f1_draws(without_the_last, truth, predicted)[0] for predicted in (daring, timid))
    assert first == second == pytest.approx(0.8)


def test_the_interval_of_a_mean_holds_the_mean_and_shrinks_with_rows() -> None:
    values = np.random.default_rng(3).exponential(size=4000)
    wide, narrow = Bootstrap(100).mean(values[:100]), Bootstrap(4000).mean(values)
    assert wide.low < wide.value < wide.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 3
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 * values.std() / 4000**0.5, rel=0.15)
