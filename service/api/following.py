"""What all open event streams share: one look at the database each half second, and one reading of what is new.

A stream that only waits costs a timer and a few kilobytes: no thread, no query of its own.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from service.access.gate import Gate
from service.errors import ClassiglotError, Unavailable
from service.store import jobs as job_rows
from service.store.database import Database
from service.store.records import FINAL

POLL_SECONDS = 0.5
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a stream was opened with."""

    key: str | None
    is_local: bool


@dataclass(frozen=True, slots=True)
class _Follower:
    project: str
    job_id: str
    seen: int
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class News:
    """Events as they go over the wire, up to event `number`; `more` are there; the job was `final` before."""

    sent: bytes
    number: int
    more: bool
    final: bool


class Following:
    """Use from one event loop."""

    def __init__(self, database: Database, gate: Gate, closing: threading.Event) -> None:
        self._database, self._gate, self._closing = database, gate, closing
        self._waiting: dict[asyncio.Future[None], _Follower] = {}
        self._looking: asyncio.Task[None] | None = None
        self._readings: dict[tuple[str, str, int], asyncio.Task[News]] = {}

    async def read(self, project: str, job_id: str, after: int, read: Callable[[str, str, int], News]) -> News:
        """What `read` finds, once for all who ask for the same at the same time. Raises: as `read`."""
        asked = (project, job_id, after)
        if asked not in self._readings:
            task = _begin(run_in_threadpool(read, *asked))
            task.add_done_callback(lambda done: (self._readings.pop(asked), done.cancelled() or done.exception()))
            self._readings[asked] = task
        return await asyncio.shield(self._readings[asked])

    async def wait(self, project: str, job_id: str, seen: int, credentials: Credentials, seconds: float) -> bool:
        """Until the job has an event after number `seen`, is final or gone, or the service stops; False when none of
        that came in time. Raises: Unauthenticated once the key is revoked or has expired."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[news] = _Follower(project, job_id, seen, credentials)
        if self._looking is None or self._looking.done():
            self._looking = _begin(self._look())
        try:
            await asyncio.wait_for(news, seconds)
        except TimeoutError:
            return False
        finally:
            del self._waiting[news]
        return True

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(POLL_SECONDS)
            followers = list(self._waiting.items())
            try:
                refused = await run_in_threadpool(self._refused, {each.credentials for _, each in followers})
                states = await run_in_threadpool(self._states, {(each.project, each.job_id) for _, each in followers})
            except Unavailable:  # the streams outlive a database that is away
                refused, states = {}, None
            for news, follower in followers:
                if news.done():
                    continue
                if error := refused.get(follower.credentials):
                    news.set_exception(error)
                elif self._closing.is_set() or (states is not None and _is_news(follower, states)):
                    news.set_result(None)

    def _refused(self, opened_with: Iterable[Credentials]) -> dict[Credentials, ClassiglotError]:
        """Those that would not open a stream now. Raises: Unavailable."""
        refused: dict[Credentials, ClassiglotError] = {}
        for credentials in opened_with:
            try:
                self._gate.admit(credentials.key, is_local=credentials.is_local)
            except Unavailable:
                raise
            except ClassiglotError as error:
                refused[credentials] = error
        return refused

    def _states(self, followed: Iterable[tuple[str, str]]) -> dict[str, tuple[str, int]]:
        by_project: dict[str, list[str]] = {}
        for project, job_id in followed:
            by_project.setdefault(project, []).append(job_id)
        states: dict[str, tuple[str, int]] = {}
        with self._database.read() as tx:
            for project, job_ids in by_project.items():
                states |= job_rows.last_events(tx, project, job_ids)
        return states


def _begin(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """In an empty context: what is done for all must not be logged as the request that came first."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())


def _is_news(follower: _Follower, states: dict[str, tuple[str, int]]) -> bool:
    if follower.job_id not in states:
        return True
    status, last_event = states[follower.job_id]
    return status in FINAL or last_event > follower.seen
