"""Service and workers started alone, on PostgreSQL, a broker over TCP and a shared folder: by settings only."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from parts.postgres import drop_database, fresh_database
from parts.tiny_models import build_base_models_dir
from parts.toy_text import choosing, columns
from service.jobs.embedded_broker import find_server
from service.serve import listen


def free_port() -> int:
    with listen("127.0.0.1", 0) as probe:
        return int(probe.getsockname()[1])


class Deployment:
    """Processes that know each other by their environment alone."""

    def __init__(self, root: Path, database_url: str) -> None:
        self.root, self.api_port, broker_port = root, free_port(), free_port()
        self.environment = os.environ | {
            "DATABASE_URL": database_url,
            "BROKER_URL": f"redis://127.0.0.1:{broker_port}/0",
            "ARTIFACTS_URL": str(root / "shared-artifacts"),
            "BASE_MODELS_DIR": str(build_base_models_dir(root / "base-models")),
            "PORT": str(self.api_port),
            "THREADS": "1",
            "LEASE_SECONDS": "6",
            "SWEEP_SECONDS": "1",
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}", timeout=30)
        self.start(find_server(), "--port", str(broker_port), "--save", "", "--dir", str(root))
        self.start_part("api")

    def start_part(self, name: str) -> subprocess.Popen[bytes]:
        data_dir = self.root / f"{name}-{len(self.processes)}"  # nothing is shared but what the settings say
        return self.start(sys.executable, "-m", "service.cli", name, "--data-dir", str(data_dir))

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.root / "log").open("ab") as log:
            self.processes.append(subprocess.Popen(command, env=self.environment, stdout=log, stderr=log))
        return self.processes[-1]

    def wait(self, what: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, (self.root / "log").read_text()[-4000:]
            time.sleep(0.1)

    def ready(self) -> bool:
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.client.get(f"/jobs/{job_id}").json())

    def submit(self, **hyperparameters: Any) -> str:
        texts, labels = choosing(120)
        body = {"name": "toys", "language": "english", "train": columns(texts, labels)}
        dataset = self.client.post("/datasets", json=body).json()
        quick = {"learning_rate": 2e-3, "num_epochs": 3, "max_length": 64}
        job = self.client.post("/jobs", json={"dataset_id": dataset["id"], "hyperparameters": quick | hyperparameters})
        assert job.status_code == 202, job.text
        return str(job.json()["id"])

    def stop(self) -> None:
        self.client.close()
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(40)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Deployment]:
    url = fresh_database(postgres)
    system = Deployment(tmp_path_factory.mktemp("deployment"), url)
    system.wait(system.ready)
    yield system
    system.stop()
    drop_database(url)


def runs_of(worker: subprocess.Popen[bytes]) -> list[Path]:
    """/proc folders of the training runs of a worker, alive or not yet buried."""
    return [
        path.parent
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.read_bytes().split(b"\0")[1:4] == [b"-m", b"worker.run", str(worker.pid).encode()]
    ]


def test_a_job_submitted_before_any_worker_is_there_runs_when_one_comes(deployment: Deployment) -> None:
    job_id = deployment.submit()
    time.sleep(2)
    assert deployment.job(job_id)["status"] == "queued"
    deployment.start_part("worker")
    deployment.wait(lambda: deployment.job(job_id)["status"] == "succeeded")
    assert deployment.job(job_id)["base_model"] == "roberta-base"
    answer = deployment.client.post("/predict", json={"texts": ["the ripe apple", "the small dog"]})
    assert answer.status_code == 200
    assert answer.json()["model"]["name"] == "toys"


def test_the_death_of_a_worker_costs_time_but_no_job(deployment: Deployment) -> None:
    job_id = deployment.submit(num_epochs=200)
    first = deployment.processes[-1]
    deployment.wait(lambda: deployment.job(job_id)["progress"]["epoch"] >= 3)
    (run,) = runs_of(first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    killed = time.monotonic()
    deployment.wait(lambda: not run.exists(), seconds=5)  # no orphan goes on training
    deployment.start_part("worker")
    deployment.wait(lambda: deployment.job(job_id)["attempt"] == 2, seconds=30)
    assert time.monotonic() - killed < 20  # a lease of 6 s, and a worker's start
    deployment.wait(lambda: deployment.job(job_id)["status"] == "succeeded", seconds=120)
    events = deployment.client.get(f"/jobs/{job_id}/events", params={"limit": 1000}).json()["data"]
    assert any(event["message"].startswith("resumed after step") for event in events)
    versions = [model["version"] for model in deployment.client.get("/models").json()["data"]]
    assert sorted(versions) == [1, 2]


def test_cancel_reaches_a_run_on_another_process(deployment: Deployment) -> None:
    job_id = deployment.submit(num_epochs=1000)
    deployment.wait(lambda: deployment.job(job_id)["progress"]["step"] > 0)
    assert deployment.client.post(f"/jobs/{job_id}/cancel").status_code == 200
    deployment.wait(lambda: deployment.job(job_id)["status"] == "cancelled", seconds=15)
    assert runs_of(deployment.processes[-1]) == []


def make_key(deployment: Deployment, project: str) -> dict[str, str]:
    words = ("keys", "create", "--name", "test", "--scopes", "read,train,predict", "--project", project)
    command = [sys.executable, "-m", "service.cli", *words]
    made = subprocess.run(command, env=deployment.environment, capture_output=True, text=True, timeout=60, check=True)
    return {"Authorization": f"Bearer {made.stdout.strip()}"}


def test_a_worker_publishes_into_the_project_of_its_job(deployment: Deployment) -> None:
    """The last of this file: from here on every request needs a key."""
    mine, theirs = (make_key(deployment, project) for project in ("mine", "theirs"))
    deployment.client.headers = httpx.Headers(mine)
    deployment.wait(lambda: deployment.client.get("/jobs").json()["data"] == [])  # those before were of `default`
    job_id = deployment.submit()
    deployment.wait(lambda: deployment.job(job_id)["status"] == "succeeded")
    (model,) = deployment.client.get("/models").json()["data"]
    assert (model["version"], model["name"], model["best"]) == (1, "toys", True)
    assert deployment.client.get("/usage").json()["bytes"]["used"] > 100_000
    body = {"texts": ["the ripe apple"], "model": "toys"}
    assert deployment.client.post("/predict", json=body).json()["model"]["id"] == model["id"]
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/report", f"/models/{model['id']}/archive"):
        assert deployment.client.get(path).status_code == 200
        assert deployment.client.get(path, headers=theirs).status_code == 404
    assert deployment.client.post("/predict", json=body, headers=theirs).status_code == 404
