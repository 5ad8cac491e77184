"""The whole service as its clients see it: SQLite and a folder under a temporary directory, and no broker."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from parts.finished_models import publish
from parts.wire import check_form, fruit
from service.api.context import Context
from service.app import create_app
from service.settings import read_settings

MakeClient = Callable[..., TestClient]


@pytest.fixture(scope="session")
def open_client() -> MakeClient:
    """A service with these settings; to be entered. Every error that it answers with is checked for its form."""

    def make(data_dir: Path, *, raises: bool = True, **settings: Any) -> TestClient:
        never = 3600.0  # the sweeper would only look for a broker that is not there
        app = create_app(read_settings(data_dir=data_dir, sweep_seconds=never, **settings))
        # as a program of this machine calls it: another name needs a key
        client = TestClient(app, base_url="http://localhost", raise_server_exceptions=raises)
        client.event_hooks = {"response": [_check_error]}
        return client

    return make


def _check_error(response: Response) -> None:
    if response.status_code >= 400 and response.request.method != "HEAD":  # which has no body
        response.read()
        check_form(response)


@pytest.fixture
def make_client(tmp_path: Path, open_client: MakeClient) -> Iterator[MakeClient]:
    """The same, opened on this test's own data dir, and closed at its end."""
    with ExitStack() as opened:
        yield lambda **settings: opened.enter_context(open_client(tmp_path / "data", **settings))


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    """A service that has nothing yet."""
    return make_client()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, open_client: MakeClient) -> Iterator[TestClient]:
    """One for all tests that do not mind what others have left there."""
    with open_client(tmp_path_factory.mktemp("shared")) as client:
        yield client


@pytest.fixture(scope="session")
def dataset_id(shared: TestClient) -> str:
    """A small good data set of the shared service."""
    return str(shared.post("/datasets", json=fruit()).json()["id"])


@pytest.fixture
def context(client: TestClient) -> Context:
    """The parts of `client`'s service."""
    assert isinstance(client.app, FastAPI)
    found = client.app.state.context
    assert isinstance(found, Context)
    return found


@pytest.fixture
def upload(client: TestClient) -> Callable[..., str]:
    """Uploads the small good data set to `client`, `fields` replaced or added; returns its id."""

    def send(**fields: Any) -> str:
        response = client.post("/datasets", json=fruit(**fields))
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    return send


@pytest.fixture
def submit(client: TestClient, upload: Callable[..., str]) -> Callable[..., str]:
    """Queues a job on the small data set, uploaded at the first call; returns its id."""
    uploaded: list[str] = []

    def send(**fields: Any) -> str:
        if not uploaded:
            uploaded.append(upload())
        response = client.post("/jobs", json={"dataset_id": uploaded[0], **fields})
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    return send


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, open_client: MakeClient) -> Iterator[TestClient]:
    """One with two models, `fruit` for choosing and `moods` for deciding, and small limits."""
    folder = tmp_path_factory.mktemp("serving")
    with open_client(folder, max_texts=40, max_text_bytes=2000, max_request_bytes=10_000) as client:
        context: Context = client.app.state.context  # type: ignore[attr-defined]
        publish(context.database, context.artifacts, name="fruit")
        publish(context.database, context.artifacts, name="moods", task="deciding")
        yield client
