"""What the settings of the connection promise."""

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from service.errors import Unavailable
from service.store.database import Database
from service.store.migrate import migrate


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    return Database(f"sqlite:///{tmp_path}/a.sqlite3")


def test_sqlite_survives_power_cuts_and_waits_for_other_writers(sqlite: Database) -> None:
    with sqlite.read() as tx:
        values = {name: tx.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")}
        assert values == {"journal_mode": "wal", "synchronous": 2}
        assert tx.execute(text("PRAGMA busy_timeout")).scalar() == 10_000
        assert tx.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_writers_that_read_first_never_fail_busy(sqlite: Database) -> None:
    """With a deferred transaction most of these would fail at once with SQLITE_BUSY_SNAPSHOT."""
    with sqlite.write() as tx:
        tx.execute(text("CREATE TABLE counter (n INTEGER)"))
        tx.execute(text("INSERT INTO counter VALUES (0)"))

    def count() -> None:
        for _ in range(50):
            with sqlite.write() as tx:
                n = tx.execute(text("SELECT n FROM counter")).scalar_one()
                tx.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sqlite.read() as tx:
        assert tx.execute(text("SELECT n FROM counter")).scalar() == 200


def test_an_exception_rolls_back(sqlite: Database) -> None:
    with sqlite.write() as tx:
        tx.execute(text("CREATE TABLE t (n INTEGER)"))

    def write_and_fail() -> None:
        with sqlite.write() as tx:
            tx.execute(text("INSERT INTO t VALUES (1)"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    with sqlite.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM t")).scalar() == 0


def test_a_file_that_is_gone_is_noticed_although_connections_to_it_are_open(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/db.sqlite3")
    migrate(database)
    database.ping()
    (tmp_path / "db.sqlite3").unlink()
    with pytest.raises(Unavailable):
        database.ping()
    database.close()


def test_a_database_that_is_away_is_unavailable_with_a_time_to_retry() -> None:
    away = Database("postgresql+psycopg://nobody@127.0.0.1:9/none")
    with pytest.raises(Unavailable) as caught:
        away.ping()
    assert (caught.value.code, caught.value.retry_after) == ("database_unavailable", 5)


@pytest.mark.parametrize(
    "state", ["SET TRANSACTION READ ONLY", "SET LOCAL idle_in_transaction_session_timeout = '50ms'"]
)
def test_a_primary_that_was_demoted_or_has_stood_still_is_unavailable(postgres: str, state: str) -> None:
    database = Database(postgres)

    def write() -> None:
        with database.write() as tx:
            tx.execute(text(state))
            time.sleep(0.5)
            tx.execute(text("CREATE TABLE nothing (n INTEGER)"))

    with pytest.raises(Unavailable):
        write()
    database.close()
