"""Rows of `models`: immutable versions of a name; only the pin and the end of one can change."""

from sqlalchemy import Connection, func, insert, select, update

from service.store.paging import page_newest_first
from service.store.records import Json, ModelRecord, Page
from service.store.tables import models, now


def add(tx: Connection, values: Json) -> ModelRecord:
    """Adds the next version of `values["name"]`. Numbers of deleted versions are not given out again."""
    if tx.dialect.name == "postgresql":  # two workers may finish at once; SQLite has one writer anyway
        tx.execute(select(func.pg_advisory_xact_lock(func.hashtext(values["name"]))))
    newest = select(func.coalesce(func.max(models.c.version), 0)).where(models.c.name == values["name"])
    statement = insert(models).values(**values, version=newest.scalar_subquery() + 1, created_at=now())
    return ModelRecord(**tx.execute(statement.returning(models)).mappings().one())


def get(tx: Connection, model_id: str) -> ModelRecord | None:
    query = select(models).where(models.c.id == model_id, models.c.deleted_at.is_(None))
    row = tx.execute(query).mappings().one_or_none()
    return ModelRecord(**row) if row else None


def page(tx: Connection, limit: int, after: str | None) -> Page[ModelRecord]:
    query = select(models).where(models.c.deleted_at.is_(None))
    return page_newest_first(tx, query, models, lambda row: ModelRecord(**row), limit, after)


def versions(tx: Connection, names: set[str]) -> list[ModelRecord]:
    """Every living version of these names, oldest first."""
    query = select(models).where(models.c.name.in_(names), models.c.deleted_at.is_(None))
    return [ModelRecord(**row) for row in tx.execute(query.order_by(models.c.version)).mappings()]


def names(tx: Connection, limit: int) -> list[str]:
    query = select(models.c.name).where(models.c.deleted_at.is_(None)).distinct()
    return list(tx.execute(query.order_by(models.c.name).limit(limit)).scalars())


def pin(tx: Connection, model_id: str) -> bool:
    statement = update(models).where(models.c.id == model_id, models.c.deleted_at.is_(None))
    return tx.execute(statement.values(pinned_at=now())).rowcount == 1


def remove(tx: Connection, model_id: str) -> bool:
    statement = update(models).where(models.c.id == model_id, models.c.deleted_at.is_(None))
    return tx.execute(statement.values(deleted_at=now())).rowcount == 1


def known_ids(tx: Connection, ids: list[str]) -> set[str]:
    """Those of `ids` that have a row, deleted or not."""
    return set(tx.execute(select(models.c.id).where(models.c.id.in_(ids))).scalars())


def living_ids(tx: Connection, ids: list[str]) -> set[str]:
    """Those of `ids` that have a row and are not deleted."""
    query = select(models.c.id).where(models.c.id.in_(ids), models.c.deleted_at.is_(None))
    return set(tx.execute(query).scalars())
