"""Seconds from `POST /jobs` to the first step of training, of the bundled model, while nothing else runs.

A worker that had nothing to do has the job's process ready; one that has just ended another job begins to start it.
"""

import argparse
import os
import time
from pathlib import Path

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
            when = f"to a worker idle for {idle} s" if idle else "right behind another job"
            print(f"{seconds:.1f} s from POST /jobs to the first step, {when}; load before it {load:.1f}", flush=True)


def until_first_step(client: httpx.Client, dataset_id: str) -> float:
    """The job is cancelled then. Raises: BenchmarkFailed."""
    began = time.monotonic()
    job = checked(client.post("/jobs", json={"dataset_id": dataset_id, "base_model": MULTILINGUAL_SMALL}))
    while not job["progress"]["step"]:
        if job["status"] not in ("queued", "running") or time.monotonic() - began > PATIENCE_SECONDS:
            raise BenchmarkFailed(f"the job is {job['status']} without a step: {job['error']}")
        time.sleep(0.05)
        job = checked(client.get(f"/jobs/{job['id']}"))
    seconds = time.monotonic() - began
    checked(client.post(f"/jobs/{job['id']}/cancel"))
    while job["status"] in ("queued", "running"):
        time.sleep(0.2)
        job = checked(client.get(f"/jobs/{job['id']}"))
    return seconds


if __name__ == "__main__":
    main()
