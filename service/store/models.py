"""Rows of `models`: immutable versions of a project's name; only the pin and the end of one can change."""

from dataclasses import fields

from sqlalchemy import Connection, and_, case, func, insert, null, select, update

from service.store.database import take_turn
from service.store.paging import page_newest_first
from service.store.records import Json, ModelRecord, Page, Standing
from service.store.tables import jobs, living_models, models, now


def add(tx: Connection, values: Json) -> ModelRecord:
    """Adds the next version of the project's `values["name"]`. Numbers of deleted versions are not given out again."""
    take_turn(tx, f"{values['project']}/{values['name']}")  # two workers may finish at once
    mine = (models.c.project == values["project"], models.c.name == values["name"])
    newest = select(func.coalesce(func.max(models.c.version), 0)).where(*mine)
    statement = insert(models).values(**values, version=newest.scalar_subquery() + 1, created_at=now())
    return ModelRecord(**tx.execute(statement.returning(models)).mappings().one())


def get(tx: Connection, project: str, model_id: str) -> ModelRecord | None:
    row = tx.execute(select(models).where(*living_models(project), models.c.id == model_id)).mappings().one_or_none()
    return ModelRecord(**row) if row else None


def page(tx: Connection, project: str, limit: int, after: str | None, *, name: str | None = None) -> Page[ModelRecord]:
    query = select(models).where(*living_models(project))
    return page_newest_first(tx, query, models, lambda row: ModelRecord(**row), limit, after, name=name)


def standings(tx: Connection, project: str, names: set[str]) -> list[Standing]:
    """Every living version of these names of the project, oldest first. A name may have a thousand: no more is read of
    each than is compared."""
    columns = [models.c[field.name] for field in fields(Standing)]
    query = select(*columns).where(*living_models(project), models.c.name.in_(names))
    return [Standing(*row) for row in tx.execute(query.order_by(models.c.version))]


def get_version(tx: Connection, project: str, name: str, version: int) -> ModelRecord | None:
    own = (*living_models(project), models.c.name == name, models.c.version == version)
    row = tx.execute(select(models).where(*own)).mappings().one_or_none()
    return ModelRecord(**row) if row else None


def names(tx: Connection, project: str, limit: int) -> list[str]:
    query = select(models.c.name).where(*living_models(project)).distinct()
    return list(tx.execute(query.order_by(models.c.name).limit(limit)).scalars())


def pin(tx: Connection, project: str, model_id: str) -> bool:
    """Pins this version, and no other of its name any more: a pin that was given up must not come back."""
    name = select(models.c.name).where(*living_models(project), models.c.id == model_id).scalar_subquery()
    statement = update(models).where(*living_models(project), models.c.name == name)
    pinned_at = case((models.c.id == model_id, now()), else_=null())
    return tx.execute(statement.values(pinned_at=pinned_at)).rowcount > 0


def unpin(tx: Connection, project: str, model_id: str) -> bool:
    statement = update(models).where(*living_models(project), models.c.id == model_id)
    return tx.execute(statement.values(pinned_at=null())).rowcount == 1


def remove(tx: Connection, project: str, model_id: str) -> bool:
    statement = update(models).where(*living_models(project), models.c.id == model_id)
    return tx.execute(statement.values(deleted_at=now())).rowcount == 1


def reported_ids(tx: Connection, ids: list[str]) -> set[str]:
    """Those of `ids`, living or not, whose job has not been deleted, whoever owns it."""
    reported = and_(jobs.c.id == models.c.job_id, jobs.c.deleted_at.is_(None))
    query = select(models.c.id).join(jobs, reported).where(models.c.id.in_(ids))
    return set(tx.execute(query).scalars())


def living_ids(tx: Connection, ids: list[str]) -> set[str]:
    """Those of `ids` that have a row and are not deleted, whoever owns it."""
    query = select(models.c.id).where(models.c.id.in_(ids), models.c.deleted_at.is_(None))
    return set(tx.execute(query).scalars())
