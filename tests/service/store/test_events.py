from concurrent.futures import ThreadPoolExecutor

from parts.rows import add_job, claim
from service.store import events
from service.store.database import Database


def write(database: Database, job_id: str, number: int) -> None:
    with database.write() as tx:
        events.append(tx, job_id, f"event {number}", data={"n": number})


def test_numbers_have_no_gap_when_many_write_at_once(database: Database) -> None:
    job = add_job(database)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write(database, job.id, number), range(40)))
    with database.read() as tx:
        page = events.page(tx, "default", job.id, 1000, 0)
    assert [event.number for event in page.data] == list(range(1, 41))
    assert {(event.data or {})["n"] for event in page.data} == set(range(40))


def test_pages_go_on_after_the_last_event_seen(database: Database) -> None:
    job = add_job(database)
    for number in range(5):
        write(database, job.id, number)
    with database.read() as tx:
        first = events.page(tx, "default", job.id, 3, 0)
        rest = events.page(tx, "default", job.id, 3, first.data[-1].number)
    assert [event.message for event in first.data + rest.data] == [f"event {number}" for number in range(5)]
    assert (first.has_more, rest.has_more) == (True, False)


def test_jobs_number_their_events_apart(database: Database) -> None:
    one, two = add_job(database), add_job(database)
    write(database, one.id, 0)
    held = claim(database)
    with database.write() as tx:
        assert events.append(tx, held, "fenced") == 2
        assert events.append(tx, two.id, "first of the other") == 1
