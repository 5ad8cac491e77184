import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect, text

from parts.postgres import drop_database, fresh_database
from service.errors import SettingsInvalid
from service.store.database import Database
from service.store.migrate import alembic_config, migrate

TABLES = {"datasets", "jobs", "events", "models", "idempotency_keys", "alembic_version"}


def test_the_migrations_make_just_what_the_tables_say(database: Database) -> None:
    with database.write() as connection:
        command.check(alembic_config(connection))


def test_down_and_up_again(database: Database) -> None:
    with database.write() as connection:
        command.downgrade(alembic_config(connection), "base")
    with database.read() as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    migrate(database)
    with database.read() as connection:
        assert set(inspect(connection).get_table_names()) == TABLES


def test_a_schema_from_the_future_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SettingsInvalid, match="newer"):
        migrate(database)


def _migrate(url: str) -> None:
    migrate(Database(url))


@pytest.fixture(params=["sqlite", "postgresql"])
def new_urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """URLs of two databases with nothing in them."""
    if request.param == "sqlite":
        yield [f"sqlite:///{tmp_path}/{number}.sqlite3" for number in range(2)]
        return
    urls = [fresh_database(request.getfixturevalue("postgres")) for _ in range(2)]
    yield urls
    for url in urls:
        drop_database(url)


def test_four_processes_at_once_make_one_schema(new_urls: list[str]) -> None:
    spawn = multiprocessing.get_context("spawn")
    for url in new_urls:
        processes = [spawn.Process(target=_migrate, args=(url,)) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0, 0, 0]
        database = Database(url)
        with database.read() as connection:
            assert set(inspect(connection).get_table_names()) == TABLES
        database.close()
