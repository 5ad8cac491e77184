"""B33, B37 and B42: hostile bodies, fields, names and parameters on every route that the OpenAPI document has, sent to
real services on both databases. None crashes one, is echoed, reaches a log or a file, or leaves anything behind."""

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from faults.invariants import all_jobs
from parts.bounds import BOUNDS, NO_NUMBERS, refused
from parts.canary import must_be_unread, set_out
from parts.deployment import Deployment
from parts.hostile import BODIES, FORM_VALUES, NAMES, PARAMETERS, VALUES
from parts.routes import Route, put, routes
from parts.wire import MARK, check_form, error_of, fruit

JSON = {"Content-Type": "application/json"}
REFUSED = {400, 413, 415, 422}


@pytest.fixture(scope="module")
def document(served: Deployment) -> list[Route]:
    return routes(served.client.get("/openapi.json").json())


@pytest.fixture(scope="module")
def good(served: Deployment, document: list[Route]) -> dict[str, Any]:
    """A body that each route takes. A new route's comes from its schema; where that is not enough, add it here."""
    dataset = served.client.post("/datasets", json=fruit()).json()
    own = {"POST /datasets": fruit(), "POST /jobs": {"dataset_id": dataset["id"]}, "POST /predict": {"texts": ["x"]}}
    return {str(route): own.get(str(route)) or route.sample() for route in document if route.body}


@pytest.fixture(autouse=True)
def nothing_is_left(served: Deployment) -> Iterator[None]:
    """After each test the same process answers, and has neither crashed nor logged anything that was sent."""
    begin = served.log.stat().st_size
    yield
    assert served.parts[-1].alive()
    assert served.client.get("/health/ready").status_code == 200
    log = served.log.read_bytes()[begin:].decode()
    assert MARK not in log.lower()
    assert "request_crashed" not in log
    assert "request_failed" not in log
    assert list((served.artifacts.root / ".aside").iterdir()) == []


def kept(served: Deployment) -> tuple[int, int, list[str]]:
    """What the refused must not add to: jobs, data sets, their files."""
    return (
        len(all_jobs(served)),
        served.client.get("/usage").json()["bytes"]["used"],
        served.artifacts.names("datasets"),
    )


def send(served: Deployment, route: Route, body: bytes) -> httpx.Response:
    return served.client.request(route.method, route.path, content=body, headers=JSON)


def must_be_refused(response: httpx.Response, what: object) -> None:
    assert response.status_code in REFUSED, (what, response.status_code, response.text[:300])
    check_form(response)
    assert MARK not in response.text, what
    assert not re.search("[Ii]nput|should|after validation", response.text), what  # pydantic's own words
    assert len(response.content) < 50_000, what


# -- bodies -------------------------------------------------------------------------------------------------


def test_the_good_bodies_are_good(served: Deployment, document: list[Route], good: dict[str, Any]) -> None:
    """Else the hostile ones might be refused for what is wrong with these."""
    for route in document:
        if route.body:
            answer = send(served, route, json.dumps(good[str(route)]).encode())
            assert answer.is_success, (str(route), answer.text)


def test_hostile_values_are_refused_in_every_field_of_every_body(
    served: Deployment, document: list[Route], good: dict[str, Any]
) -> None:
    """B33: nor does one of a type that may be right there crash it."""
    before, doubtful, refused = kept(served), [], 0
    for route in document:
        for place, schema in route.fields() if route.body else []:
            template = json.dumps(put(good[str(route)], place, "SLOT"))
            for name, (text, kind) in VALUES.items():
                body = template.replace('"SLOT"', text).encode()
                if kind and route.takes(schema, kind):
                    doubtful.append((route, body))
                else:
                    must_be_refused(send(served, route, body), (str(route), place, name))
                    refused += 1
    assert kept(served) == before
    for route, body in doubtful:
        assert send(served, route, body).status_code < 500, (str(route), body[:300])
    print(f"B33: {refused} hostile values refused, {len(doubtful)} more of a type that the schema allows")
    assert len(doubtful) > 20


def test_no_hyperparameter_beyond_its_bounds_makes_a_job(served: Deployment, good: dict[str, Any]) -> None:
    """B37: neither does one that no job has, nor a number that is none, which is no JSON."""
    before, tried, body = kept(served), 0, good["POST /jobs"]
    for name in BOUNDS:
        for value in refused(name):
            answer = served.client.post("/jobs", json=body | {"hyperparameters": {name: value}})
            details = error_of(answer, 422, "request_invalid")["details"]
            assert {detail["field"] for detail in details} == {f"hyperparameters.{name}"}, (name, value)
            tried += 1
        for number in NO_NUMBERS:
            text = json.dumps(body | {"hyperparameters": {name: "SLOT"}}).replace('"SLOT"', number)
            error_of(served.client.post("/jobs", content=text, headers=JSON), 400, "body_unreadable")
            tried += 1
    for unknown in ({"hyperparameters": {"lr": 0.1}}, {"optimizer": "sam"}):
        error_of(served.client.post("/jobs", json=body | unknown), 422, "request_invalid")
    assert kept(served) == before
    for name, (accepted, _) in BOUNDS.items():  # else the others might be refused for what is wrong with the rest
        answer = served.client.post("/jobs", json=body | {"hyperparameters": {name: accepted[-1]}})
        assert answer.status_code == 202, answer.text
    assert len(all_jobs(served)) == before[0] + len(BOUNDS)
    print(f"B37: {tried} values of {len(BOUNDS)} hyperparameters refused")


