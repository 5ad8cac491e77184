"""Classiglot as its users have it: `classiglot up` in a process of its own, spoken to over HTTP."""

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.scores import Probabilities
from benchmarks.sets import TextSet
from service import processes
from service.jobs.spec import Hyperparameters, resolve
from service.models.bundled import MULTILINGUAL_SMALL
from service.serve import listen
from worker.evaluation.metrics import Binary, to_matrix

TEXTS_A_REQUEST = 200
READY_SECONDS = 90
ANSWER_SECONDS = 600


class BenchmarkFailed(Exception):
    """A run that gave no result; the message says why."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the product answered about the test texts; `reported` is the macro-F1 of its own report."""

    probabilities: Probabilities
    predicted: Binary
    seconds: float
    reported: float
    hyperparameters: dict[str, Any]


@contextmanager
def running_product(
    threads: int, device: str = "cpu", prepare: Callable[[Path], None] = lambda _: None
) -> Iterator[httpx.Client]:
    """A client of a product on a data dir with what `prepare` puts there. Raises: BenchmarkFailed when it does not
    get ready."""
    with listen("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        command = [sys.executable, "-m", "service.cli", "up", "--port", str(port), "--data-dir", folder]
        environment = {
            "THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            "DEVICE": device,
            "LOG_LEVEL": "warning",
        }
        up = processes.start(command, os.environ | environment)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_SECONDS) as client:
                _wait_until_ready(client, up)
                yield client
        finally:
            processes.end(up, grace_seconds=60)


def _wait_until_ready(client: httpx.Client, up: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and up.poll() is None:
        try:
            if client.get("/health/ready").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise BenchmarkFailed("classiglot up did not become ready; its log above says why")


def hyperparameters_of(method: str, train_rows: int) -> dict[str, Any]:
    """What a method asks for: `classiglot` nothing, `classiglot-sam` climbs at each step, as in the paper, and with
    `-equal-time` for half of the epochs: a step that climbs costs two that do not."""
    optimizer = method.removeprefix("classiglot").removeprefix("-").removesuffix("-equal-time")
    asked: dict[str, Any] = {"optimizer": optimizer, "sam_start": 0} if optimizer else {}
    if method.endswith("-equal-time"):
        default = resolve(Hyperparameters(), train_rows=train_rows, base_model=MULTILINGUAL_SMALL)
        asked["num_epochs"] = math.ceil(default.num_epochs / 2)
    return asked


def train_and_predict(client: httpx.Client, contest: TextSet, hyperparameters: dict[str, Any]) -> Served:
    """Raises: BenchmarkFailed. Data set and model are deleted at the end: a model takes half a gigabyte."""
    dataset = checked(client.post("/datasets", json=contest.as_body()))
    asked = {"dataset_id": dataset["id"], "base_model": MULTILINGUAL_SMALL, "hyperparameters": hyperparameters}
    job = _finished(client, checked(client.post("/jobs", json=asked)))
    report = checked(client.get(f"/jobs/{job['id']}/report"))
    predictions = _predict(client, job["model_id"], contest.test.texts)
    labels = contest.labels
    served = Served(
        probabilities=np.array([[own["scores"][label] for label in labels] for own in predictions]),
        predicted=to_matrix([own["labels"] for own in predictions], labels),
        seconds=_moment(job["finished_at"]) - _moment(job["started_at"]),
        reported=report["test"]["macro_f1"],
        hyperparameters=job["hyperparameters"],
    )
    client.delete(f"/models/{job['model_id']}")
    client.delete(f"/datasets/{dataset['id']}")
    return served


def _finished(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    while job["status"] in ("queued", "running"):
        time.sleep(0.5)
        job = checked(client.get(f"/jobs/{job['id']}"))
    if job["status"] != "succeeded":
        raise BenchmarkFailed(f"the job {job['status']}: {job['error']}")
    return job


def _predict(client: httpx.Client, model_id: str, texts: list[str]) -> list[dict[str, Any]]:
    predictions: list[dict[str, Any]] = []
    for first in range(0, len(texts), TEXTS_A_REQUEST):
        body = {"model": model_id, "texts": texts[first : first + TEXTS_A_REQUEST]}
        predictions += checked(client.post("/predict", json=body))["predictions"]
    return predictions


def _moment(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def checked(response: httpx.Response) -> Any:
    """What it says. Raises: BenchmarkFailed when that is an error."""
    if response.is_error:
        raise BenchmarkFailed(f"{response.request.method} {response.request.url.path}: {response.text[:500]}")
    return response.json()
