"""Every route × every wrong key. The routes come from the application itself, so that a new one is in here too."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import APIRouter, Request
from fastapi.testclient import TestClient

from parts.finished_models import publish
from parts.key_ring import Headers, bearer, id_of
from parts.rows import add_job, claim
from parts.wire import error_of, fruit
from service.access import gate, keys
from service.access.scopes import SCOPES
from service.api.context import Context
from service.api.guard import OPEN_PATHS, _network_of, check_every_route
from service.app import create_app
from service.jobs.report import REPORT_JSON
from service.settings import Settings
from service.store import jobs as job_rows

# What each route asks for, agreed here: a change is made on purpose.
SCOPE = {
    "GET /datasets": "read",
    "POST /datasets": "train",
    "GET /datasets/{dataset_id}": "read",
    "DELETE /datasets/{dataset_id}": "train",
    "GET /jobs": "read",
    "POST /jobs": "train",
    "GET /jobs/{job_id}": "read",
    "POST /jobs/{job_id}/cancel": "train",
    "GET /jobs/{job_id}/events": "read",
    "GET /jobs/{job_id}/report": "read",
    "GET /models": "read",
    "GET /models/{model_id}": "read",
    "DELETE /models/{model_id}": "train",
    "POST /models/{model_id}/promote": "train",
    "GET /models/{model_id}/archive": "read",
    "POST /predict": "predict",
    "GET /metrics": "admin",
    "GET /usage": "read",
    "GET /info": "any",
    "GET /health/live": "open",
    "GET /health/ready": "open",
}
GUARDED = [route for route, scope in SCOPE.items() if scope != "open"]
SCOPED = [route for route in GUARDED if SCOPE[route] != "any"]
OF_SOMEBODY = [route for route in GUARDED if "{" in route]
every_guarded_route = pytest.mark.parametrize("route", GUARDED)


@dataclass
class House:
    """A service with keys, and something of each kind that belongs to the project `mine`."""

    client: TestClient
    context: Context
    ids: dict[str, str]
    keys: dict[str, Any] = field(default_factory=dict)

    def ask(self, route: str, headers: Headers, **ids: str) -> Any:
        method, path = route.split()
        body = {
            "/datasets": fruit(),
            "/jobs": {"dataset_id": self.ids["dataset_id"]},
            "/predict": {"texts": ["x"], "model": "fruit"},
        }
        json = body.get(path) if method == "POST" else None
        return self.client.request(method, path.format(**(self.ids | ids)), json=json, headers=headers)


def fill(context: Context, client: TestClient, headers: Headers, project: str) -> dict[str, str]:
    """A data set, a finished job with its report, and its model."""
    dataset_id = client.post("/datasets", json=fruit(), headers=headers).json()["id"]
    model = publish(context.database, context.artifacts, project=project)
    job = add_job(context.database, project=project, dataset_id=dataset_id)
    with context.artifacts.writing("reports", model.id) as folder:
        (folder / REPORT_JSON).write_text("{}")
    held = claim(context.database)
    assert held.job_id == job.id
    with context.database.write() as tx:
        job_rows.finish(tx, held, "succeeded", {"model_id": model.id})
    return {"dataset_id": dataset_id, "job_id": job.id, "model_id": model.id}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, open_client: Callable[..., TestClient]) -> Iterator[House]:
    with open_client(tmp_path_factory.mktemp("house"), rate_limit_wrong_keys="9999/second") as client:
        context: Context = client.app.state.context  # type: ignore[attr-defined]
        database = context.database
        ring: dict[str, Any] = {scope: bearer(database, scope, project="mine") for scope in SCOPES}
        ring["foreign"] = bearer(database, *SCOPES, project="theirs")
        ring["expired"] = bearer(database, *SCOPES, project="mine", days=1e-9)
        ring["revoked"] = bearer(database, *SCOPES, project="mine")
        keys.revoke_key(database, id_of(ring["revoked"]))
        whole = ring["read"]["Authorization"]
        ring |= {
            "none": {},
            "cut": {"Authorization": whole[:-1]},
            "of another secret": {"Authorization": whole[:-43] + "A" * 43},
            "of nobody": {"Authorization": f"Bearer cgk_{'0' * 26}.{'A' * 43}"},
            "nonsense": {"Authorization": "Bearer zebra"},
            "long": {"Authorization": f"Bearer {'z' * 8000}"},
            "not ASCII": {"X-API-Key": "zebraé".encode("latin-1")},
            "basic": {"Authorization": "Basic emVicmE6emVicmE="},
            "empty": {"Authorization": "Bearer "},
        }
        yield House(client, context, fill(context, client, ring["train"], "mine"), ring)


# -- the table ----------------------------------------------------------------------------------------


def test_the_table_has_every_route_and_its_scope(settings: Settings) -> None:
    found = {}
    for path, operations in create_app(settings).openapi()["paths"].items():
        for method, operation in operations.items():
            schemes = operation.get("security", [])
            scopes = {tuple(scopes) for scheme in schemes for scopes in scheme.values()}
            assert len(schemes) in (0, 2)
            found[f"{method.upper()} {path}"] = " ".join(*scopes) or "any" if schemes else "open"
            assert not schemes or {"401", "403", "429"} <= operation["responses"].keys(), path
    assert found == SCOPE
    assert {route.split()[1] for route, scope in SCOPE.items() if scope == "open"} == OPEN_PATHS


def test_a_route_without_a_guard_does_not_even_start() -> None:
    router = APIRouter()
    router.get("/zebra")(lambda: None)
    with pytest.raises(RuntimeError, match="/zebra has no guard"):
        check_every_route(router)


# -- every route × every key --------------------------------------------------------------------------


@every_guarded_route
@pytest.mark.parametrize("key", ["none", "basic", "empty"])
def test_no_key_is_a_401_that_says_how_to_send_one(house: House, route: str, key: str) -> None:
    response = house.ask(route, house.keys[key])
    error = error_of(response, 401, "key_missing")
    assert "Authorization: Bearer" in error["message"]
    assert response.headers["www-authenticate"] == "Bearer"


WRONG = ["cut", "of another secret", "of nobody", "nonsense", "long", "not ASCII", "expired", "revoked"]


@every_guarded_route
@pytest.mark.parametrize("key", WRONG)
def test_every_wrong_key_is_the_same_401(house: House, route: str, key: str) -> None:
    response = house.ask(route, house.keys[key])
    error = error_of(response, 401, "key_invalid")
    assert response.headers["www-authenticate"] == "Bearer"
    assert error == house.ask("GET /jobs", house.keys["nonsense"]).json()["error"]  # nothing tells which it was
    assert "zebra" not in response.text


@pytest.mark.parametrize("route", SCOPED)
def test_every_other_scope_is_a_403_that_names_the_missing_one(house: House, route: str) -> None:
    for scope in set(SCOPES) - {SCOPE[route], "admin"}:
        error = error_of(house.ask(route, house.keys[scope]), 403, "scope_missing")
        assert f"`{SCOPE[route]}`" in error["message"]


@pytest.mark.parametrize("route", OF_SOMEBODY)
def test_what_is_anothers_is_not_found(house: House, route: str) -> None:
    error = house.ask(route, house.keys["foreign"]).json()["error"]
    nothing = dict.fromkeys(house.ids, "x_00000000000000000000000000")
    assert error == house.ask(route, house.keys["foreign"], **nothing).json()["error"]  # as if there were nothing
    assert error["code"] in ("dataset_not_found", "job_not_found", "model_not_found")
    object_itself = "GET " + route.split()[1].split("}")[0] + "}"
    assert house.ask(object_itself, house.keys["read"]).is_success  # and it is still there


@pytest.mark.parametrize("route", ["POST /jobs", "POST /predict"])
def test_what_is_anothers_cannot_be_named_in_a_body(house: House, route: str) -> None:
    error_of(
        house.ask(route, house.keys["foreign"]), 404, "dataset_not_found" if "jobs" in route else "model_not_found"
    )
    by_id = {"texts": ["x"], "model": house.ids["model_id"]}
    error_of(house.client.post("/predict", json=by_id, headers=house.keys["foreign"]), 404, "model_not_found")


@pytest.mark.parametrize("kind", ["datasets", "jobs", "models"])
def test_lists_have_what_is_ones_own(house: House, kind: str) -> None:
    assert house.client.get(f"/{kind}", headers=house.keys["foreign"]).json() == {"data": [], "has_more": False}
    mine = house.client.get(f"/{kind}", headers=house.keys["read"]).json()["data"]
    assert house.ids[f"{kind[:-1]}_id"] in [item["id"] for item in mine]


@pytest.mark.parametrize("holder", ["the scope", "admin"])
def test_the_right_key_opens_every_route(
    tmp_path_factory: pytest.TempPathFactory, open_client: Callable[..., TestClient], holder: str
) -> None:
    """On things of its own, because it deletes and cancels."""
    with open_client(tmp_path_factory.mktemp("right")) as client:
        context: Context = client.app.state.context  # type: ignore[attr-defined]
        ring: dict[str, Any] = {scope: bearer(context.database, scope, project="mine") for scope in SCOPES}
        ring |= {"any": ring["predict"], "open": {}}
        fresh = House(client, context, fill(context, client, ring["train"], "mine"), ring)
        for route in sorted(SCOPE, key=lambda route: route.startswith("DELETE")):  # what deletes comes last
            response = fresh.ask(route, ring["admin" if holder == "admin" else SCOPE[route]])
            final = "cancel" in route and response.json()["error"]["code"] == "job_final"
            assert response.is_success or final or route.startswith("DELETE /datasets"), (route, response.text)


def test_the_header_of_other_gateways_works_too(house: House) -> None:
    key = house.keys["read"]["Authorization"].removeprefix("Bearer ")
    assert house.client.get("/jobs", headers={"X-API-Key": key}).status_code == 200
    assert house.client.get("/jobs", headers={"Authorization": f"bearer  {key}"}).status_code == 200


def test_health_and_the_document_need_no_key(house: House) -> None:
    for path in ("/health/live", "/health/ready", "/docs", "/openapi.json"):
        assert house.client.get(path).status_code == 200


@pytest.mark.parametrize("route", ["/jobs", "/predict", "/datasets"])
def test_who_may_not_send_a_body_has_none_read(house: House, route: str) -> None:
    for headers, status in (({}, 401), (house.keys["read"], 403)):
        response = house.client.post(route, content=b"{" * 100, headers=headers | {"Content-Type": "text/zebra"})
        assert response.status_code == status


# -- when keys are needed -----------------------------------------------------------------------------


def test_on_loopback_nothing_is_needed_until_the_first_key(
    client: TestClient, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FRESH", 0)
    assert client.get("/metrics").status_code == 200
    dataset = client.post("/datasets", json=fruit()).json()
    headers = bearer(context.database)
    error_of(client.get("/datasets"), 401, "key_missing")
    assert client.get(f"/datasets/{dataset['id']}", headers=headers).json() == dataset  # the project `default`
    keys.revoke_key(context.database, id_of(headers))
    error_of(client.get("/datasets"), 401, "key_missing")  # the last key's end opens nothing
    keys.remove_all_keys(context.database)
    assert client.get("/datasets").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8000"},
        {"Host": "localhost.evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Forwarded": "for=192.0.2.7"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"X-Real-IP": "192.0.2.7"},
        {"Via": "1.1 proxy"},
    ],
)
def test_neither_a_web_page_in_this_machines_browser_nor_a_proxy_is_this_machine(
    shared: TestClient, headers: Headers
) -> None:
    for method, path in (("GET", "/datasets"), ("POST", "/datasets"), ("GET", "/metrics")):
        assert shared.get("/datasets").status_code == 200  # that local ones need no key is now remembered
        error_of(shared.request(method, path, headers=headers), 401, "key_missing")


@pytest.mark.parametrize(
    "name", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.0.0.2:8000", "[::1]:8000", "[::1]"]
)
def test_this_machine_has_several_names(shared: TestClient, name: str) -> None:
    assert shared.get("/datasets", headers={"Host": name, "Origin": f"http://{name}"}).status_code == 200


def test_where_others_can_reach_it_no_request_is_without_a_key(make_client: Callable[..., TestClient]) -> None:
    client = make_client(host="0.0.0.0")
    error_of(client.get("/datasets"), 401, "key_missing")
    assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),  # of IPv4, on a socket that listens on `::`
        ("2001:db8::7", "2001:db8::/64"),
        ("testclient", "testclient"),
    ],
)
def test_guesses_are_counted_by_address_or_by_network(address: str, counted: str) -> None:
    assert _network_of(Request({"type": "http", "client": (address, 1)})) == counted


@pytest.mark.timeout(30)
def test_an_open_stream_ends_when_its_key_is_revoked(house: House) -> None:
    headers = bearer(house.context.database, "read", project="mine")
    job = add_job(house.context.database, project="mine")
    keys_of_stream = headers | {"Accept": "text/event-stream"}
    revoked_at = []

    def revoke_soon() -> None:
        time.sleep(1)
        keys.revoke_key(house.context.database, id_of(headers))
        revoked_at.append(time.monotonic())

    threading.Thread(target=revoke_soon).start()
    house.client.get(f"/jobs/{job.id}/events", headers=keys_of_stream)  # the test client returns at the stream's end
    assert time.monotonic() - revoked_at[0] < 1.5
    error_of(house.client.get(f"/jobs/{job.id}/events", headers=keys_of_stream), 401, "key_invalid")
