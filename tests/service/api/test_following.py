"""What open event streams share, without the streams."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import structlog
from structlog.testing import capture_logs

from service.access.gate import Gate
from service.api.following import Credentials, Following, News
from service.logs import get_logger, tell_with_each_line
from service.settings import Settings
from service.store.database import Database

NOTHING = News(b"", 0, False, True)


def lines_of(settings: Settings, database: Database, ask: Callable[[Following], Any]) -> list[Any]:
    """What is logged while a request of key `key_1` does so."""

    async def request() -> None:
        tell_with_each_line(key_id="key_1")
        await ask(Following(database, Gate(settings, database), threading.Event()))

    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        asyncio.run(request())
    return lines


def test_what_is_read_for_all_is_not_logged_as_the_request_that_came_first(
    settings: Settings, sqlite: Database
) -> None:
    def read(*_: Any) -> News:
        get_logger(__name__).warning("read")
        return NOTHING

    lines = lines_of(settings, sqlite, lambda following: following.read("default", "job_1", 0, read))
    assert lines == [{"event": "read", "log_level": "warning"}]


def test_nor_is_the_look_at_the_database(settings: Settings, sqlite: Database) -> None:
    with sqlite.write() as tx:
        tx.exec_driver_sql("ALTER TABLE jobs RENAME TO away")
    nobody = Credentials(None, is_local=True)
    lines = lines_of(settings, sqlite, lambda following: following.wait("default", "job_1", 0, nobody, 1.2))
    assert "database_unavailable" in {line["event"] for line in lines}
    assert not any("key_id" in line for line in lines)
