"""`POST /jobs` with an idempotency key: one key, one job."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.wire import error_of


def post(client: TestClient, dataset_id: str, key: str, **fields: Any) -> Any:
    return client.post("/jobs", json={"dataset_id": dataset_id, **fields}, headers={"Idempotency-Key": key})


def test_the_same_key_with_the_same_request_gives_the_same_job(client: TestClient, upload: Callable[..., str]) -> None:
    dataset_id = upload()
    first = post(client, dataset_id, "k1", metadata={"a": "1", "b": "2"})
    again = post(client, dataset_id, "k1", metadata={"b": "2", "a": "1"}, hyperparameters={"rho": "auto"})
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert post(client, dataset_id, "k2").json()["id"] != first.json()["id"]
    assert len(client.get("/jobs").json()["data"]) == 2


def test_a_replay_tells_what_the_job_is_now(client: TestClient, upload: Callable[..., str]) -> None:
    dataset_id = upload()
    job = post(client, dataset_id, "k1").json()
    client.post(f"/jobs/{job['id']}/cancel")
    client.delete(f"/datasets/{dataset_id}")
    again = post(client, dataset_id, "k1").json()
    assert (again["id"], again["status"]) == (job["id"], "cancelled")


def test_the_same_key_with_another_request_is_refused(client: TestClient, upload: Callable[..., str]) -> None:
    dataset_id = upload()
    post(client, dataset_id, "k1")
    for fields in ({"name": "other"}, {"metadata": {"a": "1"}}, {"hyperparameters": {"seed": 1}}):
        error_of(post(client, dataset_id, "k1", **fields), 409, "idempotency_key_reused")
    assert len(client.get("/jobs").json()["data"]) == 1


def test_a_request_that_failed_does_not_use_its_key_up(shared: TestClient, dataset_id: str) -> None:
    error_of(post(shared, "ds_none", "used"), 404, "dataset_not_found")
    assert post(shared, dataset_id, "used").status_code == 202


def test_twenty_posts_at_once_with_one_key_make_one_job(client: TestClient, upload: Callable[..., str]) -> None:
    dataset_id = upload()
    start = threading.Barrier(20)

    def send(_: int) -> Any:
        start.wait(10)
        return post(client, dataset_id, "k1")

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(client.get("/jobs").json()["data"]) == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "two words", "k\x7f"])
def test_a_wrong_key_is_refused(shared: TestClient, dataset_id: str, key: str) -> None:
    error = error_of(post(shared, dataset_id, key), 422, "request_invalid")
    assert error["details"][0]["field"] == "Idempotency-Key"
