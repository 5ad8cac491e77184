"""Rate limits and quotas: who is over them is told how long, and nobody else notices."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.finished_models import publish
from parts.key_ring import bearer
from parts.rows import add_model, claim
from parts.wire import error_of, fruit
from service.api.context import Context
from service.store import jobs as job_rows

MakeClient = Callable[..., TestClient]


def context_of(client: TestClient) -> Context:
    context: Context = client.app.state.context  # type: ignore[attr-defined]
    return context


# -- how often ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "method", "path", "status"),
    [
        ("read", "GET", "/jobs", 200),
        ("train", "POST", "/jobs/job_none/cancel", 404),
        ("predict", "POST", "/predict", 404),
    ],
)
def test_ten_times_the_limit_of_a_class_is_a_429_for_that_key_and_class_alone(
    make_client: MakeClient, kind: str, method: str, path: str, status: int
) -> None:
    client = make_client(**{f"rate_limit_{kind}": "10/hour"})
    mine, theirs = (bearer(context_of(client).database, project=project) for project in ("a", "b"))
    body = {"texts": ["x"]} if path == "/predict" else None
    answers = [client.request(method, path, json=body, headers=mine) for _ in range(100)]
    assert [answer.status_code for answer in answers] == [status] * 10 + [429] * 90
    error_of(answers[-1], 429, "rate_limited")
    assert 3500 <= int(answers[-1].headers["retry-after"]) <= 3600
    assert f"RATE_LIMIT_{kind.upper()}" in answers[-1].json()["error"]["message"]
    assert client.request(method, path, json=body, headers=theirs).status_code == status
    others = {"read": "/jobs", "train": "/jobs/job_none/cancel", "predict": "/predict"}
    for other in others.keys() - {kind}:
        asked = (
            client.get(others[other], headers=mine)
            if other == "read"
            else client.post(others[other], json={"texts": ["x"]}, headers=mine)
        )
        assert asked.status_code != 429


def test_who_has_made_all_requests_of_an_operator_is_told_of_the_setting_that_counts_them(
    make_client: MakeClient,
) -> None:
    client = make_client(rate_limit_read="1/hour")
    headers = bearer(context_of(client).database, "admin")
    assert client.get("/metrics", headers=headers).status_code == 200
    error = error_of(client.get("/metrics", headers=headers), 429, "rate_limited")
    assert "RATE_LIMIT_READ" in error["message"]


def test_every_answer_tells_how_much_is_left(make_client: MakeClient) -> None:
    client = make_client(rate_limit_read="2/minute")
    headers = bearer(context_of(client).database)
    answers = [client.get(path, headers=headers) for path in ("/jobs", "/jobs/job_none", "/jobs")]
    assert [answer.status_code for answer in answers] == [200, 404, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"read";q=2;w=60'}
    assert [answer.headers["ratelimit"].split(";t=")[0] for answer in answers] == [f'"read";r={n}' for n in (1, 0, 0)]


def test_open_loopback_has_no_limit(make_client: MakeClient) -> None:
    client = make_client(rate_limit_read="1/hour")
    answers = [client.get("/jobs") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert "ratelimit" not in answers[0].headers


def test_wrong_keys_shut_nobody_out_but_their_sender(make_client: MakeClient) -> None:
    """A thousand of them: `tests/faults/test_gate.py`."""
    client = make_client(rate_limit_wrong_keys="20/minute")
    good = bearer(context_of(client).database)
    answers = [client.get("/jobs", headers={"X-API-Key": f"wrong{number}"}) for number in range(30)]
    assert [answer.status_code for answer in answers] == [401] * 20 + [429] * 10
    assert int(answers[-1].headers["retry-after"]) <= 60
    assert client.get("/jobs", headers=good).status_code == 200
    error_of(client.get("/jobs"), 401, "key_missing")


# -- how much -----------------------------------------------------------------------------------------


class Tenant:
    def __init__(self, client: TestClient, project: str) -> None:
        self.client, self.headers = client, bearer(context_of(client).database, project=project)
        self.dataset = self.upload().json()

    def upload(self, **fields: Any) -> Any:
        return self.client.post("/datasets", json=fruit(**fields), headers=self.headers)

    def submit(self) -> Any:
        return self.client.post("/jobs", json={"dataset_id": self.dataset["id"]}, headers=self.headers)

    def usage(self) -> Any:
        return self.client.get("/usage", headers=self.headers).json()


def test_a_project_may_have_so_many_jobs_however_many_it_sends_at_once(make_client: MakeClient) -> None:
    client = make_client(quota_jobs=3)
    mine, theirs = Tenant(client, "a"), Tenant(client, "b")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: mine.submit(), range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 7
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert "QUOTA_JOBS" in error_of(refused, 429, "quota_exceeded")["message"]
    assert int(refused.headers["retry-after"]) >= 1
    assert theirs.submit().status_code == 202
    made = next(answer.json() for answer in answers if answer.status_code == 202)
    client.post(f"/jobs/{made['id']}/cancel", headers=mine.headers)
    assert mine.submit().status_code == 202
    assert mine.usage()["jobs"] == {"used": 3, "limit": 3}


def test_a_project_may_have_so_many_models_those_of_its_jobs_included(make_client: MakeClient) -> None:
    client = make_client(quota_models=2)
    mine, theirs = Tenant(client, "a"), Tenant(client, "b")
    database = context_of(client).database
    model = add_model(database, project="a")
    assert mine.submit().status_code == 202
    refused = mine.submit()
    assert "delete a model first" in error_of(refused, 409, "quota_exceeded")["message"]
    assert theirs.submit().status_code == 202
    client.delete(f"/models/{model.id}", headers=mine.headers)
    assert mine.submit().status_code == 202
    held = claim(database)
    with database.write() as tx:
        job_rows.finish(tx, held, "failed", {"error": None})
    assert mine.submit().status_code == 202


def test_a_project_may_keep_so_many_bytes(make_client: MakeClient) -> None:
    client = make_client(quota_bytes=40_000)
    mine, theirs = Tenant(client, "a"), Tenant(client, "b")
    context = context_of(client)
    size = mine.usage()["bytes"]["used"]
    stored = context.artifacts.path("datasets", mine.dataset["id"])
    assert size == sum(path.stat().st_size for path in stored.iterdir() if path.name != "MANIFEST.json")
    add_model(context.database, project="a", bytes=40_000 - size)
    error = error_of(mine.upload(), 409, "quota_exceeded")
    assert "QUOTA_BYTES" in error["message"]
    error_of(mine.submit(), 409, "quota_exceeded")
    assert sorted(context.artifacts.names("datasets")) == sorted([mine.dataset["id"], theirs.dataset["id"]])
    assert theirs.upload().status_code == 201
    assert client.delete(f"/datasets/{mine.dataset['id']}", headers=mine.headers).status_code == 204
    assert mine.upload().status_code == 201


# -- one project's models are not another's -----------------------------------------------------------


def test_one_name_in_two_projects_is_two_models_while_new_ones_come_and_go(
    client: TestClient, context: Context
) -> None:
    keys = {project: bearer(context.database, project=project) for project in ("a", "b")}

    def ask(project: str, model: str | None = None) -> Any:
        answer = client.post("/predict", json={"texts": ["x"], "model": model}, headers=keys[project])
        return answer.json()["model"]["id"] if answer.status_code == 200 else answer.json()["error"]["code"]

    first = publish(context.database, context.artifacts, project="a", val_loss=0.5)
    assert ask("a", "fruit") == ask("a") == first.id
    assert ask("b", "fruit") == ask("b") == ask("b", first.id) == "model_not_found"
    theirs = publish(context.database, context.artifacts, project="b", val_loss=0.1)
    assert (ask("a", "fruit"), ask("b", "fruit"), ask("b")) == (first.id, theirs.id, theirs.id)
    # one that cannot be loaded: each falls back on what answered before, and on nothing of the other's
    add_model(context.database, project="a", val_loss=0.01)
    assert (ask("a", "fruit"), ask("b", "fruit")) == (first.id, theirs.id)
    client.delete(f"/models/{theirs.id}", headers=keys["b"])
    assert ask("b", "fruit") == "model_not_found"


def test_all_projects_share_one_memory(make_client: MakeClient) -> None:
    client = make_client(model_memory_bytes=1)
    context = context_of(client)
    for project in ("a", "b", "a"):
        publish(context.database, context.artifacts, project=project)
        answer = client.post("/predict", json={"texts": ["x"]}, headers=bearer(context.database, project=project))
        assert answer.status_code == 200
        loaded = context.shelf.loaded_ids
        assert loaded == [answer.json()["model"]["id"]]


# -- one upload makes one data set --------------------------------------------------------------------


def as_json(client: TestClient, key: str, **fields: Any) -> Any:
    return client.post("/datasets", json=fruit(30, **fields), headers={"Idempotency-Key": key})


def as_files(client: TestClient, key: str, **fields: Any) -> Any:
    rows = "\n".join(["text,label", *(f"text {number},{'ab'[number % 2]}" for number in range(30))])
    files = {"train": ("train.csv", rows)}
    return client.post("/datasets", files=files, data={"name": "fruit"} | fields, headers={"Idempotency-Key": key})


@pytest.mark.parametrize("send", [as_json, as_files])
def test_the_same_upload_with_the_same_key_is_the_same_data_set(
    client: TestClient, context: Context, send: Callable[..., Any]
) -> None:
    first = send(client, "k")
    again = send(client, "k")
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["location"] == first.headers["location"]
    error_of(send(client, "k", name="other"), 409, "idempotency_key_reused")
    error_of(send(client, "k", language="german"), 409, "idempotency_key_reused")
    assert send(client, "k2").json()["id"] != first.json()["id"]
    body = {"dataset_id": first.json()["id"]}
    error_of(client.post("/jobs", json=body, headers={"Idempotency-Key": "k"}), 409, "idempotency_key_reused")
    assert len(context.artifacts.names("datasets")) == 2


@pytest.mark.parametrize("send", [as_json, as_files])
def test_twenty_uploads_at_once_with_one_key_make_one_data_set(
    client: TestClient, context: Context, send: Callable[..., Any]
) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: send(client, "k"), range(20)))
    assert {answer.status_code for answer in answers} == {201}
    (dataset_id,) = {answer.json()["id"] for answer in answers}
    assert [item["id"] for item in client.get("/datasets").json()["data"]] == [dataset_id]
    assert context.artifacts.names("datasets") == [dataset_id]  # the others' files are gone
    assert client.get(f"/datasets/{dataset_id}").status_code == 200
