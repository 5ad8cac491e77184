"""Fixtures that every test may use. Each gets a data dir of its own; nothing is shared but what is costly to build."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from parts.bucket import KEYS, NAME, Door, bucket_server
from parts.postgres import drop_database, fresh_database, postgres_server
from service.settings import Settings, read_settings
from service.store.artifacts import ArtifactStore
from service.store.database import Database
from service.store.migrate import migrate

# Two OpenMP threads that spin for each other make tiny models slower, and much slower where cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What a run gives bit for bit, and what it takes, is told of processors. tests/gpu asks for a GPU by name.
os.environ.setdefault("DEVICE", "cpu")
# Epochs of tiny models are short, and each is to have a checkpoint: tests know then where a run goes on.
os.environ.setdefault("CHECKPOINT_SECONDS", "0")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long-faults", action="store_true", help="tests/faults at full length: 10 minutes of contention and the like"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deployments need the machine for themselves, where what they do is timed; but for those that mostly wait."""
    for item in items:
        if item.path.parent.name in ("end_to_end", "faults", "gpu") and not item.get_closest_marker("waits"):
            item.add_marker("alone")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(data_dir=tmp_path / "data", database_url=None, broker_url=None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a real PostgreSQL server, started for this session."""
    with postgres_server() as url:
        yield url


@pytest.fixture
def sqlite(settings: Settings) -> Iterator[Database]:
    """The database of an installation with no settings, with the newest schema."""
    database = Database(settings.sql_url)
    migrate(database)
    yield database
    database.close()


@pytest.fixture
def postgresql(postgres: str) -> Iterator[Database]:
    """An empty database of that server, with the newest schema."""
    url = fresh_database(postgres)
    database = Database(url)
    migrate(database)
    yield database
    database.close()
    drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with the newest schema, once on each kind."""
    if request.param == "postgresql":
        yield request.getfixturevalue("postgresql")
        return
    database = Database(f"sqlite:///{tmp_path}/test.sqlite3")
    migrate(database)
    yield database
    database.close()


@pytest.fixture(scope="session")
def bucket_address() -> Iterator[str]:
    """Of a real S3 server, started for this session."""
    with bucket_server() as address:
        yield address


@pytest.fixture
def door(bucket_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """The way to that server, with the variables of the environment that lead there."""
    door = Door(bucket_address)
    for name, value in (KEYS | {"AWS_ENDPOINT_URL": door.address}).items():
        monkeypatch.setenv(name, value)
    yield door
    door.close()


@pytest.fixture
def bucket_url(door: Door) -> str:  # noqa: ARG001  (leads there)
    """A place in the bucket that no other test knows."""
    return f"s3://{NAME}/{uuid4().hex}/artifacts"


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")
