"""`/jobs` as the contract has it: made and listed."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.bounds import BOUNDS, NO_NUMBERS, refused
from parts.wire import RFC3339, error_of, fruit
from service.jobs.spec import Hyperparameters

KEYS = [
    *("id", "status", "phase", "dataset_id", "name", "base_model", "hyperparameters", "progress", "attempt", "best"),
    *("model_id", "error", "warnings", "created_at", "started_at", "finished_at", "estimated_finish", "metadata"),
]
NAMES = ("batch_size", "learning_rate", "num_epochs", "warmup_ratio", "weight_decay", "max_length", "max_grad_norm",
         "optimizer", "rho", "sam_start", "ema_decay", "fine_tuned_share", "frozen_share", "head_rows", "patience",
         "class_weight",
         "seed", "repeats")  # fmt: skip


# -- made ---------------------------------------------------------------------------------------------


def test_a_job_is_queued_though_no_broker_runs(client: TestClient, upload: Callable[..., str]) -> None:
    dataset_id = upload(language="german")
    response = client.post("/jobs", json={"dataset_id": dataset_id})
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert list(job) == KEYS
    assert (job["status"], job["phase"], job["dataset_id"], job["name"]) == ("queued", None, dataset_id, "fruit")
    assert job["base_model"] == "benjamin/roberta-base-wechsel-german"
    assert set(job["hyperparameters"]) == set(NAMES)
    assert "auto" not in job["hyperparameters"].values()
    epochs, size = job["hyperparameters"]["num_epochs"], job["hyperparameters"]["batch_size"]
    steps = -(-8 // size) * epochs  # 8 rows are left to train
    assert job["progress"] == {"epoch": 0, "num_epochs": epochs, "step": 0, "total_steps": steps}
    assert [job[name] for name in ("best", "model_id", "error", "started_at", "finished_at")] == [None] * 5
    assert (job["attempt"], job["metadata"]) == (0, {})
    assert RFC3339.fullmatch(job["created_at"])
    assert client.get(response.headers["location"]).json() == job


def test_name_and_metadata_are_the_clients(shared: TestClient, dataset_id: str) -> None:
    metadata = {"k" * 64: "v" * 512, "Größe": "", **{f"key {number}": "v" for number in range(14)}}
    job = shared.post("/jobs", json={"dataset_id": dataset_id, "name": "Früchte", "metadata": metadata}).json()
    assert (job["name"], job["metadata"]) == ("Früchte", metadata)


@pytest.mark.parametrize(
    ("language", "base_model"),
    [
        ("english", "roberta-base"),
        ("English", "roberta-base"),
        ("en", "roberta-base"),
        ("german", "benjamin/roberta-base-wechsel-german"),
        ("de", "benjamin/roberta-base-wechsel-german"),
        ("french", "camembert-base"),
        ("fr", "camembert-base"),
        ("spanish", "xlm-roberta-base"),
        ("tr", "xlm-roberta-base"),
        ("日本語", "xlm-roberta-base"),
        ("multilingual", "xlm-roberta-base"),
        (None, "xlm-roberta-base"),
    ],
)
def test_the_language_chooses_the_base_model(
    shared: TestClient, dataset_id: str, language: str | None, base_model: str
) -> None:
    body = {"dataset_id": dataset_id, "language": language}
    assert shared.post("/jobs", json=body).json()["base_model"] == base_model


def test_the_jobs_language_comes_before_the_data_sets(client: TestClient, upload: Callable[..., str]) -> None:
    body = {"dataset_id": upload(language="german"), "language": "french"}
    assert client.post("/jobs", json=body).json()["base_model"] == "camembert-base"


def test_every_listed_base_model_may_be_asked_for(make_client: Callable[..., TestClient]) -> None:
    client = make_client(extra_base_models=("me/mine",))
    dataset_id = client.post("/datasets", json=fruit()).json()["id"]
    names = [model["name"] for model in client.get("/info").json()["base_models"]]
    assert "me/mine" in names
    for name in names:
        response = client.post("/jobs", json={"dataset_id": dataset_id, "base_model": name})
        assert (response.status_code, response.json()["base_model"]) == (202, name)


@pytest.mark.parametrize("extra", [(), ("FacebookAI/xlm-roberta-base",)])
def test_an_id_of_the_hub_stands_for_the_model_that_has_it_unless_an_operator_added_it(
    make_client: Callable[..., TestClient], extra: tuple[str, ...]
) -> None:
    client = make_client(extra_base_models=extra)
    body = {
        "dataset_id": client.post("/datasets", json=fruit()).json()["id"],
        "base_model": "FacebookAI/xlm-roberta-base",
    }
    assert client.post("/jobs", json=body).json()["base_model"] == (extra[0] if extra else "xlm-roberta-base")


def test_another_base_model_is_refused_with_those_that_may_be_asked_for(shared: TestClient, dataset_id: str) -> None:
    response = shared.post("/jobs", json={"dataset_id": dataset_id, "base_model": "../../etc/zebra"})
    error = error_of(response, 422, "base_model_unknown")
    assert "xlm-roberta-base" in error["message"]
    assert "zebra" not in response.text


def test_an_empty_name_does_not_stand_for_another_base_model(shared: TestClient, dataset_id: str) -> None:
    response = shared.post("/jobs", json={"dataset_id": dataset_id, "base_model": ""})
    assert error_of(response, 422, "request_invalid")["details"][0]["field"] == "base_model"


@pytest.mark.parametrize("rows", [12, 40])
def test_auto_and_null_are_the_same_as_left_out(shared: TestClient, rows: int) -> None:
    dataset_id = shared.post("/datasets", json=fruit(rows)).json()["id"]
    jobs = [
        shared.post("/jobs", json={"dataset_id": dataset_id, "hyperparameters": asked}).json()
        for asked in ({}, dict.fromkeys(NAMES, "auto"), dict.fromkeys(NAMES), None)
    ]
    assert [job["hyperparameters"] for job in jobs] == [jobs[0]["hyperparameters"]] * 4


def test_a_job_of_nulls_is_the_same_request_as_one_without(shared: TestClient, dataset_id: str) -> None:
    optional = ("name", "language", "base_model", "hyperparameters", "metadata")
    bodies = [{"dataset_id": dataset_id}, {"dataset_id": dataset_id, **dict.fromkeys(optional)}]
    jobs = [shared.post("/jobs", json=body, headers={"Idempotency-Key": "of-nulls"}).json() for body in bodies]
    assert jobs[0] == jobs[1]
    assert jobs[0]["metadata"] == {}
    error = error_of(shared.post("/jobs", json={"dataset_id": dataset_id, "zebra": None}), 422, "request_invalid")
    assert error["details"][0]["field"] == "zebra"


@pytest.mark.parametrize(("optimizer", "rho"), [("sam", 0.05), ("asam", 0.5), ("adamw", 0.0)])
def test_rho_follows_from_the_optimizer(shared: TestClient, dataset_id: str, optimizer: str, rho: float) -> None:
    body = {"dataset_id": dataset_id, "hyperparameters": {"optimizer": optimizer}}
    assert shared.post("/jobs", json=body).json()["hyperparameters"]["rho"] == rho


def test_the_table_has_every_hyperparameter() -> None:
    assert BOUNDS.keys() == set(NAMES) == Hyperparameters.model_fields.keys()


def test_a_number_that_is_none_is_no_json(shared: TestClient, dataset_id: str) -> None:
    """B37: NaN and the infinities can only be sent as something that is not JSON."""
    for number in NO_NUMBERS:
        body = f'{{"dataset_id": "{dataset_id}", "hyperparameters": {{"learning_rate": {number}}}}}'
        answer = shared.post("/jobs", content=body, headers={"Content-Type": "application/json"})
        error_of(answer, 400, "body_unreadable")


@pytest.mark.parametrize("name", BOUNDS)
def test_every_hyperparameter_has_its_bounds(shared: TestClient, dataset_id: str, name: str) -> None:
    """B37."""
    for value in BOUNDS[name][0]:
        response = shared.post("/jobs", json={"dataset_id": dataset_id, "hyperparameters": {name: value}})
        assert (response.status_code, response.json()["hyperparameters"][name]) == (202, value)
    for value in refused(name):
        response = shared.post("/jobs", json={"dataset_id": dataset_id, "hyperparameters": {name: value}})
        details = error_of(response, 422, "request_invalid")["details"]
        assert {detail["field"] for detail in details} == {f"hyperparameters.{name}"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"dataset": "x"}, "dataset"),
        ({"hyperparameters": {"lr": 0.1}}, "hyperparameters.lr"),
        ({"hyperparameters": []}, "hyperparameters"),
        ({"hyperparameters": "auto"}, "hyperparameters"),
        ({"name": "a/b"}, "name"),
        ({"name": ""}, "name"),
        ({"language": "../x"}, "language"),
        ({"base_model": 7}, "base_model"),
        ({"base_model": "x" * 201}, "base_model"),
        ({"dataset_id": None}, "dataset_id"),
        ({"dataset_id": "DROP TABLE"}, "dataset_id"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {f"key {number}": "v" for number in range(17)}}, "metadata"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"k": "\0"}}, "metadata.k"),
    ],
)
def test_wrong_fields_are_named(shared: TestClient, dataset_id: str, fields: dict[str, Any], field: str) -> None:
    response = shared.post("/jobs", json={"dataset_id": dataset_id, **fields})
    assert [detail.get("field") for detail in error_of(response, 422, "request_invalid")["details"]] == [field]


def test_language_and_base_model_exclude_each_other(shared: TestClient, dataset_id: str) -> None:
    body = {"dataset_id": dataset_id, "language": "german", "base_model": "roberta-base"}
    assert "not both" in error_of(shared.post("/jobs", json=body), 422, "request_invalid")["message"]


def test_every_wrong_field_is_told_at_once(shared: TestClient, dataset_id: str) -> None:
    body = {"dataset_id": dataset_id, "colour": 1, "hyperparameters": {"rho": 11, "batch_size": 0}}
    error = error_of(shared.post("/jobs", json=body), 422, "request_invalid")
    named = {detail["field"] for detail in error["details"]}
    assert named == {"colour", "hyperparameters.rho", "hyperparameters.batch_size"}


def test_a_job_needs_its_data_set(shared: TestClient) -> None:
    error_of(shared.post("/jobs", json={"dataset_id": "ds_none"}), 404, "dataset_not_found")
    error_of(shared.post("/jobs", json={}), 422, "request_invalid")


# -- listed -------------------------------------------------------------------------------------------


def test_jobs_are_listed_newest_first_by_pages(client: TestClient, submit: Callable[..., str]) -> None:
    newest_first = [submit(name=f"job {number}") for number in range(4)][::-1]
    first = client.get("/jobs?limit=3").json()
    assert ([job["id"] for job in first["data"]], first["has_more"]) == (newest_first[:3], True)
    assert list(first["data"][0]) == KEYS
    rest = client.get("/jobs", params={"limit": 3, "after": newest_first[2]}).json()
    assert ([job["id"] for job in rest["data"]], rest["has_more"]) == (newest_first[3:], False)
    assert client.get("/jobs?limit=4").json()["has_more"] is False


def test_lists_of_jobs_are_narrowed_and_paged(client: TestClient, upload: Callable[..., str]) -> None:
    datasets = [upload(name=name) for name in ("Früchte", "moods")]

    def listed(**query: str) -> list[str]:
        seen: list[str] = []
        while True:
            after = {"after": seen[-1]} if seen else {}
            page = client.get("/jobs", params={"limit": "2", **query, **after}).json()
            seen += [job["id"] for job in page["data"]]
            if not page["has_more"]:
                return seen

    jobs = [client.post("/jobs", json={"dataset_id": datasets[number % 2]}).json()["id"] for number in range(6)][::-1]
    for job_id in jobs[:3]:
        client.post(f"/jobs/{job_id}/cancel")
    assert listed() == jobs
    assert listed(status="cancelled") == jobs[:3]
    assert listed(dataset_id=datasets[0]) == listed(name="Fru\u0308chte ") == jobs[1::2]
    assert listed(status="queued", name="moods", dataset_id=datasets[1]) == jobs[4::2]
    assert listed(status="running") == listed(name="zebra") == listed(name="\0") == listed(dataset_id="ds_none") == []
    assert listed(colour="red") == jobs  # what a proxy or a cache adds is passed over


def test_a_state_that_is_none_is_told_which_there_are(shared: TestClient) -> None:
    error = error_of(shared.get("/jobs?status=done"), 422, "request_invalid")
    message = "must be 'queued', 'running', 'succeeded', 'failed' or 'cancelled'"
    assert error["details"] == [{"field": "status", "message": message}]


def test_no_jobs_are_an_empty_list(client: TestClient) -> None:
    assert client.get("/jobs").json() == {"data": [], "has_more": False}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=1.5", "after=A"])
def test_wrong_pages_are_refused(shared: TestClient, query: str) -> None:
    error_of(shared.get(f"/jobs?{query}"), 422, "request_invalid")
