"""Deployments to break. What every fault must leave whole is checked at the end of each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.invariants import check
from parts.deployment import Deployment
from parts.finished_models import LABELS, publish, write_model
from parts.postgres import drop_database, fresh_database
from service.models.finished import ModelCard
from service.store.artifacts import ArtifactStore

Deploy = Callable[..., Deployment]


@pytest.fixture(scope="session")
def light_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that light runs publish."""
    store = ArtifactStore(tmp_path_factory.mktemp("light"))
    with store.writing("models", "light") as folder:
        write_model(folder, ModelCard("choosing", list(LABELS), 64, "roberta-base", "job_0", "0" * 64))
    return store.path("models", "light")


@pytest.fixture
def deploy(tmp_path: Path, light_model: Path) -> Iterator[Deploy]:
    """Starts deployments; ends them after the test and looks at what is left."""
    started: list[Deployment] = []

    def start(database_url: str | None = None, **settings: object) -> Deployment:
        root = tmp_path / str(len(started))
        root.mkdir()
        started.append(Deployment(root, database_url, light_model=light_model, **settings))
        return started[-1]

    yield start
    try:
        for deployment in started:
            check(deployment)
    finally:
        for deployment in started:
            deployment.stop()


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """An empty database of the session's server."""
    url = fresh_database(postgres)
    yield url
    drop_database(url)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def each_database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """None for SQLite, and an empty database of the session's server."""
    if request.param == "sqlite":
        yield None
        return
    url = fresh_database(request.getfixturevalue("postgres"))
    yield url
    drop_database(url)


@pytest.fixture(scope="module")
def served(each_database: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One service, and a model that it serves, on each kind of database: for all tests of a module that only ask."""
    deployment = Deployment(tmp_path_factory.mktemp("served"), each_database)
    try:
        deployment.start_api()
        deployment.wait_for_api()
        publish(deployment.database, deployment.artifacts)
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the durations of the research are asked for, rather than those that fit into the suite."""
    return bool(request.config.getoption("--long-faults"))
