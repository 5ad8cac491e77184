import time

import pytest

from service.jobs.spec import Hyperparameters, resolve
from worker.clock import Clock
from worker.training.loop import Plan


def seconds_left(monkeypatch: pytest.MonkeyPatch, pace: float) -> float | None:
    """After the first of 100 steps that take so long each."""
    asked = resolve(Hyperparameters(num_epochs=10), train_rows=10, base_model="xlm-roberta-base")
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began)
    clock = Clock(0, Plan(asked, 10), 0)
    monkeypatch.setattr(time, "monotonic", lambda: began + pace)
    left: float | None = clock.tell(1, over=False)["seconds_left"]
    return left


def test_the_rest_takes_as_long_as_the_steps_so_far_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seconds_left(monkeypatch, 2.0) == pytest.approx(198, abs=0.1)


def test_beyond_ten_years_there_is_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand epochs at a pace that a first, slow step gave would end after the last year that dates have."""
    assert seconds_left(monkeypatch, 3e6) == pytest.approx(2.97e8)
    assert seconds_left(monkeypatch, 4e6) is None
