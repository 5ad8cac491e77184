"""HEAD: what GET would answer, without a body."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from parts.finished_models import publish
from parts.key_ring import bearer
from parts.routes import routes
from service.api.context import Context

STREAM = {"Accept": "text/event-stream"}


def test_head_is_answered_as_get_is_on_every_route(
    client: TestClient, context: Context, submit: Callable[..., str]
) -> None:
    model = publish(context.database, context.artifacts)
    ids = {"job_id": submit(), "model_id": model.id, "dataset_id": "ds_none"}
    document = client.get("/openapi.json").json()
    paths = [route.path.format(**ids) for route in routes(document) if route.method == "GET"]
    for path in [*paths, "/docs", "/openapi.json", "/datasets?limit=0", "/zebra"]:
        got, head = client.get(path), client.head(path, headers={"Range": "bytes=0-5"})  # which means nothing here
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert head.headers["content-type"] == got.headers["content-type"]
        if path != "/metrics":  # which counts these requests too
            assert head.headers.get("content-length") == got.headers.get("content-length")
    assert len(paths) > 10
    assert {route.method for route in routes(document)} == {"GET", "POST", "DELETE"}


def test_head_of_what_has_no_get_is_refused(shared: TestClient) -> None:
    response = shared.head("/predict")
    assert (response.status_code, response.headers["allow"], response.content) == (405, "POST", b"")


@pytest.mark.timeout(30)
def test_head_of_a_stream_ends_with_its_headers(client: TestClient, submit: Callable[..., str]) -> None:
    """Of a job that is not final, whose events would be waited for."""
    response = client.head(f"/jobs/{submit()}/events", headers=STREAM)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")


def test_head_needs_the_key_that_get_needs(client: TestClient, context: Context) -> None:
    right, wrong = bearer(context.database, "read"), bearer(context.database, "predict")
    assert [client.head("/jobs", headers=headers).status_code for headers in ({}, wrong, right)] == [401, 403, 200]


def test_head_is_logged_as_what_it_is(shared: TestClient) -> None:
    with capture_logs() as logs:
        shared.head("/jobs/job_none")
    (line,) = [line for line in logs if line["event"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("HEAD", "/jobs/{job_id}", 404)
