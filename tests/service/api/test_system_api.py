"""`/health`, `/metrics`, `/info`, `/docs`, and what every answer carries."""

import re
from collections.abc import Callable
from importlib.metadata import version

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from parts.key_ring import bearer
from parts.wire import error_of, fruit
from service.app import create_app
from service.errors import SettingsInvalid
from service.settings import Settings


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_a_healthy_service_says_so(shared: TestClient, path: str) -> None:
    response = shared.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_info_tells_limits_and_base_models(make_client: Callable[..., TestClient]) -> None:
    info = make_client(max_rows=7, extra_base_models=("me/mine",)).get("/info").json()
    assert (info["name"], info["version"]) == ("classiglot", version("classiglot"))
    assert info["device"]
    assert info["limits"]["max_rows"] == 7
    assert set(info["limits"]) < set(Settings.model_fields)
    available = {model["name"]: model["available"] for model in info["base_models"]}
    assert available["bundled/english-small"] is True
    assert available["me/mine"] is False
    assert info["language_models"] == {
        "english": "roberta-base",
        "german": "benjamin/roberta-base-wechsel-german",
        "french": "camembert-base",
        "any other": "xlm-roberta-base",
    }


def figures(client: TestClient) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels."""
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(response.text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_metrics_count_jobs_by_status(client: TestClient, submit: Callable[..., str]) -> None:
    assert figures(client)["classiglot_jobs", "queued"] == 0
    submit()
    client.post(f"/jobs/{submit()}/cancel")
    found = figures(client)
    assert (found["classiglot_jobs", "queued"], found["classiglot_jobs", "cancelled"]) == (1, 1)
    assert (found["classiglot_jobs", "running"], found["classiglot_queued_tokens",]) == (0, 0)


def test_metrics_count_requests_by_route_and_not_by_what_clients_send(shared: TestClient) -> None:
    series = ("classiglot_requests_total", "GET", "/jobs/{job_id}", "404")
    before = figures(shared).get(series, 0)
    shared.get("/jobs/job_zebra")
    shared.get("/zebra")
    shared.request("ZEBRA", "/jobs")
    found = figures(shared)
    assert found[series] == before + 1
    assert not [name for name in found if "zebra" in " ".join(name).lower()]


def test_the_open_api_document_and_its_page_answer(shared: TestClient) -> None:
    document = shared.get("/openapi.json").json()
    assert document["info"]["title"] == "Classiglot"
    assert {"/datasets", "/jobs/{job_id}/events", "/models/{model_id}/archive", "/predict"} <= set(document["paths"])
    page = shared.get("/docs")
    assert page.status_code == 200
    assert "/openapi.json" in page.text


def test_the_open_api_document_knows_one_form_of_error(shared: TestClient) -> None:
    document = shared.get("/openapi.json").json()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    errors = [
        content["application/json"]["schema"]
        for path in document["paths"].values()
        for operation in path.values()
        for status, response in operation["responses"].items()
        if not status.startswith("2") and (content := response["content"])
    ]
    assert errors
    assert all(schema == {"$ref": "#/components/schemas/ProblemBody"} for schema in errors)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_a_slash_too_many_leads_to_the_same_place_without_it(shared: TestClient, method: str) -> None:
    """Whatever `Host` says, and with the same method and body (307)."""
    for sent, told in (("/jobs/?limit=3&name=a%2Fb", "/jobs?limit=3&name=a%2Fb"), ("/models/a%3Fb//", "/models/a%3Fb")):
        response = shared.request(method, sent, headers={"Host": "evil.example"}, follow_redirects=False)
        assert (response.status_code, response.headers["location"]) == (307, told)
    for nothing in ("//evil.example/jobs/", "/zebra/", "//evil.example/", "/static-offline-docs/zebra/"):
        url = f"http://localhost{nothing}"  # a client would take the host from two slashes
        assert shared.request(method, url, follow_redirects=False).status_code in (404, 405)


def test_who_opens_the_service_in_a_browser_comes_to_its_page(shared: TestClient) -> None:
    page = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = shared.get("/", headers=page, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
    for method, headers in (("GET", {}), ("GET", {"Accept": "*/*"}), ("POST", page)):
        error_of(shared.request(method, "/", headers=headers), 404, "route_not_found")


@pytest.mark.parametrize("left", ["", "/cg/api"], ids=["taken away by the proxy", "left by it"])
def test_behind_a_proxy_everything_is_under_its_path(make_client: Callable[..., TestClient], left: str) -> None:
    client = make_client(root_path="/cg/api", max_request_bytes=50)
    page = client.get(f"{left}/docs").text
    (script,) = re.findall(r'src="/cg/api(/static[^"]+)"', page)
    assert client.get(f"{left}{script}").status_code == 200
    assert "'/cg/api/openapi.json'" in page
    assert client.get(f"{left}/openapi.json").json()["servers"] == [{"url": "/cg/api"}]
    dataset = client.post(f"{left}/datasets", json=fruit())  # larger than other bodies may be
    assert dataset.headers["location"] == f"/cg/api/datasets/{dataset.json()['id']}"
    job = client.post(f"{left}/jobs", json={"dataset_id": dataset.json()["id"]})
    assert job.headers["location"] == f"/cg/api/jobs/{job.json()['id']}"
    assert client.get(job.headers["location"]).json() == job.json()
    redirect = client.get(f"{left}/jobs/?limit=3", follow_redirects=False)
    assert redirect.headers["location"] == "/cg/api/jobs?limit=3"
    for path in {left, f"{left}/"} - {""}:
        redirect = client.get(path, headers={"Accept": "text/html"}, follow_redirects=False)
        assert redirect.headers["location"] == "/cg/api/docs"


def test_pages_of_other_origins_may_ask_only_where_they_are_allowed_to(make_client: Callable[..., TestClient]) -> None:
    client = make_client(cors_origins="https://app.example", host="0.0.0.0")
    headers = bearer(client.app.state.context.database)  # type: ignore[attr-defined]
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    for origin, allowed in (("https://app.example", True), ("https://evil.example", False)):
        asked_before = client.options("/predict", headers=asks | {"Origin": origin})
        answer = client.get("/jobs", headers=headers | {"Origin": origin})
        refused = client.get("/jobs", headers={"Origin": origin})
        assert (asked_before.status_code, answer.status_code, refused.status_code) == (
            200 if allowed else 403,
            200,
            401,
        )
        for response in (asked_before, answer, refused):
            assert response.headers.get("access-control-allow-origin") == (origin if allowed else None)
            assert "access-control-allow-credentials" not in response.headers


def test_what_a_page_may_not_send_is_refused_before_it_sends_it(make_client: Callable[..., TestClient]) -> None:
    client = make_client(cors_origins="*")
    asks = {"Access-Control-Request-Method": "POST", "Origin": "https://app.example"}
    assert client.options("/jobs", headers=asks).headers["access-control-allow-origin"] == "*"
    for wrong in ({"Access-Control-Request-Method": "PATCH"}, {"Access-Control-Request-Headers": "x-zebra"}):
        error_of(client.options("/jobs", headers=asks | wrong), 403, "origin_refused")


def test_by_default_no_page_of_another_origin_may_ask(shared: TestClient) -> None:
    asks = {"Access-Control-Request-Method": "GET", "Origin": "https://app.example"}
    assert shared.options("/jobs", headers=asks).status_code == 405
    assert "access-control-allow-origin" not in shared.get("/health/live", headers=asks).headers


@pytest.mark.parametrize("path", ["/jobs", "/models/api"])
def test_the_path_of_a_proxy_cannot_be_taken_for_a_route(settings: Settings, path: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"ROOT_PATH is {path}"):
        create_app(settings.model_copy(update={"root_path": path}))


@pytest.mark.parametrize(("sent", "kept"), [("trace-1.2_A", True), ("a b", False), ("x" * 65, False), ("", False)])
def test_every_answer_carries_a_request_id(shared: TestClient, sent: str, kept: bool) -> None:
    for path in ("/health/live", "/zebra", "/datasets/ds_none"):
        answered = shared.get(path, headers={"X-Request-ID": sent}).headers["x-request-id"]
        assert (answered == sent) is kept
        assert answered
