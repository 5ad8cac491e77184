"""The connection to the only truth: SQLite in a file, or PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from service.errors import DiskFull, Unavailable
from service.logs import get_logger
from service.settings import make_folder
from service.store.hang import Hang

log = get_logger(__name__)
Transaction = Connection  # its name elsewhere: SQLAlchemy stays in this package
# A server that the network has swallowed is given up within 15 s; the kernel's own patience is a quarter of an hour.
_POSTGRES = {
    "connect_timeout": 5, "tcp_user_timeout": 10_000,
    "keepalives_idle": 5, "keepalives_interval": 3, "keepalives_count": 3,
    # the second: a writer that is paused in the middle of its write holds no row for longer
    "options": "-c lock_timeout=5s -c idle_in_transaction_session_timeout=15s",
}  # fmt: skip

# PostgreSQL's states for a primary that was demoted, which only reads now, and for one that ended what stood idle.
_REFUSALS = frozenset({"25006", "25P03"})


class Database:
    """Opens transactions. Synchronous: routes that touch it run in the thread pool.

    Writers on SQLite begin with BEGIN IMMEDIATE: a transaction that reads first and writes later
    would otherwise fail at once with SQLITE_BUSY, whatever the time-out says.
    """

    def __init__(self, url: str, patience: float | None = None) -> None:
        """`patience`: seconds after which a statement that PostgreSQL does not answer is given up; None: by the
        network's clocks alone, for which a server that is paused, not gone, is fine. Raises: SettingsInvalid."""
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            make_folder(Path(self.url.database or "").parent, "give it to this user, or set another DATABASE_URL")
        connect_args = {} if self.is_sqlite else _POSTGRES
        self.engine = create_engine(
            self.url, pool_size=10, max_overflow=40, pool_timeout=5, pool_pre_ping=not self.is_sqlite,
            connect_args=connect_args, hide_parameters=True,  # texts and keys: an error that is logged must not tell
        )  # fmt: skip
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._hang = Hang(self.engine, _POSTGRES, patience) if patience and not self.is_sqlite else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises: Unavailable when the database does not answer."""
        with _as_unavailable(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write, committed at the end of the block, rolled back on an exception."""
        with _as_unavailable(), self.engine.connect() as plain:
            connection = plain.execution_options(classiglot_write=True)
            with connection.begin():
                yield connection

    def ping(self) -> None:
        """Raises: Unavailable when a trivial query of our own tables is not answered, or SQLite's file is gone, of
        which a connection that is open notices nothing."""
        if self.is_sqlite and not Path(self.url.database or "").exists():
            log.error("database_gone", file=self.url.database)
            raise _does_not_answer()
        with self.read() as connection:
            connection.execute(text("SELECT count(*) FROM alembic_version"))

    def close(self) -> None:
        if self._hang:
            self._hang.close()
        self.engine.dispose()


def take_turn(tx: Transaction, name: str) -> None:
    """Until the transaction ends nobody else who asks for the same `name` gets here. SQLite has one writer anyway."""
    if tx.dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
        if isinstance(error, InternalError) and getattr(error.orig, "sqlstate", None) not in _REFUSALS:
            raise
        cause = str(getattr(error, "orig", error))
        log.warning("database_unavailable", error=type(error).__name__, cause=cause)
        if "disk is full" in cause or "No space left on device" in cause:
            raise DiskFull("the database's disk is full; free some room, then try again", retry_after=60) from error
        raise _does_not_answer() from error


def _does_not_answer() -> Unavailable:
    return Unavailable(
        "the database does not answer; try again in a few seconds", code="database_unavailable", retry_after=5
    )


def _prepare_sqlite(connection: PoolProxiedConnection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # transactions are begun by _begin_sqlite
    cursor = connection.cursor()
    # FULL: a job that was answered with 202 must survive a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("classiglot_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
