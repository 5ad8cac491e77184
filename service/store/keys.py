"""Rows of `api_keys`. Who has a key's secret is decided in `service.access`; here are only sums of it."""

from sqlalchemy import Connection, RowMapping, and_, delete, exists, insert, or_, select, update

from service.store.records import Json, KeyRecord
from service.store.tables import api_keys, now

_is_live = and_(api_keys.c.revoked_at.is_(None), or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now()))
_columns = select(api_keys, _is_live.label("live"))


def add(tx: Connection, values: Json, lifetime_seconds: float | None) -> KeyRecord:
    expires = now() + lifetime_seconds if lifetime_seconds else None
    tx.execute(insert(api_keys).values(**values, created_at=now(), expires_at=expires))
    record = get(tx, values["id"])
    assert record is not None
    return record


def get(tx: Connection, key_id: str) -> KeyRecord | None:
    row = tx.execute(_columns.where(api_keys.c.id == key_id)).mappings().one_or_none()
    return _record(row) if row else None


def all_keys(tx: Connection) -> list[KeyRecord]:
    """Oldest first, dead ones too."""
    return [_record(row) for row in tx.execute(_columns.order_by(api_keys.c.id)).mappings()]


def any_made(tx: Connection) -> bool:
    """Whether there is a key at all, dead or alive."""
    return bool(tx.execute(select(exists(select(api_keys.c.id)))).scalar())


def any_live(tx: Connection) -> bool:
    return bool(tx.execute(select(exists(select(api_keys.c.id).where(_is_live)))).scalar())


def revoke(tx: Connection, key_id: str) -> bool:
    """Returns whether it was good until now."""
    statement = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    return tx.execute(statement.values(revoked_at=now())).rowcount == 1


def remove_all(tx: Connection) -> int:
    return tx.execute(delete(api_keys)).rowcount


def _record(row: RowMapping) -> KeyRecord:
    return KeyRecord(**{**row, "live": bool(row["live"])})
