"""Bad input of every kind is refused in one form, never crashes, and never comes back."""

import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from structlog.testing import capture_logs

from parts.key_ring import bearer
from parts.routes import routes
from parts.wire import MARK, error_of, fruit
from service.api.context import Context

ROUTES = ("/datasets", "/jobs", "/predict")
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_of_bad_json_is_unreadable(shared: TestClient, route: str) -> None:
    for body in (b"{", b"[" * 5_000, b'{"a": 1, "a": 2}', b"\xff", b"9" * 90_000, b"[NaN]", b"[1e999]"):
        error_of(shared.post(route, content=body, headers=JSON), 400, "body_unreadable")


def test_a_byte_order_mark_is_let_pass(shared: TestClient) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(fruit()).encode()
    response = shared.post("/datasets", content=body, headers=JSON)
    assert response.status_code == 201
    body = b"\xef\xbb\xbf" + json.dumps({"dataset_id": response.json()["id"]}).encode()
    assert shared.post("/jobs", content=body, headers=JSON).status_code == 202


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json", None])
def test_another_content_type_is_refused(shared: TestClient, route: str, kind: str | None) -> None:
    response = shared.post(route, content=b'{"texts": ["zebra"]}', headers={"Content-Type": kind} if kind else {})
    assert MARK not in response.text
    error = error_of(response, 415, "media_type_unsupported")
    assert "application/json" in error["message"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_written_otherwise(shared: TestClient, kind: str) -> None:
    response = shared.post("/datasets", content=json.dumps(fruit()), headers={"Content-Type": kind})
    assert response.status_code == 201
    body = json.dumps({"dataset_id": response.json()["id"]})
    assert shared.post("/jobs", content=body, headers={"Content-Type": kind}).status_code == 202


@pytest.mark.parametrize("place", ["top", "hyperparameters", "metadata", "column"])
def test_a_long_or_broken_key_is_cut_before_it_is_named(shared: TestClient, place: str) -> None:
    for key in ("k" * 100_000, "\ud800", "a\0b", "\u202e"):
        bodies: dict[str, Any] = {
            "top": {"dataset_id": "ds_x", key: 1},
            "hyperparameters": {"dataset_id": "ds_x", "hyperparameters": {key: 1}},
            "metadata": {"dataset_id": "ds_x", "metadata": {key: 1}},
            "column": fruit(train={"Text": ["x"], "Labels": ["a"], key: 1}),
        }
        route = "/datasets" if place == "column" else "/jobs"
        response = shared.post(route, content=json.dumps(bodies[place]), headers=JSON)
        assert response.status_code == 422
        assert len(response.content) < 1000


# -- sizes --------------------------------------------------------------------------------------------


def test_of_wrong_elements_the_first_is_named_and_no_complaint_is_made_of_the_rest(shared: TestClient) -> None:
    error = error_of(shared.post("/predict", json={"texts": [1] * 10_000}), 422, "request_invalid")
    assert [(detail["field"], detail["row"]) for detail in error["details"]] == [("texts", 0)]
    assert "more)" not in error["message"]


@pytest.mark.parametrize("text", [1, "x"])
def test_far_more_texts_than_are_taken_are_not_even_read(shared: TestClient, text: object) -> None:
    error = error_of(shared.post("/predict", json={"texts": [text] * 1_000_000}), 413, "too_large")
    assert "10,100 values" in error["message"]


def test_an_object_of_too_many_keys_is_refused_whole(shared: TestClient) -> None:
    many = {f"key {number}": "v" for number in range(300_000)}
    split = {"Text": ["x"], "Labels": ["a"]} | many
    metadata = {"dataset_id": "ds_x", "metadata": many}
    for route, body in (("/jobs", many), ("/jobs", metadata), ("/datasets", many), ("/datasets", fruit(train=split))):
        error = error_of(shared.post(route, json=body), 400, "body_unreadable")
        assert "keys, and the most is 1000" in error["message"]


def in_chunks(body: bytes) -> Iterator[bytes]:
    yield body


@pytest.mark.parametrize("send", [lambda body: body, in_chunks], ids=["declared", "chunked"])
@pytest.mark.parametrize("route", ["/jobs", "/predict", "/jobs/job_x/cancel"])
def test_a_request_may_be_as_large_as_the_limit_and_no_byte_more(
    make_client: Callable[..., TestClient], route: str, send: Callable[[bytes], Any]
) -> None:
    client = make_client(max_request_bytes=1000)
    body = json.dumps({"dataset_id": "ds_x"} if route == "/jobs" else {"texts": ["x"]}).encode()
    error_of(client.post(route, content=send(body.ljust(1000)), headers=JSON), 404, _missing(route))
    if "cancel" not in route:  # it reads no body, so none is too large for it
        error_of(client.post(route, content=send(body.ljust(1001)), headers=JSON), 413, "too_large")


def _missing(route: str) -> str:
    return {"/jobs": "dataset_not_found", "/predict": "model_not_found"}.get(route, "job_not_found")


# -- ids ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["none", "NONE", "job_1.2", "x" * 61, "%20", "größe"])
def test_what_cannot_be_an_id_is_as_unknown_as_what_might_be_one(shared: TestClient, wrong: str) -> None:
    asked = 0
    for route in routes(shared.get("/openapi.json").json()):
        for name in route.parameters("path"):
            target = route.path.replace(f"{{{name}}}", wrong)
            error_of(shared.request(route.method, target), 404, name.replace("_id", "_not_found"))
            asked += 1
    assert asked > 10


# -- routes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/zebra", "/datasets/x/y", "/v1/zebra", "/jobs//events", "/docs/zebra"])
def test_an_unknown_route_says_where_routes_are_listed(shared: TestClient, path: str) -> None:
    response = shared.get(path)
    assert "GET /docs" in error_of(response, 404, "route_not_found")["message"]
    assert MARK not in response.text


@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        ("PUT", "/datasets", "GET, HEAD, POST"),
        ("POST", "/info", "GET, HEAD"),
        ("PATCH", "/models/x", "GET, HEAD, DELETE"),
        ("GET", "/predict", "POST"),
        ("DELETE", "/docs", "GET, HEAD"),
    ],
)
def test_an_unknown_method_is_refused_with_the_known_ones(
    shared: TestClient, method: str, path: str, known: str
) -> None:
    response = shared.request(method, path)
    error_of(response, 405, "method_not_allowed")
    assert response.headers["allow"] == known


