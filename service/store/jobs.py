"""Rows of `jobs`: every move of a job's life is one compare-and-set.

A claim raises `attempt`; whatever is written while running names that attempt and its owner, so that a
worker that slept through its lease changes nothing when it wakes (fencing).
"""

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Update,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    update,
)

from service.errors import LeaseLost
from service.store.paging import page_newest_first
from service.store.records import FINAL, UNFINISHED, Claim, JobRecord, Json, Page
from service.store.tables import events, jobs, living_jobs, now

_NO_LEASE = {"lease_owner": null(), "lease_until": null()}


def add(tx: Connection, values: Json) -> JobRecord:
    statement = insert(jobs).values(**values, status="queued", created_at=now()).returning(jobs)
    return JobRecord(**tx.execute(statement).mappings().one())


def get(tx: Connection, project: str, job_id: str, *, lock: bool = False) -> JobRecord | None:
    query = select(jobs).where(*living_jobs(project), jobs.c.id == job_id)
    row = tx.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return JobRecord(**row) if row else None


def page(
    tx: Connection,
    project: str,
    limit: int,
    after: str | None,
    *,
    status: str | None = None,
    name: str | None = None,
    dataset_id: str | None = None,
) -> Page[JobRecord]:
    query = select(jobs).where(*living_jobs(project))
    only = {"status": status, "name": name, "dataset_id": dataset_id}
    return page_newest_first(tx, query, jobs, lambda row: JobRecord(**row), limit, after, **only)


def count_by_status(tx: Connection) -> dict[str, int]:
    """Over all projects."""
    living = jobs.c.deleted_at.is_(None)
    rows = tx.execute(select(jobs.c.status, func.count()).where(living).group_by(jobs.c.status)).all()
    return {status: count for status, count in rows}


def times_scored(tx: Connection, project: str, test_sha256: str) -> int:
    """How many jobs of the project have measured a model on this very test split, deleted ones too."""
    mine = (jobs.c.project == project, jobs.c.test_sha256 == test_sha256)
    return tx.execute(select(func.count()).where(*mine, jobs.c.status == "succeeded")).scalar_one()


# -- a worker's moves ---------------------------------------------------------------------------------


def claim_next(tx: Connection, owner: str, lease_seconds: float) -> JobRecord | None:
    """Takes the oldest queued job: queued → running, attempt + 1, first lease in the same statement."""
    statement = (
        update(jobs)
        .where(
            jobs.c.id == _oldest_queued(1).with_for_update(skip_locked=True).scalar_subquery(),
            jobs.c.status == "queued",
        )
        .values(
            status="running",
            phase="loading",
            attempt=jobs.c.attempt + 1,
            lease_owner=owner,
            lease_until=now() + lease_seconds,
            started_at=func.coalesce(jobs.c.started_at, now()),
        )
        .returning(jobs)
    )
    row = tx.execute(statement).mappings().one_or_none()
    return JobRecord(**row) if row else None


def renew(tx: Connection, claim: Claim, lease_seconds: float) -> bool:
    """Lengthens the lease. Returns whether the job's cancellation was asked for. Raises: LeaseLost."""
    statement = _held(claim).values(lease_until=now() + lease_seconds).returning(jobs.c.cancel_requested_at)
    row = tx.execute(statement).one_or_none()
    if row is None:
        raise _lost(claim)
    return row[0] is not None


def report(tx: Connection, claim: Claim, values: Json) -> None:
    """Writes progress, phase or the best epoch so far. Raises: LeaseLost."""
    _must_hold(tx, claim, _held(claim).values(**values))


def finish(tx: Connection, claim: Claim, status: str, values: Json) -> None:
    """running → a final state. Raises: LeaseLost."""
    ended = {"status": status, "phase": null(), "finished_at": now(), "estimated_finish": null()}
    _must_hold(tx, claim, _held(claim).values(**ended, **_NO_LEASE, **values))


def hand_back(tx: Connection, claim: Claim, changed: Json | None = None) -> None:
    """running → queued, because the worker stops, or to be run as `changed`; it counts no crash. A job whose
    cancellation was asked for is cancelled instead. Raises: LeaseLost."""
    cancelled = jobs.c.cancel_requested_at.is_not(None)
    changed = dict(changed or {})
    error = literal(changed.pop("error"), jobs.c.error.type) if "error" in changed else jobs.c.error
    values = {
        "status": case((cancelled, "cancelled"), else_="queued"),
        "error": case((cancelled, null()), else_=error),
        "finished_at": case((cancelled, now()), else_=null()),
        "phase": null(),
        "estimated_finish": null(),
    }
    _must_hold(tx, claim, _held(claim).values(**values, **_NO_LEASE, **changed))


def crash(tx: Connection, claim: Claim, max_attempts: int, error: Json) -> bool:
    """The run died without a word: queued again, or failed with `error` after `max_attempts` of it.

    Returns whether it is queued again. Raises: LeaseLost.
    """
    statement = _held(claim).values(**_after_crash(max_attempts, error)).returning(jobs.c.status)
    row = tx.execute(statement).one_or_none()
    if row is None:
        raise _lost(claim)
    return bool(row[0] == "queued")


