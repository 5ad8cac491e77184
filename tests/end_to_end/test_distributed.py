"""Service and worker started alone, on PostgreSQL, a broker over TCP and a shared folder or a bucket: by settings only.

What becomes of them when something dies is in tests/faults.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from parts.bucket import KEYS
from parts.deployment import Deployment, running, runs_of, wait_until
from parts.ports import free_port
from parts.postgres import drop_database, fresh_database


@pytest.fixture
def deployment(tmp_path: Path, postgres: str) -> Iterator[Deployment]:
    url = fresh_database(postgres)
    system = Deployment(tmp_path, url)
    try:
        system.start_api()
        system.wait_for_api()
        yield system
    finally:
        system.stop()
        drop_database(url)


def test_a_job_submitted_before_any_worker_is_there_runs_when_one_comes(deployment: Deployment) -> None:
    job_id = deployment.submit()
    time.sleep(2)
    assert deployment.job(job_id).status == "queued"
    deployment.start_worker()
    deployment.wait_for_status(job_id, "succeeded")
    assert deployment.job(job_id).base_model == "roberta-base"
    answer = deployment.client.post("/predict", json={"texts": ["the ripe apple", "the small dog"]})
    assert answer.status_code == 200
    assert answer.json()["model"]["name"] == "toys"


def test_a_worker_publishes_into_the_project_of_its_job(deployment: Deployment) -> None:
    deployment.start_worker()
    mine, theirs = (deployment.make_key(project) for project in ("mine", "theirs"))
    deployment.client.headers, deployment.project = httpx.Headers(mine), "mine"
    job_id = deployment.submit()
    deployment.wait_for_status(job_id, "succeeded")
    (model,) = deployment.client.get("/models").json()["data"]
    assert (model["version"], model["name"], model["best"]) == (1, "toys", True)
    assert deployment.client.get("/usage").json()["bytes"]["used"] > 100_000
    body = {"texts": ["the ripe apple"], "model": "toys"}
    assert deployment.client.post("/predict", json=body).json()["model"]["id"] == model["id"]
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/report", f"/models/{model['id']}/archive"):
        assert deployment.client.get(path).status_code == 200
        assert deployment.client.get(path, headers=theirs).status_code == 404
    assert deployment.client.post("/predict", json=body, headers=theirs).status_code == 404


@pytest.mark.waits
def test_services_and_workers_that_share_a_bucket_need_no_folder_in_common(
    tmp_path: Path, postgres: str, bucket_url: str
) -> None:
    """A data set sent to one service, trained by a worker, answered for by another service."""
    url = fresh_database(postgres)
    deployment = Deployment(tmp_path, url, artifacts_url=bucket_url)
    try:
        deployment.start_api()
        worker = deployment.start_worker()
        port = free_port()
        deployment.start_api(port)
        deployment.wait_for_api()
        job_id = deployment.submit()
        wait_until(lambda: runs_of(worker), 30)
        runs = runs_of(worker)
        assert not [
            secret for pid, _, told in running() for secret in KEYS.values() if pid in runs and secret.encode() in told
        ]
        deployment.wait_for_status(job_id, "succeeded")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as other:
            deployment.wait_for_api(other)
            answer = other.post("/predict", json={"texts": ["the ripe apple"]})
            assert answer.status_code == 200, answer.text
            model_id = answer.json()["model"]["id"]
            assert other.get(f"/jobs/{job_id}/report").json()["model_id"] == model_id
            assert other.get(f"/models/{model_id}/archive").status_code == 200
        assert {kind: len(deployment.artifacts.names(kind)) for kind in ("datasets", "models", "reports")} == {
            "datasets": 1, "models": 1, "reports": 1
        }  # fmt: skip
        wait_until(lambda: deployment.artifacts.names("checkpoints") == [], 10)
        assert deployment.client.delete(f"/models/{model_id}").status_code == 204
        assert deployment.artifacts.names("models") == []
    finally:
        deployment.stop()
        drop_database(url)
