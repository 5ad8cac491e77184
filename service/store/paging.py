"""Lists by id, newest first, a page at a time."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Select, Table
from sqlalchemy.engine import RowMapping

from service.store.records import Page

T = TypeVar("T")


def page_newest_first(
    tx: Connection,
    query: Select[tuple[object, ...]],
    table: Table,
    make: Callable[[RowMapping], T],
    limit: int,
    after: str | None,
    **only: str | None,
) -> Page[T]:
    """Up to `limit` rows older than the id `after`; of `only` those whose column has that value, where one is given."""
    query = query.where(*(table.c[column] == value for column, value in only.items() if value is not None))
    if after is not None:
        query = query.where(table.c.id < after)
    rows = tx.execute(query.order_by(table.c.id.desc()).limit(limit + 1)).mappings().all()
    return Page([make(row) for row in rows[:limit]], has_more=len(rows) > limit)
