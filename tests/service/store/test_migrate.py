import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import func, inspect, select, text

from parts.postgres import drop_database, fresh_database
from parts.rows import add_model
from service.errors import SettingsInvalid, Unavailable
from service.store import datasets, idempotency, jobs, models
from service.store.database import _POSTGRES, Database
from service.store.migrate import LOCK_NUMBER, alembic_config, migrate, migrated

TABLES = {"datasets", "jobs", "events", "models", "idempotency_keys", "api_keys", "installation", "alembic_version"}


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


BEFORE_PROJECTS = """
INSERT INTO datasets (id, name, task, labels, splits, warnings, sha256, val_sha256, test_sha256, created_at)
    VALUES ('ds_1', 'fruit', 'choosing', '[]', '{}', '[]', '', '', '', 0);
INSERT INTO jobs (id, status, dataset_id, test_sha256, name, base_model, hyperparameters, metadata, progress, warnings,
        attempt, crashes, last_event, created_at)
    VALUES ('job_1', 'queued', 'ds_1', '', 'fruit', '', '{}', '{}', '{}', '[]', 0, 0, 1, 0);
INSERT INTO events (job_id, number, type, level, message, created_at) VALUES ('job_1', 1, 'message', 'info', '', 0);
INSERT INTO models (id, name, version, task, labels, base_model, dataset_id, job_id, val_sha256, val_loss, metrics,
        manifest_sha256, created_at)
    VALUES ('mdl_1', 'fruit', 1, 'choosing', '[]', '', 'ds_1', 'job_1', '', 0, '{}', '', 0);
INSERT INTO idempotency_keys VALUES ('k', '', 'job_1', 0);
"""


def test_what_was_there_before_projects_belongs_to_default_and_nothing_is_lost(database: Database) -> None:
    with database.write() as connection:
        command.downgrade(alembic_config(connection), "0001")
        for statement in filter(str.strip, BEFORE_PROJECTS.split(";")):
            connection.exec_driver_sql(statement)
    migrate(database)
    with database.read() as tx:
        assert [record.id for record in datasets.page(tx, "default", 10, None).data] == ["ds_1"]
        assert [record.id for record in jobs.page(tx, "default", 10, None).data] == ["job_1"]
        assert [record.id for record in models.page(tx, "default", 10, None).data] == ["mdl_1"]
        assert idempotency.replay(tx, "default", "k", "", jobs.get) is not None
    with database.write() as connection:
        command.downgrade(alembic_config(connection), "0001")
    with database.read() as tx:
        for table in ("datasets", "jobs", "events", "models", "idempotency_keys"):
            assert tx.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 1, table


def test_of_a_names_pins_only_the_last_is_left(database: Database) -> None:
    first, second, other = add_model(database), add_model(database), add_model(database, name="tools")
    deleted = add_model(database)
    with database.write() as connection:
        command.downgrade(alembic_config(connection), "0005")
        for moment, record in enumerate((first, second, other)):
            connection.execute(text(f"UPDATE models SET pinned_at = {moment + 1} WHERE id = '{record.id}'"))
        # another answered already
        connection.execute(text(f"UPDATE models SET pinned_at = 9, deleted_at = 10 WHERE id = '{deleted.id}'"))
    migrate(database)
    with database.read() as tx:
        pinned = [models.get(tx, "default", record.id).pinned_at for record in (first, second, other)]  # type: ignore[union-attr]
    assert pinned == [None, 2, 3]


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


def test_a_process_waits_for_another_that_migrates_however_long_that_takes(
    postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for a table's lock no longer than anybody, for all who come later wait behind it."""
    monkeypatch.setitem(_POSTGRES, "options", "-c lock_timeout=100ms")

    def migrate_too() -> None:
        with migrated(postgresql.url.render_as_string(hide_password=False)):
            pass

    with ThreadPoolExecutor(1) as pool:
        with postgresql.write() as tx:
            tx.execute(select(func.pg_advisory_xact_lock(LOCK_NUMBER)))
            waiting = pool.submit(migrate_too)
            time.sleep(0.5)
            assert not waiting.done()
        waiting.result(10)
        with postgresql.write() as tx:
            tx.execute(text("LOCK TABLE alembic_version"))
            with pytest.raises(Unavailable):
                pool.submit(migrate_too).result(10)