def test_a_trailing_slash_leads_to_the_route(shared: TestClient) -> None:
    assert shared.get("/datasets/").json() == shared.get("/datasets").json()


# -- what is down, and what is broken -----------------------------------------------------------------


def take_the_database_away(context: Context) -> None:
    """As when its volume is unmounted: open connections end, and no new one can be made."""
    context.database.close()
    shutil.rmtree(context.settings.data_dir)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health/ready"),
        ("GET", "/datasets"),
        ("GET", "/jobs/job_x"),
        ("GET", "/metrics"),
        ("POST", "/jobs"),
        ("POST", "/predict"),
        ("DELETE", "/datasets/ds_x"),
    ],
)
def test_a_database_that_is_away_is_a_503(client: TestClient, context: Context, method: str, path: str) -> None:
    take_the_database_away(context)
    body = {"POST": {"dataset_id": "ds_x"} if path == "/jobs" else {"texts": ["x"]}}.get(method)
    response = client.request(method, path, json=body)
    error_of(response, 503, "database_unavailable")
    assert response.headers["retry-after"] == "5"


def test_the_process_is_alive_without_its_database(client: TestClient, context: Context) -> None:
    take_the_database_away(context)
    assert client.get("/health/live").status_code == 200


def test_what_nobody_thought_of_is_a_500_without_a_word_of_it(make_client: Callable[..., TestClient]) -> None:
    origin = "https://app.example"
    client = make_client(raises=False, cors_origins=origin)
    context: Context = client.app.state.context  # type: ignore[attr-defined]
    client.headers.update(bearer(context.database))
    job = client.post("/jobs", json={"dataset_id": client.post("/datasets", json=fruit()).json()["id"]}).json()
    with context.database.write() as tx:
        tx.execute(text("UPDATE jobs SET hyperparameters = :broken"), {"broken": f'{{"{MARK}": 1}}'})
    with capture_logs() as logs:
        response = client.get(f"/jobs/{job['id']}", headers={"Origin": origin})
    assert response.headers["access-control-allow-origin"] == origin  # or its page would not see it
    assert "request_crashed" in [line["event"] for line in logs]
    assert error_of(response, 500, "internal")["details"] == []
    assert MARK not in response.text
