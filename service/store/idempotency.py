"""What `Idempotency-Key` promises: one request, sent again, makes one thing. For every route that creates."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection, delete, insert, select

from service.errors import Conflict
from service.store.database import Database, take_turn
from service.store.tables import idempotency_keys, now


class Made(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Made)
KEPT_SECONDS = 7 * 24 * 3600.0  # nobody retries a request for longer
Get = Callable[[Connection, str, str], T | None]  # (tx, project, id) → what is there now


def make_once(
    database: Database, project: str, key: str | None, request_sha256: str, make: Callable[[Connection], T], get: Get[T]
) -> tuple[T, bool]:
    """Makes what the request asks for, or finds what it made before. Returns it, and whether it is new.

    `make` runs in the transaction that stores the key, so that both are there or neither is; without a `key` it
    always runs. Raises: Conflict where the project used the key for another request; whatever `make` raises.
    """
    with database.write() as tx:
        if key:
            take_turn(tx, f"key/{project}/{key}")  # who comes second is to find the key, not that its place is taken
            if found := replay(tx, project, key, request_sha256, get):
                return found, False
        made = make(tx)
        if key:
            row = {"project": project, "key": key, "request_sha256": request_sha256, "made_id": made.id}
            tx.execute(insert(idempotency_keys).values(**row, created_at=now()))
        return made, True


def replay(tx: Connection, project: str, key: str, request_sha256: str, get: Get[T]) -> T | None:
    """What the key's first request made, as it is now; None for a new key. Raises: Conflict."""
    columns = select(idempotency_keys.c.request_sha256, idempotency_keys.c.made_id)
    used = tx.execute(columns.where(idempotency_keys.c.project == project, idempotency_keys.c.key == key)).one_or_none()
    if used is None:
        return None
    if used[0] != request_sha256:
        raise _reused("was used for another request")
    found = get(tx, project, used[1])
    if found is None:
        raise _reused("made something that has been deleted since")
    return found


def forget_old_keys(tx: Connection) -> int:
    """A key may be used for something else after `KEPT_SECONDS`. Returns how many were forgotten."""
    return tx.execute(delete(idempotency_keys).where(idempotency_keys.c.created_at < now() - KEPT_SECONDS)).rowcount


def _reused(how: str) -> Conflict:
    return Conflict(f"this Idempotency-Key {how}; send a new key with a new request", code="idempotency_key_reused")