def test_hostile_bodies_are_refused_by_every_route(served: Deployment, document: list[Route]) -> None:
    """B33."""
    before = kept(served)
    for route in document:
        for name, body in BODIES.items() if route.body else []:
            must_be_refused(send(served, route, body), (str(route), name))
    assert kept(served) == before


def test_hostile_fields_of_a_form_are_refused(served: Deployment) -> None:
    before = kept(served)
    rows = b"text,label\n" + b"x,a\ny,b\n" * 20
    unreadable = [text.encode() for text, kind in VALUES.values() if kind is None]
    for field in ("name", "task", "language", "split", "other"):
        values = [value for value in FORM_VALUES if value or field in ("name", "other")]  # another may be left empty
        for value in [*values, *(unreadable if field == "split" else [])]:
            fields = {"name": b"fruit"} | {field: value}
            data: dict[str, Any] = {name: (None, content) for name, content in fields.items()}
            answer = served.client.post("/datasets", files={"train": ("a.csv", rows), **data})
            must_be_refused(answer, (field, value[:40]))
    assert kept(served) == before


def test_a_form_in_a_hostile_charset_is_refused(served: Deployment) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n' + MARK.encode() + b"\xff\\ud800\r\n--x--\r\n"
    for charset in ("undefined", "punycode", "utf-16", "idna", "rot13", "unicode_escape", "zlib"):
        kind = f"multipart/form-data; boundary=x; charset={charset}"
        must_be_refused(served.client.post("/datasets", content=part, headers={"Content-Type": kind}), charset)


# -- names and parameters -----------------------------------------------------------------------------------


@pytest.fixture
def canary(served: Deployment) -> Iterator[Path]:
    """A file outside of what is served, to which a link of the name `link` leads from each folder of artifacts."""
    folder = served.root / "canary"
    folder.mkdir(exist_ok=True)
    file = set_out(folder / "config.json", "a canary that nobody reads")
    links = [served.artifacts.root / kind / "link" for kind in ("datasets", "models", "reports", "checkpoints")]
    for link in links:
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(folder)
    yield file
    for link in links:
        link.unlink()
    must_be_unread(file)


def ask(served: Deployment, method: str, target: str, headers: dict[str, str]) -> tuple[int, str]:
    """As it is: other clients would tidy the path up. Returns the status, and headers and body together."""
    connection = http.client.HTTPConnection("127.0.0.1", served.api_port, timeout=30)
    try:
        connection.putrequest(method, target, skip_host=True)
        for name, value in {"Host": "localhost", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, f"{answer.headers}{answer.read().decode()}"
    finally:
        connection.close()


def test_hostile_names_are_not_found_on_any_route(served: Deployment, document: list[Route], canary: Path) -> None:
    """B42."""
    tried = 0
    for route in document:
        for name in NAMES if route.parameters("path") else []:
            hostile = name.format(canary=canary) if "{canary}" in name else name
            target = route.path
            for parameter in route.parameters("path"):
                target = target.replace(f"{{{parameter}}}", hostile)
            status, answer = ask(served, route.method, target, {})
            assert status in (404, 422), (str(route), name, status, answer[:300])
            assert MARK not in answer.lower(), (str(route), name)
            assert "canary" not in answer
            tried += 1
    print(f"B42: {tried} hostile names not found")
    assert tried >= len(NAMES) * 10


def test_no_model_is_found_under_a_hostile_name(served: Deployment, canary: Path) -> None:
    """B42, where a model is named in a body or a query."""
    for name in NAMES:
        hostile = httpx.URL("http://x/?q=" + name.replace("{canary}", str(canary))).params["q"]
        answer = served.client.post("/predict", json={"texts": ["x"], "model": hostile})
        assert answer.status_code in (404, 422), (name, answer.text)
        lines = served.client.post(
            f"/predict?model={quote(hostile)}", content=b'{"text": "x"}', headers={"Content-Type": "application/jsonl"}
        )
        assert lines.status_code in (404, 422), (name, lines.text)
        assert MARK not in answer.text.lower() + lines.text.lower()


def test_hostile_parameters_crash_no_route(served: Deployment, document: list[Route]) -> None:
    for route in document:
        path = route.path.replace("{", "").replace("}", "")  # an id of nothing: `/jobs/job_id`
        for value in PARAMETERS:
            targets: list[tuple[str, dict[str, str]]] = [
                (f"{path}?{name}={value.replace(' ', '+')}", {}) for name in route.parameters("query")
            ]
            if value.isascii():
                targets += [(path, {name: value}) for name in route.parameters("header")]
            for target, headers in targets:
                status, answer = ask(served, route.method, quote(target, safe="/?=%&+{}[]'"), headers)
                assert status in (200, 201, 202, 400, 404, 415, 422), (str(route), target, headers, status)
                assert status < 400 or MARK not in answer.lower(), (str(route), target, headers)
