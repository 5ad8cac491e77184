"""Seconds from `POST /jobs` to the first step of training, of the bundled model, while nothing else runs.

A worker that had nothing to do has the job's process ready. One whose job was cancelled begins to start it then; for a
job that waits it gets ready while the one before is measured.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from benchmarks.product import BenchmarkFailed, checked, running_product
from benchmarks.sets import draw, read_set
from service.models.bundled import MULTILINGUAL_SMALL

PATIENCE_SECONDS = 120
IDLE_SECONDS = 25  # in which a worker gets a process ready


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_step", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of one set")
    parser.add_argument("--threads", type=int, default=2, help="processor threads of a run, default 2")
    options = parser.parse_args()
    contest = draw(read_set(options.data), 200, 0, 100)
    with running_product(options.threads) as client:
        dataset = checked(client.post("/datasets", json=contest.as_body()))
        for idle in (IDLE_SECONDS, 0, IDLE_SECONDS, 0, IDLE_SECONDS):
            time.sleep(idle)
            load = os.getloadavg()[0]
            seconds = until_first_step(client, dataset["id"])
            when = f"to a worker idle for {idle} s" if idle else "right behind a cancelled job"
            print(f"{seconds:.1f} s from POST /jobs to the first step, {when}; load before it {load:.1f}", flush=True)
        for _ in range(2):
            seconds = behind_another(client, dataset["id"])
            print(f"{seconds:.1f} s to the first step from the end of the job before", flush=True)


def until_first_step(client: httpx.Client, dataset_id: str) -> float:
    """The job is cancelled then. Raises: BenchmarkFailed."""
    began = time.monotonic()
    job = _submit(client, dataset_id)
    _wait(client, job, lambda now: bool(now["progress"]["step"]))
    seconds = time.monotonic() - began
    _cancel(client, job)
    return seconds


def behind_another(client: httpx.Client, dataset_id: str) -> float:
    """Of a job that was queued while the one before ran to its end. Raises: BenchmarkFailed."""
    first, second = _submit(client, dataset_id, num_epochs=1), _submit(client, dataset_id)
    _wait(client, first, lambda now: now["status"] == "succeeded")
    began = time.monotonic()
    _wait(client, second, lambda now: bool(now["progress"]["step"]))
    seconds = time.monotonic() - began
    _cancel(client, second)
    return seconds


def _submit(client: httpx.Client, dataset_id: str, **asked: Any) -> Any:
    body = {"dataset_id": dataset_id, "base_model": MULTILINGUAL_SMALL, "hyperparameters": asked}
    return checked(client.post("/jobs", json=body))


def _cancel(client: httpx.Client, job: Any) -> None:
    checked(client.post(f"/jobs/{job['id']}/cancel"))
    _wait(client, job, lambda now: now["status"] == "cancelled")


def _wait(client: httpx.Client, job: Any, what: Callable[[Any], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what(job := checked(client.get(f"/jobs/{job['id']}"))):
        if job["status"] not in ("queued", "running") or time.monotonic() > deadline:
            raise BenchmarkFailed(f"the job is {job['status']} at step {job['progress']['step']}: {job['error']}")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
