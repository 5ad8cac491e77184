"""B45: whatever is killed, paused, stopped and started at random, what is promised holds.

For `FAULT_SOAK_SECONDS`, 20 by default and 180 with `--long-faults`. A seed is printed; the same in `FAULT_SOAK_SEED`
draws the same faults, whose moments still depend on the machine.
"""

import contextlib
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, assume, seed, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import integers

from faults.invariants import all_jobs, all_models, check
from parts.deployment import Deployment, Part, runs_of, wait_until
from service.errors import Unavailable
from service.store.records import FINAL, JobRecord

RUN_LENGTHS = integers(1, 60)  # epochs of a twentieth of a second
ENOUGH_JOBS = 40


class Soak(RuleBasedStateMachine):
    """One deployment: a service, two workers, a broker, SQLite. Rules do one thing to it."""

    light_model: Path

    def __init__(self) -> None:
        super().__init__()
        self.acknowledged: set[str] = set()
        self.seen: dict[str, JobRecord] = {}
        self.paused: list[Part] = []

    @initialize(drawn=integers(0, 2**32))
    def start(self, drawn: int) -> None:
        """The first example that Hypothesis makes is the simplest, one rule again and again: it is left out."""
        assume(drawn)
        self.folder = tempfile.TemporaryDirectory(prefix="classiglot-soak-")
        self.deployment = Deployment(
            Path(self.folder.name), light_model=self.light_model, lease_seconds=3, sweep_seconds=0.5
        )
        self.deployment.client.timeout = httpx.Timeout(10)
        self.api = self.deployment.start_api()
        self.workers = [self.deployment.start_light_worker() for _ in range(2)]
        self.deployment.wait_for_api()
        self.dataset = self.deployment.upload()
        for epochs in (5, 40, 40, 80):
            self.submit(epochs)

    # -- what clients do ----------------------------------------------------------------------------------

    @rule(epochs=RUN_LENGTHS)
    def submit(self, epochs: int) -> None:
        """No rule has a precondition: what may happen must not hang on what did, or no failure can be replayed."""
        if len(self.acknowledged) >= ENOUGH_JOBS:
            return
        body = {"dataset_id": self.dataset, "base_model": "roberta-base", "hyperparameters": {"num_epochs": epochs}}
        for _ in range(10):
            answer = self._ask("POST", "/jobs", json=body)
            if answer is not None and answer.status_code == 202:
                self.acknowledged.add(answer.json()["id"])
                return
            assert answer is None or answer.status_code == 503, answer.text
            time.sleep(0.2)

    @rule(number=integers(0, 1000))
    def cancel(self, number: int) -> None:
        if not self.acknowledged:
            return
        job_id = sorted(self.acknowledged)[number % len(self.acknowledged)]
        answer = self._ask("POST", f"/jobs/{job_id}/cancel")
        assert answer is None or answer.status_code in (200, 409, 503), answer.text

    @rule()
    def predict(self) -> None:
        answer = self._ask("POST", "/predict", json={"texts": ["a dog"]})
        assert answer is None or answer.status_code in (200, 404, 503), answer.text

    def _ask(self, method: str, path: str, **content: Any) -> httpx.Response | None:
        try:
            return self.deployment.client.request(method, path, **content)
        except httpx.TransportError:
            return None  # killed, or not up again yet

    # -- what happens to processes --------------------------------------------------------------------------

    @rule(which=integers(0, 1))
    def kill_a_run(self, which: int) -> None:
        for pid in runs_of(self.workers[which]):
            os.kill(pid, signal.SIGKILL)

    @rule(which=integers(0, 1))
    def kill_a_worker(self, which: int) -> None:
        self.workers[which].kill()
        self.workers[which] = self.deployment.start_light_worker()

    @rule(which=integers(0, 1))
    def restart_a_worker(self, which: int) -> None:
        self.workers[which].stop()
        self.workers[which] = self.deployment.start_light_worker()

    @rule()
    def kill_the_service(self) -> None:
        self.api.kill()
        self.api = self.deployment.start_api()

    @rule()
    def kill_the_broker(self) -> None:
        self.deployment.broker.kill()
        self.deployment.start_broker()

    @rule(which=integers(0, 2))
    def pause(self, which: int) -> None:
        part = [*self.workers, self.deployment.broker][which]
        if part.alive() and not self.paused:
            part.signal(signal.SIGSTOP)
            self.paused.append(part)

    @rule()
    def wake(self) -> None:
        while self.paused:
            part = self.paused.pop()
            if part.alive():
                part.signal(signal.SIGCONT)

    @rule(tenths=integers(1, 40))
    def let_time_pass(self, tenths: int) -> None:
        time.sleep(tenths / 10)

    # -- what holds -----------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_and_nothing_goes_back(self) -> None:
        if hasattr(self, "dataset"):
            with contextlib.suppress(Unavailable):  # a writer was paused in the middle of its write
                self._look()

    def _look(self) -> None:
        rows = {job.id: job for job in all_jobs(self.deployment)}
        assert self.acknowledged <= rows.keys()
        for job_id, job in rows.items():
            before = self.seen.get(job_id)
            if before is not None:
                assert job.attempt >= before.attempt
                assert before.status not in FINAL or job == before, (before, job)
        self.seen = rows
        check(self.deployment)

    def teardown(self) -> None:
        """Quiet at last: every job ends, each model answers, and nothing is left behind."""
        if not hasattr(self, "deployment"):
            return
        try:
            if hasattr(self, "dataset"):
                self._end_quietly()
        finally:
            self.deployment.stop()
            self.folder.cleanup()

    def _end_quietly(self) -> None:
        self.wake()
        wait_until(lambda: all(job.status in FINAL for job in all_jobs(self.deployment)), 90, self._where)
        self._look()
        self.deployment.wait_for_api()
        for model in all_models(self.deployment)[:5]:
            answer = self.deployment.client.post("/predict", json={"texts": ["a dog"], "model": model.id})
            assert answer.status_code == 200, answer.text
        wait_until(self._only_spares_are_left, 10, self._where)
        counted = {status: sum(job.status == status for job in self.seen.values()) for status in sorted(FINAL)}
        attempts = sum(job.attempt for job in self.seen.values())
        print(f"B45: {len(self.seen)} jobs, {attempts} attempts, {counted}")

    def _only_spares_are_left(self) -> bool:
        """At most one process a worker, which waits for a job to come."""
        spares = [len(runs_of(worker)) for worker in self.workers]
        return max(spares) <= 1 and sum(spares) == sum("light_run" in words for words in self.deployment.processes())

    def _where(self) -> object:
        return [job for job in all_jobs(self.deployment) if job.status not in FINAL], self.deployment.tail()


@pytest.mark.timeout(0)
@pytest.mark.waits
def test_random_faults_lose_nothing_and_double_nothing(light_model: Path, long: bool) -> None:
    """B45"""
    chosen = int(os.environ.get("FAULT_SOAK_SEED") or random.randrange(2**32))
    seconds = float(os.environ.get("FAULT_SOAK_SECONDS") or (180 if long else 20))
    print(f"B45: FAULT_SOAK_SEED={chosen}")
    Soak.light_model = light_model
    began, rounds = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        run_state_machine_as_test(
            seed(chosen + rounds)(_machine()),
            settings=settings(
                max_examples=1, stateful_step_count=60 if long else 25, deadline=None, database=None,
                phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False,
            ),
        )  # fmt: skip
        rounds += 1
    print(f"B45: {rounds} rounds in {time.monotonic() - began:.0f} s")


def _machine() -> type[Soak]:
    """A type of its own, because Hypothesis keeps a seed with the type."""
    return type("SeededSoak", (Soak,), {})
