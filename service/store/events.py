"""Rows of `events`: numbered 1, 2, … within a job, without gaps."""

from sqlalchemy import Connection, exists, insert, select, update

from service.errors import LeaseLost
from service.store.jobs import held_by
from service.store.records import Claim, EventRecord, Json, Page
from service.store.tables import events, jobs, now


def append(
    tx: Connection,
    job: str | Claim,
    message: str,
    *,
    kind: str = "message",
    level: str = "info",
    data: Json | None = None,
) -> int:
    """Adds the next event of a job. With a `Claim` in place of the id it is fenced. Raises: LeaseLost.

    The number comes from the job's own row, whose lock orders the writers: a reader that has seen
    number n can never miss a smaller one that commits later.
    """
    job_id, condition = (job, jobs.c.id == job) if isinstance(job, str) else (job.job_id, held_by(job))
    statement = update(jobs).where(condition).values(last_event=jobs.c.last_event + 1).returning(jobs.c.last_event)
    number = tx.execute(statement).scalar_one_or_none()
    if number is None:
        raise LeaseLost(f"no event can be written for {job_id}: another attempt owns it, or it is gone")
    row = {"job_id": job_id, "number": number, "type": kind, "level": level, "message": message, "data": data}
    tx.execute(insert(events).values(**row, created_at=now()))
    return int(number)


def page(tx: Connection, project: str, job_id: str, limit: int, after: int) -> Page[EventRecord]:
    """Up to `limit` events of the project's job with a number above `after`, oldest first."""
    mine = exists().where(jobs.c.project == project, jobs.c.id == job_id)
    query = select(events).where(events.c.job_id == job_id, events.c.number > after, mine)
    rows = tx.execute(query.order_by(events.c.number).limit(limit + 1)).mappings().all()
    return Page([EventRecord(**row) for row in rows[:limit]], has_more=len(rows) > limit)
