"""The life of a job's row, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event

from parts.rows import add_job, claim, read_job
from service.errors import LeaseLost
from service.store import events, jobs
from service.store.database import Database
from service.store.records import Claim, JobRecord

ERROR = {"code": "worker_lost", "message": "gone"}


def claim_next(database: Database, owner: str = "w", lease: float = 60) -> JobRecord | None:
    with database.write() as tx:
        return jobs.claim_next(tx, owner, lease)


def test_a_claim_takes_the_oldest_job_and_gives_it_a_lease(database: Database) -> None:
    first, second = add_job(database), add_job(database)
    job = claim_next(database, lease=60)
    assert job is not None
    assert (job.id, job.status, job.attempt, job.phase) == (first.id, "running", 1, "loading")
    assert job.lease_until is not None
    assert job.started_at is not None
    assert 59 < job.lease_until - job.started_at < 61
    assert read_job(database, second.id).status == "queued"


def test_a_long_queue_is_not_sorted_for_a_claim(sqlite: Database) -> None:
    seen: list[str] = []
    event.listen(sqlite.engine, "before_cursor_execute", lambda *told: seen.append(told[2]))
    assert claim_next(sqlite) is None
    (claiming,) = [statement for statement in seen if statement.startswith("UPDATE")]
    with sqlite.read() as tx:
        plan = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {claiming}", ("",) * claiming.count("?")).all()
    steps = [str(step[-1]) for step in plan]
    assert any("INDEX ix_jobs_status_created_at_id" in step for step in steps)
    assert not any("TEMP B-TREE" in step for step in steps)


def test_many_workers_at_once_claim_each_job_once(database: Database) -> None:
    for _ in range(10):
        add_job(database)
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda number: claim_next(database, f"w{number}"), range(30)))
    ids = [job.id for job in claimed if job]
    assert len(ids) == len(set(ids)) == 10


def test_whoever_lost_the_lease_can_write_nothing(database: Database) -> None:
    add_job(database)
    old = claim(database, lease_seconds=-1)
    with database.write() as tx:
        jobs.reclaim_expired(tx, 3, ERROR)
    new = claim(database)
    assert new.attempt == 2
    for write in (
        lambda tx: jobs.renew(tx, old, 60),
        lambda tx: jobs.report(tx, old, {"phase": "training"}),
        lambda tx: jobs.finish(tx, old, "succeeded", {}),
        lambda tx: jobs.hand_back(tx, old),
        lambda tx: jobs.crash(tx, old, 3, ERROR),
        lambda tx: events.append(tx, old, "hello"),
        lambda tx: jobs.renew(tx, Claim(new.job_id, new.attempt, "another owner"), 60),
    ):
        with pytest.raises(LeaseLost), database.write() as tx:
            write(tx)
    job = read_job(database, new.job_id)
    assert (job.status, job.attempt, job.phase) == ("running", 2, "loading")


def test_a_lease_that_still_runs_is_not_reclaimed(database: Database) -> None:
    add_job(database)
    claim(database, lease_seconds=60)
    with database.write() as tx:
        assert jobs.reclaim_expired(tx, 3, ERROR) == []


def test_lost_workers_cost_attempts_until_the_job_fails(database: Database) -> None:
    job = add_job(database)
    for expected in ("queued", "queued", "failed"):
        claim(database, lease_seconds=-1)
        with database.write() as tx:
            assert [moved.status for moved in jobs.reclaim_expired(tx, 3, ERROR)] == [expected]
    ended = read_job(database, job.id)
    assert ended.error == ERROR
    assert ended.finished_at is not None
    assert claim_next(database) is None


def test_handing_back_costs_no_attempt(database: Database) -> None:
    job = add_job(database)
    for _ in range(5):
        current = claim(database)
        with database.write() as tx:
            jobs.hand_back(tx, current)
    again = read_job(database, job.id)
    assert (again.status, again.crashes, again.attempt, again.lease_until) == ("queued", 0, 5, None)


def test_a_queued_job_is_cancelled_at_once_and_never_starts(database: Database) -> None:
    job = add_job(database)
    with database.write() as tx:
        cancelled = jobs.request_cancel(tx, "default", job.id)
    assert cancelled is not None
    assert (cancelled.status, cancelled.finished_at is not None) == ("cancelled", True)
    assert claim_next(database) is None


def test_a_running_job_learns_of_its_cancellation_with_the_next_renewal(database: Database) -> None:
    job = add_job(database)
    held = claim(database)
    with database.write() as tx:
        assert jobs.renew(tx, held, 60) is False
        asked = jobs.request_cancel(tx, "default", job.id)
    assert asked is not None
    assert asked.status == "running"
    with database.write() as tx:
        assert jobs.renew(tx, held, 60) is True


def test_a_cancelled_job_whose_worker_is_lost_is_cancelled_not_tried_again(database: Database) -> None:
    job = add_job(database)
    claim(database, lease_seconds=-1)
    with database.write() as tx:
        jobs.request_cancel(tx, "default", job.id)
        jobs.reclaim_expired(tx, 3, ERROR)
    assert (read_job(database, job.id).status, read_job(database, job.id).error) == ("cancelled", None)


def test_a_job_that_is_handed_back_while_its_end_is_asked_for_never_starts_again(database: Database) -> None:
    job = add_job(database)
    held = claim(database)
    with database.write() as tx:
        jobs.request_cancel(tx, "default", job.id)
        jobs.hand_back(tx, held)
    ended = read_job(database, job.id)
    assert (ended.status, ended.finished_at is not None) == ("cancelled", True)
    assert claim_next(database) is None


def test_why_a_job_was_to_be_tried_again_is_no_error_of_one_that_was_cancelled_instead(database: Database) -> None:
    """Whether that was asked for before it went back to the queue, after, or when it had been claimed again."""
    changed = {"error": {"code": "out_of_memory", "message": "too large"}, "best": None}

    def after(*steps: str) -> JobRecord:
        job, held = add_job(database), claim(database)
        for step in steps:
            if step == "claim":
                held = claim(database)
                continue
            with database.write() as tx:
                if step == "cancel":
                    jobs.request_cancel(tx, "default", job.id)
                else:
                    jobs.hand_back(tx, held, changed if step == "out of memory" else None)
        return read_job(database, job.id)

    waiting = after("out of memory", "claim", "stop")
    assert (waiting.status, waiting.error) == ("queued", changed["error"])
    with database.write() as tx:
        jobs.request_cancel(tx, "default", waiting.id)
    for order in (
        ("cancel", "out of memory"),
        ("out of memory", "cancel"),
        ("out of memory", "claim", "cancel", "stop"),
    ):
        ended = after(*order)
        assert (ended.status, ended.error) == ("cancelled", None), order


def test_a_final_job_is_not_cancelled(database: Database) -> None:
    job = add_job(database)
    held = claim(database)
    with database.write() as tx:
        jobs.finish(tx, held, "succeeded", {})
        assert jobs.request_cancel(tx, "default", job.id) is None
    assert read_job(database, job.id).status == "succeeded"


def test_pages_are_newest_first_and_do_not_overlap(database: Database) -> None:
    ids = [add_job(database).id for _ in range(5)]
    seen: list[str] = []
    after = None
    for has_more in (True, True, False):
        with database.read() as tx:
            page = jobs.page(tx, "default", 2, after)
        assert page.has_more is has_more
        seen += [job.id for job in page.data]
        after = seen[-1]
    assert seen == ids[::-1]


def test_a_narrowed_list_is_read_from_an_index_in_its_order(sqlite: Database) -> None:
    """So it takes no longer with 100,000 jobs than with ten."""
    plans: list[str] = []

    def explain(connection: Any, _: Any, statement: str, parameters: Any, *__: Any) -> None:
        plans.extend(row[3] for row in connection.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    event.listen(sqlite.engine, "before_cursor_execute", explain)
    for column in ("status", "name", "dataset_id"):
        with sqlite.read() as tx:
            jobs.page(tx, "default", 20, "job_z", **{column: "queued"})
        (plan,) = plans
        assert f"USING INDEX ix_jobs_project_{column}_id (project=? AND {column}=? AND id<?)" in plan
        plans.clear()


def test_it_is_counted_how_often_a_test_split_was_scored(database: Database) -> None:
    for status, split in (("succeeded", "a"), ("succeeded", "a"), ("failed", "a"), ("succeeded", "b")):
        add_job(database, test_sha256=split * 64)
        held = claim(database)
        with database.write() as tx:
            jobs.finish(tx, held, status, {})
    with database.read() as tx:
        assert jobs.times_scored(tx, "default", "a" * 64) == 2
