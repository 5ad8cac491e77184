"""`/jobs` as the contract has it: made, listed, cancelled, and what they tell."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.rows import claim
from parts.wire import error_of, fruit
from service.api.context import Context
from service.jobs.report import REPORT_JSON, REPORT_PAGE, REPORT_TEXT
from service.jobs.spec import Hyperparameters
from service.store import events as event_rows
from service.store import jobs as job_rows

KEYS = [
    *("id", "status", "phase", "dataset_id", "name", "base_model", "hyperparameters", "progress", "attempt", "best"),
    *("model_id", "error", "warnings", "created_at", "started_at", "finished_at", "estimated_finish", "metadata"),
]
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
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


def test_another_base_model_is_refused_with_those_that_may_be_asked_for(shared: TestClient, dataset_id: str) -> None:
    response = shared.post("/jobs", json={"dataset_id": dataset_id, "base_model": "../../etc/zebra"})
    error = error_of(response, 422, "base_model_unknown")
    assert "xlm-roberta-base" in error["message"]
    assert "zebra" not in response.text


def test_an_empty_name_does_not_stand_for_another_base_model(shared: TestClient, dataset_id: str) -> None:
    response = shared.post("/jobs", json={"dataset_id": dataset_id, "base_model": ""})
    assert error_of(response, 422, "request_invalid")["details"][0]["field"] == "base_model"


@pytest.mark.parametrize("rows", [12, 40])
def test_auto_is_the_same_as_left_out(shared: TestClient, rows: int) -> None:
    dataset_id = shared.post("/datasets", json=fruit(rows)).json()["id"]
    jobs = [
        shared.post("/jobs", json={"dataset_id": dataset_id, "hyperparameters": asked}).json()
        for asked in ({}, dict.fromkeys(NAMES, "auto"))
    ]
    assert jobs[0]["hyperparameters"] == jobs[1]["hyperparameters"]


@pytest.mark.parametrize(("optimizer", "rho"), [("sam", 0.05), ("asam", 0.5), ("adamw", 0.0)])
def test_rho_follows_from_the_optimizer(shared: TestClient, dataset_id: str, optimizer: str, rho: float) -> None:
    body = {"dataset_id": dataset_id, "hyperparameters": {"optimizer": optimizer}}
    assert shared.post("/jobs", json=body).json()["hyperparameters"]["rho"] == rho


BOUNDS: dict[str, tuple[list[Any], list[Any]]] = {  # accepted, refused
    "batch_size": ([1, 1024], [0, 1025, 10**6, 10**30, 1.5, 16.0, "16", True, None]),
    "learning_rate": ([1e-9, 1, 1.0], [0, -1e-5, 1.1, 1e300, "3e-5", "NaN", True]),
    "num_epochs": ([1, 1000], [0, 1001, 10**9, "3"]),
    "warmup_ratio": ([0, 1], [-0.1, 1.1]),
    "weight_decay": ([0, 1], [-0.1, 1.1]),
    "max_length": ([8, 512], [7, 513, 10**6]),
    "max_grad_norm": ([0.1, 1000], [0, 1001]),
    "optimizer": (["sam", "asam", "adamw"], ["SAM", "sgd", 1, ["sam"]]),
    "rho": ([0, 10], [-0.1, 10.1, []]),
    "sam_start": ([0, 1], [-0.1, 1.1]),
    "ema_decay": ([0, 0.999], [-0.1, 1]),
    "fine_tuned_share": ([0.01, 1], [0, 1.1]),
    "frozen_share": ([0, 0.99], [-0.1, 1]),
    "head_rows": (["train", "train_and_val"], ["val", True, None]),
    "class_weight": (["balanced", "none"], ["Balanced", 1, None]),
    "seed": ([0, 2**32 - 1], [-1, 2**32, 0.5]),
    "repeats": ([1, 10], [0, 11, "3", 2.0]),
    "patience": ([1, 1000], [0, 1001, "3", 2.0]),
}


def test_the_table_has_every_hyperparameter() -> None:
    assert BOUNDS.keys() == set(NAMES) == Hyperparameters.model_fields.keys()


def test_a_number_that_is_none_is_no_json(shared: TestClient, dataset_id: str) -> None:
    """B37: NaN and the infinities can only be sent as something that is not JSON."""
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        body = f'{{"dataset_id": "{dataset_id}", "hyperparameters": {{"learning_rate": {number}}}}}'
        answer = shared.post("/jobs", content=body, headers={"Content-Type": "application/json"})
        error_of(answer, 400, "body_unreadable")


@pytest.mark.parametrize("name", BOUNDS)
def test_every_hyperparameter_has_its_bounds(shared: TestClient, dataset_id: str, name: str) -> None:
    """B37."""
    for value in BOUNDS[name][0]:
        response = shared.post("/jobs", json={"dataset_id": dataset_id, "hyperparameters": {name: value}})
        assert (response.status_code, response.json()["hyperparameters"][name]) == (202, value)
    for value in [*BOUNDS[name][1], "Auto", {}]:
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


# -- the idempotency key ------------------------------------------------------------------------------


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


# -- listed -------------------------------------------------------------------------------------------


def test_jobs_are_listed_newest_first_by_pages(client: TestClient, submit: Callable[..., str]) -> None:
    newest_first = [submit(name=f"job {number}") for number in range(4)][::-1]
    first = client.get("/jobs?limit=3").json()
    assert ([job["id"] for job in first["data"]], first["has_more"]) == (newest_first[:3], True)
    assert list(first["data"][0]) == KEYS
    rest = client.get("/jobs", params={"limit": 3, "after": newest_first[2]}).json()
    assert ([job["id"] for job in rest["data"]], rest["has_more"]) == (newest_first[3:], False)
    assert client.get("/jobs?limit=4").json()["has_more"] is False


def test_no_jobs_are_an_empty_list(client: TestClient) -> None:
    assert client.get("/jobs").json() == {"data": [], "has_more": False}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=1.5", "after=", "after=A"])
def test_wrong_pages_are_refused(shared: TestClient, query: str) -> None:
    error_of(shared.get(f"/jobs?{query}"), 422, "request_invalid")


# -- while it runs, and its end -----------------------------------------------------------------------


def test_a_running_job_shows_how_far_it_is(client: TestClient, context: Context, submit: Callable[..., str]) -> None:
    job_id = submit()
    ours = claim(context.database)
    progress = {"epoch": 2, "num_epochs": 5, "step": 20, "total_steps": 50}
    best = {"epoch": 1, "val_loss": 0.7, "val_macro_f1": 0.4}
    with context.database.write() as tx:
        values = {"phase": "training", "progress": progress, "best": best, "estimated_finish": 1_700_000_000.25}
        job_rows.report(tx, ours, values)
    job = client.get(f"/jobs/{job_id}").json()
    assert (job["status"], job["phase"], job["attempt"]) == ("running", "training", 1)
    assert (job["progress"], job["best"]) == (progress, best)
    assert job["estimated_finish"] == "2023-11-14T22:13:20.250Z"
    assert RFC3339.fullmatch(job["started_at"])


def test_a_failed_job_says_why(client: TestClient, context: Context, submit: Callable[..., str]) -> None:
    job_id = submit()
    error = {"code": "out_of_memory", "message": "try a smaller batch_size"}
    ours = claim(context.database)
    with context.database.write() as tx:
        job_rows.finish(tx, ours, "failed", {"error": error})
    job = client.get(f"/jobs/{job_id}").json()
    assert (job["status"], job["error"], job["phase"]) == ("failed", error, None)
    assert RFC3339.fullmatch(job["finished_at"])
    error_of(client.post(f"/jobs/{job_id}/cancel"), 409, "job_final")
    error_of(client.get(f"/jobs/{job_id}/report"), 409, "report_not_ready")


def test_a_queued_job_is_cancelled_at_once(client: TestClient, submit: Callable[..., str]) -> None:
    job_id = submit()
    response = client.post(f"/jobs/{job_id}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert RFC3339.fullmatch(response.json()["finished_at"])
    again = client.post(f"/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()) == (200, response.json())
    assert client.get(f"/jobs/{job_id}").json() == response.json()


def test_a_running_job_is_asked_to_end(client: TestClient, context: Context, submit: Callable[..., str]) -> None:
    job_id = submit()
    ours = claim(context.database)
    for _ in range(2):
        response = client.post(f"/jobs/{job_id}/cancel")
        assert (response.status_code, response.json()["status"]) == (200, "running")
    with context.database.write() as tx:
        assert job_rows.renew(tx, ours, 60) is True


def test_a_job_that_succeeded_cannot_be_cancelled(
    client: TestClient, context: Context, submit: Callable[..., str]
) -> None:
    job_id = submit()
    _succeed(context)
    error_of(client.post(f"/jobs/{job_id}/cancel"), 409, "job_final")
    assert client.get(f"/jobs/{job_id}").json()["status"] == "succeeded"


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/cancel"), ("GET", "/report"), ("GET", "/events")])
def test_a_job_that_is_none_is_not_found(shared: TestClient, method: str, path: str) -> None:
    error_of(shared.request(method, f"/jobs/job_none{path}"), 404, "job_not_found")


def _succeed(context: Context) -> None:
    ours = claim(context.database)
    with context.database.write() as tx:
        job_rows.finish(tx, ours, "succeeded", {"model_id": "mdl_1"})


# -- the report ---------------------------------------------------------------------------------------


def test_there_is_no_report_before_success(client: TestClient, context: Context, submit: Callable[..., str]) -> None:
    job_id = submit()
    assert "queued" in error_of(client.get(f"/jobs/{job_id}/report"), 409, "report_not_ready")["message"]
    claim(context.database)
    assert "running" in error_of(client.get(f"/jobs/{job_id}/report"), 409, "report_not_ready")["message"]


def test_the_report_is_json_or_text_as_asked(client: TestClient, context: Context, submit: Callable[..., str]) -> None:
    job_id = submit()
    with context.artifacts.writing("reports", "mdl_1") as folder:
        (folder / REPORT_JSON).write_text('{"test": {"macro_f1": 0.5}}')
        (folder / REPORT_TEXT).write_text("              precision    größe\n", encoding="utf-8")
        (folder / REPORT_PAGE).write_text("<!doctype html><title>größe</title>", encoding="utf-8")
    _succeed(context)
    as_json = client.get(f"/jobs/{job_id}/report")
    assert as_json.headers["content-type"] == "application/json"
    assert as_json.json() == {"test": {"macro_f1": 0.5}}
    as_text = client.get(f"/jobs/{job_id}/report", headers={"Accept": "text/plain"})
    assert as_text.headers["content-type"] == "text/plain; charset=utf-8"
    assert as_text.text == "              precision    größe\n"
    page = client.get(f"/jobs/{job_id}/report", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == "<!doctype html><title>größe</title>"
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_damaged_report_is_told_without_a_path(client: TestClient, context: Context, submit: Any) -> None:
    job_id = submit()
    with context.artifacts.writing("reports", "mdl_1") as folder:
        (folder / REPORT_JSON).write_text("{}")
    _succeed(context)
    (context.artifacts.path("reports", "mdl_1") / REPORT_JSON).write_text("zebra")
    response = client.get(f"/jobs/{job_id}/report")
    error_of(response, 500, "artifact_corrupt")
    assert str(context.settings.data_dir) not in response.text


def test_event_rows_of_a_job_begin_with_its_queuing(client: TestClient, context: Context, submit: Any) -> None:
    job_id = submit(language="french")
    with context.database.read() as tx:
        (event,) = event_rows.page(tx, "default", job_id, 10, 0).data
    assert (event.message, event.data) == ("queued", {"base_model": "camembert-base"})
    assert client.get(f"/jobs/{job_id}/events").json()["data"][0]["message"] == "queued"
