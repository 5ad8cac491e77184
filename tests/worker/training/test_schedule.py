import math

from hypothesis import given
from hypothesis import strategies as st

from worker.training.schedule import learning_rate


def test_the_rate_warms_up_peaks_and_falls_along_a_cosine() -> None:
    rates = [learning_rate(step, peak=1.0, warmup_steps=4, total_steps=14) for step in range(14)]
    assert rates[:4] == [0.2, 0.4, 0.6, 0.8]
    assert rates[4] == 1.0
    assert math.isclose(rates[9], 0.5)  # half way down
    assert 0 < rates[13] < 0.05


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert learning_rate(0, peak=0.3, warmup_steps=0, total_steps=1) == 0.3


@given(st.integers(0, 500), st.integers(1, 500), st.floats(1e-6, 1.0))
def test_the_rate_is_always_within_its_bounds_and_never_rises_after_warm_up(
    warmup: int, rest: int, peak: float
) -> None:
    total = warmup + rest
    rates = [learning_rate(step, peak=peak, warmup_steps=warmup, total_steps=total) for step in range(total)]
    assert all(0 < rate <= peak for rate in rates)
    after = rates[warmup:]
    assert after == sorted(after, reverse=True)
    assert rates[:warmup] == sorted(rates[:warmup])
