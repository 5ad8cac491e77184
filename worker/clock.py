"""How far a run is, and how long the rest will take."""

import time

from service.store.records import Json
from worker.training.loop import Plan

SECONDS_BETWEEN_REPORTS = 1.0
LONGEST_ESTIMATE = 10 * 365 * 86_400.0  # nobody waits for longer, and calendars end


class Clock:
    """When to report, and how long the rest will take at the pace so far. Tells of all runs of the job as of one."""

    def __init__(self, first_step: int, plan: Plan, runs_before: int) -> None:
        self._first_step, self._plan, self._runs_before = first_step, plan, runs_before
        self._began = self._last = time.monotonic()

    def due(self, step: int) -> bool:
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_REPORTS and step != 1:
            return False
        self._last = now
        return True

    def tell(self, step: int, over: bool) -> Json:
        """`over`: this was the last step, whatever was planned; of the last run, the totals are then what was done.

        `seconds_left` is None where that is beyond all estimate.
        """
        pace = (time.monotonic() - self._began) / max(1, step - self._first_step)
        done, asked = self._runs_before * self._plan.total_steps + step, self._plan.hyperparameters
        epoch = (done - 1) // self._plan.steps_per_epoch + 1
        last = over and self._runs_before == asked.repeats - 1
        total = done if last else self._plan.total_steps * asked.repeats
        left = round(pace * (total - done), 1)
        return {
            "epoch": epoch,
            "num_epochs": epoch if last else asked.num_epochs * asked.repeats,
            "step": done,
            "total_steps": total,
            "seconds_left": left if left <= LONGEST_ESTIMATE else None,
        }
