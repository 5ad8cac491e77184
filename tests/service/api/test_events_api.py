"""`/jobs/{id}/events`: by polling, and live as server-sent events."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.rows import claim
from parts.wire import RFC3339, error_of, server_sent
from service.api.context import Context
from service.store import events as event_rows
from service.store import jobs as job_rows

STREAM = {"Accept": "text/event-stream"}
METRICS = {"train_loss": 0.5, "val_loss": 0.7, "val_macro_f1": 0.4, "learning_rate": 3e-5}


@pytest.fixture
def write(context: Context) -> Callable[..., None]:
    """Appends an event to a job's."""

    def append(job_id: str, message: str, **parts: Any) -> None:
        with context.database.write() as tx:
            event_rows.append(tx, job_id, message, **parts)

    return append


def messages(events: list[dict[str, Any]]) -> list[str]:
    return [event["message"] for event in events]


def test_events_are_listed_oldest_first(
    client: TestClient, submit: Callable[..., str], write: Callable[..., None]
) -> None:
    job_id = submit()
    write(job_id, "epoch 1", kind="metrics", data=METRICS)
    write(job_id, "slow\ndown", level="warning")
    page = client.get(f"/jobs/{job_id}/events").json()
    assert messages(page["data"]) == ["queued", "epoch 1", "slow\ndown"]
    assert page["has_more"] is False
    event = page["data"][1]
    assert list(event) == ["id", "type", "level", "message", "data", "created_at"]
    assert (event["type"], event["level"], event["data"]) == ("metrics", "info", METRICS)
    assert RFC3339.fullmatch(event["created_at"])
    assert (page["data"][2]["level"], page["data"][2]["data"]) == ("warning", None)
    ids = [event["id"] for event in page["data"]]
    assert ids == sorted(set(ids))


def test_events_are_streamed_to_whom_would_rather_have_that_and_no_cache_mixes_the_two(
    client: TestClient, submit: Callable[..., str]
) -> None:
    job_id = submit()
    client.post(f"/jobs/{job_id}/cancel")
    for accept, kind in (
        ("*/*", "application/json"),
        ("application/json, text/event-stream;q=0.5", "application/json"),
        ("text/event-stream;q=0, application/json", "application/json"),
        ("Text/Event-Stream, */*;q=0.1", "text/event-stream; charset=utf-8"),
    ):
        response = client.get(f"/jobs/{job_id}/events", headers={"Accept": accept})
        assert response.headers["content-type"] == kind
        assert response.headers["vary"] == "Accept, Authorization, X-API-Key"
        assert response.headers["cache-control"] == ("no-store" if "stream" in kind else "private, no-cache")
        assert response.headers.get("x-accel-buffering") == ("no" if "stream" in kind else None)


def test_events_come_by_pages(client: TestClient, submit: Callable[..., str], write: Callable[..., None]) -> None:
    job_id = submit()
    for number in range(11):
        write(job_id, f"event {number}")
    seen: list[str] = []
    after, more = "", True
    while more:
        page = client.get(f"/jobs/{job_id}/events?limit=5{after}").json()
        seen += messages(page["data"])
        after, more = f"&after={page['data'][-1]['id']}", page["has_more"]
        assert len(page["data"]) == (5 if more else 2)
    assert seen == ["queued", *(f"event {number}" for number in range(11))]
    assert client.get(f"/jobs/{job_id}/events?limit=5{after}").json() == {"data": [], "has_more": False}


@pytest.mark.parametrize("query", ["after=x", "after=-1", "after=1.5", "after=" + "9" * 16, "limit=0", "limit=1001"])
def test_wrong_pages_are_refused(shared: TestClient, dataset_id: str, query: str) -> None:
    job_id = shared.post("/jobs", json={"dataset_id": dataset_id}).json()["id"]
    error_of(shared.get(f"/jobs/{job_id}/events?{query}"), 422, "request_invalid")
    assert shared.get(f"/jobs/{job_id}/events?after={'9' * 15}&limit=1000").json()["data"] == []


