"""Rows of `datasets`. Whoever asks says for which project: of another's there is nothing."""

from sqlalchemy import Connection, delete, exists, insert, select

from service.store.paging import page_newest_first
from service.store.records import UNFINISHED, DatasetRecord, Json, Page
from service.store.tables import datasets, jobs, now


def add(tx: Connection, values: Json) -> DatasetRecord:
    statement = insert(datasets).values(**values, created_at=now()).returning(datasets)
    return DatasetRecord(**tx.execute(statement).mappings().one())


def get(tx: Connection, project: str, dataset_id: str, *, lock: bool = False) -> DatasetRecord | None:
    """`lock` keeps the row from being deleted until the transaction ends (PostgreSQL; SQLite has one writer)."""
    query = select(datasets).where(datasets.c.project == project, datasets.c.id == dataset_id)
    if lock:
        query = query.with_for_update()
    row = tx.execute(query).mappings().one_or_none()
    return DatasetRecord(**row) if row else None


def page(
    tx: Connection, project: str, limit: int, after: str | None, *, name: str | None = None
) -> Page[DatasetRecord]:
    query = select(datasets).where(datasets.c.project == project)
    return page_newest_first(tx, query, datasets, lambda row: DatasetRecord(**row), limit, after, name=name)


def in_use(tx: Connection, project: str, dataset_id: str) -> bool:
    """Whether a job that is not final still needs the data set."""
    waiting = exists().where(jobs.c.project == project, jobs.c.dataset_id == dataset_id, jobs.c.status.in_(UNFINISHED))
    return bool(tx.execute(select(waiting)).scalar())


def remove(tx: Connection, project: str, dataset_id: str) -> None:
    tx.execute(delete(datasets).where(datasets.c.project == project, datasets.c.id == dataset_id))


def known_ids(tx: Connection, ids: list[str]) -> set[str]:
    """Those of `ids` that have a row, whoever owns it."""
    return set(tx.execute(select(datasets.c.id).where(datasets.c.id.in_(ids))).scalars())
