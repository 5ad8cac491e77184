"""`/jobs/{id}`: what a job tells while it runs and at its end, its cancelling, its report, its deletion."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from parts.rows import claim
from parts.wire import RFC3339, error_of
from service.api.context import Context
from service.jobs.report import REPORT_JSON, REPORT_PAGE, REPORT_TEXT
from service.store import events as event_rows
from service.store import jobs as job_rows
from service.store.tables import jobs

JOB_ROUTES = [("GET", ""), ("POST", "/cancel"), ("GET", "/report"), ("GET", "/events"), ("DELETE", "")]

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


def test_a_moment_after_the_last_year_costs_no_list(
    client: TestClient, context: Context, submit: Callable[..., str]
) -> None:
    job_id = submit()
    ours = claim(context.database)
    for seconds in (301_789_000_000.0, 1e300):
        with context.database.write() as tx:
            job_rows.report(tx, ours, {"estimated_finish": seconds})
        (job,) = client.get("/jobs").json()["data"]
        assert (job["id"], job["estimated_finish"]) == (job_id, None)


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


@pytest.mark.parametrize(("method", "path"), JOB_ROUTES)
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
    axios = client.get(f"/jobs/{job_id}/report", headers={"Accept": "application/json, text/plain, */*"})
    assert axios.headers["content-type"] == "application/json"
    for answer in (as_json, as_text, page, axios):  # a cache must not give one of them out for another
        assert answer.headers["vary"] == "Accept, Authorization, X-API-Key"
        assert answer.headers["cache-control"] == "private, no-cache"
    for form, answer, other in (("*/*", as_json, page), ("text/plain", as_text, as_json), ("text/html", page, as_text)):
        known = {"Accept": form, "If-None-Match": f'"zebra", W/{answer.headers["etag"]}'}
        again = client.get(f"/jobs/{job_id}/report", headers=known)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
        assert again.headers["vary"] == "Accept, Authorization, X-API-Key"
        anew = client.get(f"/jobs/{job_id}/report", headers=known | {"If-None-Match": other.headers["etag"]})
        assert (anew.status_code, anew.content) == (200, answer.content)


def test_a_damaged_report_is_told_without_a_path(client: TestClient, context: Context, submit: Any) -> None:
    job_id = submit()
    with context.artifacts.writing("reports", "mdl_1") as folder:
        (folder / REPORT_JSON).write_text("{}")
    _succeed(context)
    (context.artifacts.path("reports", "mdl_1") / REPORT_JSON).write_text("zebra")
    response = client.get(f"/jobs/{job_id}/report")
    error_of(response, 500, "artifact_corrupt")
    assert str(context.settings.data_dir) not in response.text


def test_a_report_whose_folder_is_gone_is_damaged_and_not_unknown(
    client: TestClient, context: Context, submit: Callable[..., str]
) -> None:
    job_id = submit()
    _succeed(context)
    error = error_of(client.get(f"/jobs/{job_id}/report"), 500, "artifact_corrupt")
    assert "restore it from a backup or delete it" in error["message"]


def test_event_rows_of_a_job_begin_with_its_queuing(client: TestClient, context: Context, submit: Any) -> None:
    job_id = submit(language="french")
    with context.database.read() as tx:
        (event,) = event_rows.page(tx, "default", job_id, 10, 0).data
    assert (event.message, event.data) == ("queued", {"base_model": "camembert-base"})
    assert client.get(f"/jobs/{job_id}/events").json()["data"][0]["message"] == "queued"


# -- its deletion -------------------------------------------------------------------------------------


def test_a_deleted_job_is_gone_with_its_events_and_its_report(
    client: TestClient, context: Context, upload: Callable[..., str]
) -> None:
    dataset_id = upload()
    asked: dict[str, Any] = {
        "json": {"dataset_id": dataset_id, "metadata": {"who": "zebra"}},
        "headers": {"Idempotency-Key": "k"},
    }
    job_id = client.post("/jobs", **asked).json()["id"]
    with context.artifacts.writing("reports", "mdl_1") as folder:
        (folder / REPORT_JSON).write_text("{}")
    _succeed(context)
    response = client.delete(f"/jobs/{job_id}")
    assert (response.status_code, response.content) == (204, b"")
    for method, path in JOB_ROUTES:
        error_of(client.request(method, f"/jobs/{job_id}{path}"), 404, "job_not_found")
    assert client.get("/jobs").json()["data"] == []
    assert context.artifacts.names("reports") == []
    error_of(client.post("/jobs", **asked), 409, "idempotency_key_reused")
    with context.database.read() as tx:
        assert event_rows.page(tx, "default", job_id, 10, 0).data == []
        (row,) = tx.execute(select(jobs)).mappings()
    assert "zebra" not in str(row)
    assert client.get(f"/datasets/{dataset_id}").status_code == 200


def test_a_deleted_job_still_counts_as_a_use_of_its_test_split(
    client: TestClient, context: Context, submit: Callable[..., str]
) -> None:
    job_id = submit()
    test_split = _test_split(context, job_id)
    _succeed(context)
    client.delete(f"/jobs/{job_id}")
    with context.database.read() as tx:
        assert job_rows.times_scored(tx, "default", test_split) == 1


def test_a_job_that_has_not_ended_is_not_deleted(
    client: TestClient, context: Context, submit: Callable[..., str]
) -> None:
    job_id = submit()
    assert "queued; cancel it" in error_of(client.delete(f"/jobs/{job_id}"), 409, "job_not_final")["message"]
    claim(context.database)
    assert "running; cancel it" in error_of(client.delete(f"/jobs/{job_id}"), 409, "job_not_final")["message"]
    assert client.get(f"/jobs/{job_id}").json()["status"] == "running"


def _test_split(context: Context, job_id: str) -> str:
    with context.database.read() as tx:
        job = job_rows.get(tx, "default", job_id)
    assert job is not None
    return job.test_sha256
