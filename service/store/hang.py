"""A PostgreSQL server that neither answers nor refuses: paused, swapped out, or behind a disk that stands still.

Its kernel goes on acknowledging what is sent, so no clock of the network runs out. Here a statement is given up after a
time of our own; from then on everybody is refused at once, for else each request would hold a thread for that long,
and soon there were none for those who need no database. A thread asks until there is an answer again.
"""

import threading
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from sqlalchemy import Engine, event

from service.logs import get_logger

log = get_logger(__name__)
ASK_AGAIN = 0.5  # seconds


class Hang:
    """Watches the connections of an engine. `patience` in seconds; it holds for connecting too."""

    def __init__(self, engine: Engine, options: Mapping[str, Any], patience: float) -> None:
        self._patience = patience
        self._cargs, named = engine.dialect.create_connect_args(engine.url)
        self._cparams = {**named, **options, "connect_timeout": int(patience)}
        self._known, self._closed = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        event.listen(engine, "do_connect", self._connect)

    @property
    def known(self) -> bool:
        """Whether the server hangs, as far as is known."""
        return self._known.is_set()

    def close(self) -> None:
        self._closed.set()

    def _connect(self, *_: Any) -> psycopg.Connection[Any]:
        if self.known:  # the pool has dropped its own connections at the first that gave no answer
            raise psycopg.OperationalError("the server does not answer")
        return self._open()

    def _open(self) -> psycopg.Connection[Any]:
        try:
            connection = _Impatient.connect(*self._cargs, **self._cparams)
        except psycopg.errors.ConnectionTimeout:
            self._begin()
            raise
        connection.hang, connection.patience = self, self._patience
        return connection

    def _begin(self) -> None:
        with self._lock:
            if self.known:
                return
            self._known.set()
        log.error("database_hangs", patience=self._patience)
        threading.Thread(target=self._ask, name="database-hangs", daemon=True).start()

    def _ask(self) -> None:
        """Until the server answers or refuses: either is quick."""
        while not self._closed.is_set() and self._is_silent():
            self._closed.wait(ASK_AGAIN)
        self._known.clear()
        log.info("database_answers")

    def _is_silent(self) -> bool:
        try:
            with self._open() as connection:
                connection.execute("SELECT 1")
        except (psycopg.errors.ConnectionTimeout, NoAnswer):
            return True
        except psycopg.Error:
            return False
        return False


class NoAnswer(psycopg.OperationalError):
    """A statement was given up; its connection is closed, for its state is unknown."""


class _Impatient(psycopg.Connection[Any]):
    hang: Hang | None = None  # none while it connects, for which psycopg has a clock
    patience: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, interval, timeout or self.patience)
        except psycopg.errors._WaitTimeout:
            if timeout or self.hang is None:
                raise
            self.pgconn.finish()
            self.hang._begin()
            raise NoAnswer("the server does not answer") from None
