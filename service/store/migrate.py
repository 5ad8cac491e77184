"""Bringing the database to the newest schema, by one process at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, func, select, text

from service.errors import SettingsInvalid
from service.store.database import Database

_MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_NUMBER = 0x636C6173  # any constant that only this program uses


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def migrate(database: Database) -> None:
    """Upgrades to the newest revision; at once when it is there already.

    All of it is one transaction, so that a kill leaves either the old schema or the new one.
    Raises: SettingsInvalid when the database was made by a newer version of the program.
    """
    with _alone(database), database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL lock_timeout = 0"))  # another's migration may take its time
            connection.execute(select(func.pg_advisory_xact_lock(LOCK_NUMBER)))
            connection.execute(text("SET LOCAL lock_timeout TO DEFAULT"))
        try:
            command.upgrade(alembic_config(connection), "head")
        except CommandError as error:
            raise SettingsInvalid(
                "the database has a schema that this version does not know; "
                f"install the version of classiglot that last used it, or a newer one ({error})"
            ) from error


@contextmanager
def migrated(url: str) -> Iterator[Database]:
    """The database, brought to the newest schema, for the block: on connections of its own, which wait for whoever
    else does that now. Raises: as `migrate`; Unavailable."""
    database = Database(url)
    try:
        migrate(database)
        yield database
    finally:
        database.close()


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Other processes of this machine wait here; without it they would time out on SQLite's own lock."""
    if not database.is_sqlite:
        yield
        return
    with open(f"{database.url.database}.migrate", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
