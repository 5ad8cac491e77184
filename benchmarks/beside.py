"""How long one text takes while a training job runs on the same cores, beside how long it takes while none does."""

import os
import signal
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from benchmarks import load
from benchmarks.percentiles import percentile
from benchmarks.product import BenchmarkFailed, checked
from benchmarks.sets import TextSet
from benchmarks.watched import find_process
from service.models.bundled import MULTILINGUAL_SMALL

ROUNDS, ANSWERS = 8, 40
EPOCHS = 1000  # more than the measurement lasts; the job is cancelled then
START_SECONDS = 300


def measure_beside_training(client: httpx.Client, service: load.Service, text: str, contest: TextSet) -> None:
    """Pauses the job in every other round, so that whatever else the machine does meets both alike."""
    times: dict[bool, list[float]] = {True: [], False: []}
    with running_job(client, contest) as process:
        connection = service.connect()
        for number in range(2 * ROUNDS):
            training = number % 2 == 0
            os.killpg(process, signal.SIGCONT if training else signal.SIGSTOP)
            time.sleep(0.5)
            times[training] += load.seconds(lambda: service.ask(connection, [text]), ANSWERS)
        os.killpg(process, signal.SIGCONT)
    print(slowdown(times[False], times[True]), f"load {os.getloadavg()[0]:.1f}")


def slowdown(alone: Sequence[float], beside: Sequence[float]) -> str:
    """Median and 95th percentile of each in milliseconds, and their ratios."""
    medians = [statistics.median(times) for times in (alone, beside)]
    tails = [percentile(times, 0.95) for times in (alone, beside)]
    return (
        f"one text alone: median {medians[0] * 1e3:.1f} ms, p95 {tails[0] * 1e3:.1f} ms; beside a training job: "
        f"{medians[1] * 1e3:.1f} and {tails[1] * 1e3:.1f} ms; × {medians[1] / medians[0]:.2f} and "
        f"× {tails[1] / tails[0]:.2f};"
    )


@contextmanager
def running_job(client: httpx.Client, contest: TextSet) -> Iterator[int]:
    """The process group of a job that trains on the bundled model, from its first steps on; cancelled at the end."""
    dataset = checked(client.post("/datasets", json=contest.as_body()))
    asked: dict[str, Any] = {"dataset_id": dataset["id"], "base_model": MULTILINGUAL_SMALL}
    job = checked(client.post("/jobs", json=asked | {"hyperparameters": {"num_epochs": EPOCHS}}))
    deadline = time.monotonic() + START_SECONDS
    try:
        while checked(client.get(f"/jobs/{job['id']}"))["progress"]["step"] < 2:
            if time.monotonic() > deadline:
                raise BenchmarkFailed("the job did not begin to train")
            time.sleep(0.5)
        yield find_process(client.base_url.port or 0, "worker.child")
    finally:
        checked(client.post(f"/jobs/{job['id']}/cancel"))
