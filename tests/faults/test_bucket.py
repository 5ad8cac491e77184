"""A bucket that fails, and workers with disks of their own that die or stop over it.

Two writers of one name, hostile answers and each single fault: tests/service/store/test_remote_artifacts.py.
"""

import time

import pytest

from faults.conftest import Deploy
from faults.invariants import all_models
from parts.bucket import Door, Fault
from parts.deployment import Deployment, is_ready, wait_until
from parts.toy_text import choosing, columns
from service.jobs import sweep
from service.store.artifacts import MANIFEST

pytestmark = pytest.mark.waits
LEASE = 3.0  # seconds, of 60 by default
TEXTS = {"texts": ["the ripe apple"]}


def past(deployment: Deployment, job_id: str, step: int) -> None:
    deployment.wait_for(job_id, lambda job: job.progress["step"] >= step)


def waits_told(deployment: Deployment, job_id: str) -> list[str]:
    return [words for words in deployment.messages(job_id) if "files of this job wait" in words]


def copies(deployment: Deployment, kind: str) -> set[str]:
    return {path.name for path in deployment.root.glob(f"data-*/copies/{kind}/*")}


def test_a_job_is_carried_over_three_disks_and_no_half_model_is_visible(
    bucket_url: str, door: Door, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B25: 503, lost connections, lost answers; a worker is stopped, the next one killed in the middle of an upload."""
    faults: list[Fault] = ["503", "reset", "lost answer"]
    for fault in faults:
        door.fail(fault, "PUT", "/datasets/")
        door.fail(fault, "PUT", MANIFEST)
        door.fail("503", "GET")
    deployment = deploy(artifacts_url=bucket_url, light_epoch_seconds=0.2, lease_seconds=LEASE)
    deployment.start_api()
    first = deployment.start_light_worker()
    deployment.wait_for_api()
    job_id = deployment.submit(num_epochs=20)
    past(deployment, job_id, 8)
    stopped = first.stop()
    assert deployment.job(job_id).status == "queued"
    last = deployment.job(job_id).progress["step"]

    door.fail("hang", "PUT", "model.safetensors")
    second = deployment.start_light_worker()
    wait_until(lambda: door.count("PUT", "model.safetensors"), 40, deployment.tail)
    second.kill()
    killed = time.monotonic()
    assert deployment.resumed_steps(job_id) == [last]
    (half,) = deployment.artifacts.names("models")
    assert not deployment.artifacts.path("models", half).exists()
    assert deployment.client.get("/models").json()["data"] == []
    assert deployment.client.post("/predict", json=TEXTS).status_code == 404

    deployment.start_light_worker()
    deployment.wait_for_status(job_id, "succeeded")
    took = time.monotonic() - killed
    assert deployment.resumed_steps(job_id)[1] >= 20 - 5  # what it wrote in its last second may not be there yet
    assert deployment.job(job_id).attempt == 3
    (model,) = all_models(deployment)
    assert deployment.client.post("/predict", json=TEXTS).json()["model"]["id"] == model.id
    wait_until(lambda: deployment.artifacts.names("checkpoints") == [], 10)

    assert set(deployment.artifacts.names("models")) == {half, model.id}
    monkeypatch.setattr(sweep, "ORPHAN_SECONDS", 0.0)
    sweep.tidy(deployment.database, deployment.artifacts)
    assert deployment.artifacts.names("models") == [model.id]
    print(
        f"B25: stopped and shared in {stopped:.1f} s; one model {took:.1f} s after the kill, of a lease of {LEASE:g} s"
    )


def test_a_bucket_that_is_away_is_waited_for_and_costs_no_attempt(bucket_url: str, door: Door, deploy: Deploy) -> None:
    """B25: what needs it is refused in time, what does not goes on; a waiting job can still be cancelled."""
    deployment = deploy(artifacts_url=bucket_url, light_epoch_seconds=0.2, lease_seconds=LEASE)
    deployment.start_api()
    deployment.start_light_worker()
    deployment.wait_for_api()
    dataset = deployment.upload()
    deployment.wait_for_status(deployment.submit(dataset, num_epochs=1, name="loaded"), "succeeded")
    assert deployment.client.post("/predict", json=TEXTS).status_code == 200

    job_id = deployment.submit(dataset, num_epochs=10, name="waits")
    past(deployment, job_id, 3)
    door.shut = True
    away = time.monotonic()
    body = {"name": "toys", "language": "english", "train": columns(*choosing(120))}
    refused = deployment.client.post("/datasets", json=body)
    seconds = time.monotonic() - away
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    assert "does not answer (503 Service Unavailable)" in refused.text
    assert copies(deployment, "datasets") == {dataset}
    assert [row["id"] for row in deployment.client.get("/datasets").json()["data"]] == [dataset]
    assert deployment.client.post("/predict", json=TEXTS | {"model": "loaded"}).status_code == 200
    assert is_ready(deployment.client)
    assert time.monotonic() - away > 2 * LEASE
    waiting = deployment.job(job_id)
    assert (waiting.status, waiting.attempt, waiting.progress["step"]) == ("running", 1, 10)
    wait_until(lambda: waits_told(deployment, job_id), 15)
    door.shut = False
    again = deployment.wait_for_status(job_id, "succeeded")
    assert deployment.job(job_id).attempt == 1
    (told,) = waits_told(deployment, job_id)
    assert "the bucket of artifacts does not answer" in told
    assert bucket_url not in told  # that is the operator's, whose log has it
    assert bucket_url in deployment.tail()

    cancelled = deployment.submit(dataset, num_epochs=10, name="cancelled")
    past(deployment, cancelled, 3)
    door.shut = True
    past(deployment, cancelled, 10)
    deployment.client.post(f"/jobs/{cancelled}/cancel")
    ended = deployment.wait_for_status(cancelled, "cancelled", seconds=15)
    door.shut = False
    print(f"B25: refused after {seconds:.1f} s; done {again:.1f} s after it was back; cancelled in {ended:.1f} s")


@pytest.mark.usefixtures("door")
def test_neither_service_nor_worker_starts_with_a_wrong_bucket(deploy: Deploy) -> None:
    deployment = deploy(artifacts_url="s3://nobody-has-this")
    for part in (deployment.start_api(), deployment.start_worker()):
        assert part.process.wait(60) not in (None, 0)
    assert deployment.tail().count("s3://nobody-has-this cannot be used: there is no such bucket there; make it") == 2
