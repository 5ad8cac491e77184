"""Every route × every wrong key. The routes come from the application itself, so that a new one is in here too."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import APIRouter, Request
from fastapi.testclient import TestClient

from parts.guarded_routes import (
    GUARDED,
    NO_KEY,
    OF_SOMEBODY,
    SCOPE,
    SCOPED,
    WRONG,
    House,
    as_password,
    basic,
    must_ask_for_a_key,
    must_list_what_is_ones_own,
    must_name_the_missing_scope,
    must_not_find_in_a_body,
    must_not_find_what_is_anothers,
    must_open,
    must_refuse_as_any_wrong_key,
    must_take_a_key_as_password_only_to_read,
    scopes_of,
    without_a_good_key,
)
from parts.key_ring import Headers, bearer, id_of
from parts.rows import add_job
from parts.wire import error_of, fruit
from service.access import gate, keys
from service.access.scopes import SCOPES
from service.api.context import Context
from service.api.guard import OPEN_PATHS, Anyone, Reader, Trainer, _network_of, check_every_route
from service.app import create_app
from service.settings import Settings

every_guarded_route = pytest.mark.parametrize("route", GUARDED)


def open_house(client: TestClient) -> House:
    context: Context = client.app.state.context  # type: ignore[attr-defined]
    ring: dict[str, Headers] = {scope: bearer(context.database, scope, project="mine") for scope in SCOPES}
    house = House(client, context.database, context.artifacts, ring)
    house.fill()
    return house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, open_client: Callable[..., TestClient]) -> Iterator[House]:
    with open_client(tmp_path_factory.mktemp("house"), rate_limit_wrong_keys="9999/second") as client:
        house = open_house(client)
        ring, database = house.keys, house.database
        ring["foreign"] = bearer(database, *SCOPES, project="theirs")
        ring["expired"] = bearer(database, *SCOPES, project="mine", days=1e-9)
        ring["browser"] = bearer(database, "admin", project="mine")
        ring["revoked"] = bearer(database, *SCOPES, project="mine")
        keys.revoke_key(database, id_of(ring["revoked"]))
        ring |= without_a_good_key(ring["read"])
        yield house


# -- the table ----------------------------------------------------------------------------------------


def test_the_table_has_every_route_and_its_scope(settings: Settings) -> None:
    assert scopes_of(create_app(settings).openapi()) == SCOPE
    assert {route.split()[1] for route, scope in SCOPE.items() if scope == "open"} == OPEN_PATHS


def test_a_route_without_a_guard_does_not_even_start() -> None:
    router = APIRouter()
    router.get("/zebra")(lambda: None)
    with pytest.raises(RuntimeError, match="/zebra has no guard"):
        check_every_route(router)


@pytest.mark.parametrize(("method", "access"), [("GET", Trainer), ("POST", Reader), ("DELETE", Anyone)])
def test_only_what_is_read_by_get_may_be_opened_with_a_password(method: str, access: Any) -> None:
    def zebra(own: Any) -> None: ...

    zebra.__annotations__["own"] = access
    router = APIRouter()
    router.add_api_route("/zebra", zebra, methods=[method])
    with pytest.raises(RuntimeError, match="/zebra: what a browser may open"):
        check_every_route(router)


# -- every route × every key --------------------------------------------------------------------------


@every_guarded_route
@pytest.mark.parametrize("key", NO_KEY)
def test_no_key_is_a_401_that_says_how_to_send_one(house: House, route: str, key: str) -> None:
    must_ask_for_a_key(house, route, key)


@every_guarded_route
@pytest.mark.parametrize("key", WRONG)
def test_every_wrong_key_is_the_same_401(house: House, route: str, key: str) -> None:
    must_refuse_as_any_wrong_key(house, route, key)


@pytest.mark.parametrize("route", SCOPED)
def test_every_other_scope_is_a_403_that_names_the_missing_one(house: House, route: str) -> None:
    must_name_the_missing_scope(house, route)


@every_guarded_route
def test_a_key_is_taken_as_a_browsers_password_only_to_read(house: House, route: str) -> None:
    must_take_a_key_as_password_only_to_read(house, route)


def test_a_password_sees_its_own_project(house: House) -> None:
    report = f"/jobs/{house.ids['job_id']}/report"
    assert house.client.get(report, headers=as_password(house.keys["read"])).status_code == 200
    error_of(house.client.get(report, headers=as_password(house.keys["foreign"])), 404, "job_not_found")


@pytest.mark.parametrize("route", OF_SOMEBODY)
def test_what_is_anothers_is_not_found(house: House, route: str) -> None:
    must_not_find_what_is_anothers(house, route)


def test_what_is_anothers_cannot_be_named_in_a_body(house: House) -> None:
    must_not_find_in_a_body(house)


@pytest.mark.parametrize("kind", ["datasets", "jobs", "models"])
def test_lists_have_what_is_ones_own(house: House, kind: str) -> None:
    must_list_what_is_ones_own(house, kind)


@pytest.mark.parametrize("holder", ["the scope", "admin"])
def test_the_right_key_opens_every_route(
    tmp_path_factory: pytest.TempPathFactory, open_client: Callable[..., TestClient], holder: str
) -> None:
    """On things of its own, because it deletes and cancels."""
    with open_client(tmp_path_factory.mktemp("right")) as client:
        must_open(open_house(client), holder)


def test_the_header_of_other_gateways_works_too(house: House) -> None:
    key = house.keys["read"]["Authorization"].removeprefix("Bearer ")
    assert house.client.get("/jobs", headers={"X-API-Key": key}).status_code == 200
    assert house.client.get("/jobs", headers={"Authorization": f"bearer  {key}"}).status_code == 200


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "application/json", "*/*", None])
def test_only_who_wants_a_page_is_asked_for_a_password(house: House, accept: str | None) -> None:
    """A browser then asks its user; a script of a page would have it ask too."""
    page = f"/jobs/{house.ids['job_id']}/report"
    wanted = {"Accept": accept} if accept else {}
    asked = ["Bearer"] + ['Basic realm="Classiglot", charset="UTF-8"'] * (accept is not None and "html" in accept)
    ways: list[Headers] = [{}, house.keys["nonsense"]]
    for headers in ways:
        for method in ("GET", "HEAD"):
            answer = house.client.request(method, page, headers=wanted | headers)
            assert (answer.status_code, answer.headers.get_list("www-authenticate")) == (401, asked)
        answer = house.client.post("/jobs", headers=wanted | headers)
        assert (answer.status_code, answer.headers.get_list("www-authenticate")) == (401, ["Bearer"])
    assert house.client.head("/jobs", headers=wanted | as_password(house.keys["read"])).status_code == 200


def test_a_password_is_guessed_no_more_often_than_a_key(make_client: Callable[..., TestClient]) -> None:
    client = make_client(host="0.0.0.0", rate_limit_wrong_keys="3/hour")
    statuses = [client.get("/jobs", headers=basic("emVicmE6emVicmE=")).status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    assert client.post("/jobs", headers=basic("emVicmE6emVicmE=")).status_code == 401  # there it is no key at all


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
    headers = bearer(house.database, "read", project="mine")
    job = add_job(house.database, project="mine")
    keys_of_stream = headers | {"Accept": "text/event-stream"}
    revoked_at = []

    def revoke_soon() -> None:
        time.sleep(1)
        keys.revoke_key(house.database, id_of(headers))
        revoked_at.append(time.monotonic())

    threading.Thread(target=revoke_soon).start()
    house.client.get(f"/jobs/{job.id}/events", headers=keys_of_stream)  # the test client returns at the stream's end
    assert time.monotonic() - revoked_at[0] < 1.5
    error_of(house.client.get(f"/jobs/{job.id}/events", headers=keys_of_stream), 401, "key_invalid")