# -- anybody's moves ----------------------------------------------------------------------------------


def request_cancel(tx: Connection, project: str, job_id: str) -> JobRecord | None:
    """queued → cancelled at once; running: asked for, and the worker that holds it ends it."""
    is_queued = jobs.c.status == "queued"
    statement = (
        update(jobs)
        .where(jobs.c.project == project, jobs.c.id == job_id, jobs.c.status.in_(UNFINISHED))
        .values(
            status=case((is_queued, "cancelled"), else_=jobs.c.status),
            error=case((is_queued, null()), else_=jobs.c.error),  # why it was tried again is no error of its end
            finished_at=case((is_queued, now()), else_=jobs.c.finished_at),
            cancel_requested_at=func.coalesce(jobs.c.cancel_requested_at, now()),
        )
        .returning(jobs)
    )
    row = tx.execute(statement).mappings().one_or_none()
    return JobRecord(**row) if row else None


def remove(tx: Connection, project: str, job_id: str) -> None:
    """Deletes a final job and its events. Of its row stays what counts uses of a test split."""
    own = (*living_jobs(project), jobs.c.id == job_id, jobs.c.status.in_(FINAL))
    emptied = {"name": "", "metadata": {}, "error": null(), "warnings": [], "deleted_at": now()}
    if tx.execute(update(jobs).where(*own).values(**emptied)).rowcount:
        tx.execute(delete(events).where(events.c.job_id == job_id))


def reclaim_expired(tx: Connection, max_attempts: int, error: Json, limit: int = 100) -> list[JobRecord]:
    """Running jobs whose lease ran out: cancelled if asked for, else as after a crash. Returns them as they are now."""
    expired = select(jobs.c.id).where(jobs.c.status == "running", jobs.c.lease_until < now()).limit(limit)
    ids = tx.execute(expired.with_for_update(skip_locked=True)).scalars().all()
    if not ids:
        return []
    statement = update(jobs).where(jobs.c.id.in_(ids)).values(**_after_crash(max_attempts, error)).returning(jobs)
    return [JobRecord(**row) for row in tx.execute(statement).mappings()]


def oldest_queued(tx: Connection, limit: int) -> list[str]:
    return list(tx.execute(_oldest_queued(limit)).scalars())


def clock(tx: Connection) -> float:
    """The one that leases are counted by."""
    return tx.execute(select(now())).scalar_one()


def statuses(tx: Connection, job_ids: list[str]) -> dict[str, str]:
    """The status of each of these jobs that exists."""
    query = select(jobs.c.id, jobs.c.status).where(jobs.c.id.in_(job_ids))
    return {job_id: status for job_id, status in tx.execute(query).all()}


def last_events(tx: Connection, project: str, job_ids: list[str]) -> dict[str, tuple[str, int]]:
    """Status and number of the last event of each of these jobs that the project has."""
    mine = (*living_jobs(project), jobs.c.id.in_(job_ids))
    query = select(jobs.c.id, jobs.c.status, jobs.c.last_event).where(*mine)
    return {job_id: (status, number) for job_id, status, number in tx.execute(query).all()}


# -- parts --------------------------------------------------------------------------------------------


def held_by(claim: Claim) -> ColumnElement[bool]:
    """True of the row while this claim is good."""
    return and_(
        jobs.c.id == claim.job_id,
        jobs.c.attempt == claim.attempt,
        jobs.c.lease_owner == claim.owner,
        jobs.c.status == "running",
    )


def _oldest_queued(limit: int) -> Select[str]:
    """By the database's clock; read from an index in this order, so that a long queue costs nothing."""
    return select(jobs.c.id).where(jobs.c.status == "queued").order_by(jobs.c.created_at, jobs.c.id).limit(limit)


def _held(claim: Claim) -> Update:
    return update(jobs).where(held_by(claim))


def _must_hold(tx: Connection, claim: Claim, statement: Update) -> None:
    if tx.execute(statement).rowcount != 1:
        raise _lost(claim)


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(f"attempt {claim.attempt} of {claim.job_id} no longer holds the job")


def _after_crash(max_attempts: int, error: Json) -> Json:
    """New values of a row whose run died, decided by the database from what the row holds then."""
    cancelled = jobs.c.cancel_requested_at.is_not(None)
    exhausted = jobs.c.crashes + 1 >= max_attempts
    return {
        "status": case((cancelled, "cancelled"), (exhausted, "failed"), else_="queued"),
        "crashes": jobs.c.crashes + 1,
        "error": case((and_(~cancelled, exhausted), literal(error, jobs.c.error.type)), else_=null()),
        "finished_at": case((cancelled | exhausted, now()), else_=null()),
        "phase": null(),
        "estimated_finish": null(),
        **_NO_LEASE,
    }
