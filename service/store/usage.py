"""How much a project has of what is limited."""

from sqlalchemy import Connection, func, select

from service.store.database import take_turn
from service.store.records import UNFINISHED, Usage
from service.store.tables import datasets, jobs, living_models, models


def count(tx: Connection, project: str) -> Usage:
    unfinished = (jobs.c.project == project, jobs.c.status.in_(UNFINISHED))
    queries = (
        select(func.count()).select_from(jobs).where(*unfinished),
        select(func.count()).select_from(models).where(*living_models(project)),
        select(func.coalesce(func.sum(datasets.c.bytes), 0)).where(datasets.c.project == project),
        select(func.coalesce(func.sum(models.c.bytes), 0)).where(*living_models(project)),
    )
    row = tx.execute(select(*(query.scalar_subquery() for query in queries))).one()
    found = [int(value) for value in row]  # PostgreSQL sums bigints as numeric
    return Usage(jobs=found[0], models=found[1], bytes=found[2] + found[3])


def count_to_add(tx: Connection, project: str) -> Usage:
    """The same, and until the transaction ends nobody else who adds to this project gets here: two could otherwise
    each take the last place."""
    take_turn(tx, f"usage/{project}")
    return count(tx, project)