def test_a_wrong_last_event_id_is_refused(shared: TestClient, dataset_id: str) -> None:
    job_id = shared.post("/jobs", json={"dataset_id": dataset_id}).json()["id"]
    error_of(shared.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": "x"}), 422, "request_invalid")


# -- live ---------------------------------------------------------------------------------------------


def test_a_stream_brings_every_event_and_ends_with_the_job(
    client: TestClient, submit: Callable[..., str], write: Callable[..., None]
) -> None:
    job_id = submit()
    write(job_id, "epoch 1", kind="metrics", data=METRICS)
    write(job_id, "two\nlines")
    client.post(f"/jobs/{job_id}/cancel")
    response = client.get(f"/jobs/{job_id}/events", headers=STREAM)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    sent = server_sent(response.text)
    assert [event["data"] for event in sent] == client.get(f"/jobs/{job_id}/events").json()["data"]
    assert [event["event"] for event in sent] == ["message", "metrics", "message", "message"]
    assert [event["id"] for event in sent] == [event["data"]["id"] for event in sent]


def test_a_stream_is_resumed_where_it_broke(
    client: TestClient, submit: Callable[..., str], write: Callable[..., None]
) -> None:
    job_id = submit()
    write(job_id, "one")
    client.post(f"/jobs/{job_id}/cancel")
    ids = [event["id"] for event in client.get(f"/jobs/{job_id}/events").json()["data"]]
    for number, last in enumerate(ids[:-1], 1):
        response = client.get(f"/jobs/{job_id}/events", headers={**STREAM, "Last-Event-ID": last})
        assert [event["id"] for event in server_sent(response.text)] == ids[number:]
        after = client.get(f"/jobs/{job_id}/events?after={last}", headers=STREAM)
        assert after.text == response.text


def test_a_browser_that_asks_again_after_the_end_is_told_to_stop(
    client: TestClient, submit: Callable[..., str]
) -> None:
    job_id = submit()
    client.post(f"/jobs/{job_id}/cancel")
    last = client.get(f"/jobs/{job_id}/events").json()["data"][-1]["id"]
    response = client.get(f"/jobs/{job_id}/events", headers={**STREAM, "Last-Event-ID": last})
    assert (response.status_code, response.content) == (204, b"")


def test_a_stream_is_live(
    client: TestClient, context: Context, submit: Callable[..., str], write: Callable[..., None]
) -> None:
    job_id = submit()
    ours = claim(context.database)
    answers: list[Any] = []
    reader = threading.Thread(
        target=lambda: answers.append(client.get(f"/jobs/{job_id}/events", headers=STREAM)), daemon=True
    )
    reader.start()
    time.sleep(0.2)
    write(job_id, "while it was open")
    time.sleep(0.7)  # longer than it sleeps
    assert reader.is_alive(), "a stream must stay open while its job runs"
    write(job_id, "and again")
    with context.database.write() as tx:
        job_rows.finish(tx, ours, "failed", {"error": {"code": "x", "message": "y"}})
    reader.join(10)
    assert [event["data"]["message"] for event in server_sent(answers[0].text)] == [
        "queued",
        "while it was open",
        "and again",
    ]


def test_a_stream_of_no_job_is_not_found(shared: TestClient) -> None:
    error_of(shared.get("/jobs/job_none/events", headers=STREAM), 404, "job_not_found")


def test_more_events_than_one_read_takes_are_all_streamed(
    client: TestClient, context: Context, submit: Callable[..., str]
) -> None:
    job_id = submit()
    with context.database.write() as tx:
        for number in range(1200):
            event_rows.append(tx, job_id, f"event {number}")
    client.post(f"/jobs/{job_id}/cancel")
    sent = server_sent(client.get(f"/jobs/{job_id}/events", headers=STREAM).text)
    assert [event["data"]["message"] for event in sent] == [
        "queued",
        *(f"event {number}" for number in range(1200)),
        "cancelled",
    ]
