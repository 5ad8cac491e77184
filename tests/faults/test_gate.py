"""B38 and B39: every route × every key that must not open it, and too many requests; two real services with one
broker, and keys made by the command line. Figures are printed: `pytest -s`."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from parts.deployment import Deployment
from parts.guarded_routes import (
    GUARDED,
    NO_KEY,
    OF_SOMEBODY,
    SCOPE,
    SCOPED,
    WRONG,
    House,
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
from parts.key_ring import id_of
from parts.ports import free_port
from parts.wire import MARK, error_of
from service.access.scopes import SCOPES

pytestmark = pytest.mark.waits  # for answers, one after another; nothing here is timed
LIMIT = 30  # requests an hour of a key in each class: more than other tests here make with one
CLASSES = {
    "read": ("GET", "/jobs", 200),
    "train": ("POST", "/jobs/job_none/cancel", 404),
    "predict": ("POST", "/predict", 404),
}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Without a worker. At the end both services live, and have neither crashed nor logged what was sent."""
    limits = {f"rate_limit_{kind}": f"{LIMIT}/hour" for kind in CLASSES}
    deployment = Deployment(tmp_path_factory.mktemp("gate"), **limits)
    try:
        yield deployment
        assert all(part.alive() for part in deployment.parts)
        log = deployment.log.read_text()
        assert MARK not in log.lower()
        assert "request_crashed" not in log
    finally:
        deployment.stop()


@pytest.fixture(scope="module")
def second(deployment: Deployment) -> Iterator[httpx.Client]:
    """Asks the other service, which has the usual limit on wrong keys."""
    port = free_port()
    deployment.start_api(port=port)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def house(deployment: Deployment, second: httpx.Client) -> House:
    deployment.start_api(rate_limit_wrong_keys="none")
    for client in (deployment.client, second):
        deployment.wait_for_api(client)
    house = House(deployment.client, deployment.database, deployment.artifacts, make_keys(deployment))
    house.fill()
    return house


def make_keys(deployment: Deployment) -> dict[str, Any]:
    """As an operator does; a second each, so two at once."""
    every = ",".join(SCOPES)
    asked = {scope: ("mine", scope) for scope in SCOPES} | {
        "foreign": ("theirs", every),
        "expired": ("mine", every, "--expires-in-days", "1e-9"),
        "revoked": ("mine", every),
        "eager": ("mine", every),
        "browser": ("mine", "admin"),
    }
    with ThreadPoolExecutor(2) as pool:
        made = dict(zip(asked, pool.map(lambda words: deployment.make_key(*words), asked.values()), strict=True))
    deployment.keys("revoke", id_of(made["revoked"]))
    return made | without_a_good_key(made["read"])


# -- every route × every key --------------------------------------------------------------------------


def test_the_document_has_every_route_and_its_scope(house: House) -> None:
    """So what is asked for below is all that there is."""
    assert scopes_of(house.client.get("/openapi.json").json()) == SCOPE


def test_without_a_key_every_route_says_how_to_send_one(house: House) -> None:
    """B38"""
    for route, key in itertools.product(GUARDED, NO_KEY):
        must_ask_for_a_key(house, route, key)
    for route in SCOPE.keys() - set(GUARDED):
        assert house.ask(route, {}).is_success


def test_every_wrong_key_gets_the_same_refusal_from_every_route(house: House) -> None:
    """B38"""
    for route, key in itertools.product(GUARDED, WRONG):
        must_refuse_as_any_wrong_key(house, route, key)
    print(f"B38: {len(GUARDED)} routes, {len(NO_KEY)} ways to send no key, {len(WRONG)} wrong keys: 401")


def test_a_key_is_a_password_only_for_what_reads(house: House) -> None:
    """B38"""
    for route in GUARDED:
        must_take_a_key_as_password_only_to_read(house, route)


def test_every_other_scope_is_told_which_one_is_missing(house: House) -> None:
    """B38"""
    for route in SCOPED:
        must_name_the_missing_scope(house, route)


def test_what_is_another_projects_is_found_nowhere(house: House) -> None:
    """B38"""
    for route in OF_SOMEBODY:
        must_not_find_what_is_anothers(house, route)
    must_not_find_in_a_body(house)
    for kind in ("datasets", "jobs", "models"):
        must_list_what_is_ones_own(house, kind)


# -- too many -----------------------------------------------------------------------------------------


def test_a_key_that_asks_ten_times_too_often_is_refused_by_both_services_and_no_other_key(
    house: House, second: httpx.Client
) -> None:
    """B39: half of the requests go to each service, and the two count together."""
    body = {"texts": ["x"], "model": "none"}
    for kind, (method, path, status) in CLASSES.items():
        began = time.monotonic()
        answers = []
        for number in range(10 * LIMIT):
            client = (house.client, second)[number % 2]
            ask = partial(client.request, method, path, json=body if kind == "predict" else None)
            answers.append(ask(headers=house.keys["eager"]))
            if number % LIMIT == 0:
                assert ask(headers=house.keys["foreign"]).status_code == status
        assert [answer.status_code for answer in answers] == [status] * LIMIT + [429] * 9 * LIMIT
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {f'"{kind}";q={LIMIT};w=3600'}
        states = [answer.headers["ratelimit"].split(";t=") for answer in answers]
        left = [*reversed(range(LIMIT)), *[0] * 9 * LIMIT]
        assert [state for state, _ in states] == [f'"{kind}";r={number}' for number in left]
        error_of(answers[-1], 429, "rate_limited")
        assert 3000 < int(answers[-1].headers["retry-after"]) == int(states[-1][1]) <= 3600
        print(f"B39: {kind}: {LIMIT} of {len(answers)} answered, in {time.monotonic() - began:.1f} s")


def test_a_thousand_wrong_keys_shut_out_nobody_but_their_sender(house: House, second: httpx.Client) -> None:
    """B39: with the limit that is the default, 20 a minute."""
    began, answers = time.monotonic(), []
    for number in range(1000):
        answers.append(second.get("/jobs", headers={"X-API-Key": f"wrong{number}"}))
        if number % 100 == 50:
            assert second.get("/jobs", headers=house.keys["admin"]).status_code == 200
    statuses = [answer.status_code for answer in answers]
    assert statuses[:21] == [401] * 20 + [429]
    minutes = 1 + int((time.monotonic() - began) / 60)
    assert statuses.count(401) <= 20 * minutes
    assert statuses.count(401) + statuses.count(429) == 1000
    error_of(answers[-1], 429, "rate_limited")
    assert int(answers[-1].headers["retry-after"]) <= 60
    error_of(second.get("/jobs"), 401, "key_missing")
    elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(base_url=second.base_url, transport=elsewhere, timeout=30) as other:
        error_of(other.get("/jobs", headers={"X-API-Key": "wrong"}), 401, "key_invalid")
    print(f"B39: 20 of 1,000 wrong keys looked at, in {time.monotonic() - began:.1f} s")


# -- and last, because it deletes ---------------------------------------------------------------------


@pytest.mark.parametrize("holder", ["the scope", "admin"])
def test_the_right_key_opens_every_route(house: House, holder: str) -> None:
    """Else nothing above would tell of keys."""
    house.fill()
    must_open(house, holder)
