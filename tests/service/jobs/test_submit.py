"""Submitting, on both databases; the broker is not there, and that must not matter."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from parts.rows import add_dataset, read_job
from service.errors import Conflict, NotFound, QuotaExceeded, Unacceptable
from service.jobs.queue import Doorbell, make_celery
from service.jobs.submit import JobRequest, cancel_job, submit_job
from service.settings import Settings
from service.store import events, jobs
from service.store.database import Database
from service.store.records import JobRecord


@pytest.fixture
def doorbell(settings: Settings) -> Iterator[Doorbell]:
    bell = Doorbell(make_celery(settings))
    yield bell
    bell.close()


class Desk:
    def __init__(self, settings: Settings, database: Database, doorbell: Doorbell) -> None:
        self.settings, self.database, self.doorbell = settings, database, doorbell
        self.dataset_id = add_dataset(database).id

    def submit(self, key: str | None = None, project: str = "default", **values: str) -> JobRecord:
        request = JobRequest(**({"dataset_id": self.dataset_id} | values))  # type: ignore[arg-type]
        return submit_job(request, key, self.settings, self.database, self.doorbell, project=project)


@pytest.fixture
def desk(settings: Settings, database: Database, doorbell: Doorbell) -> Desk:
    return Desk(settings, database, doorbell)


def count(database: Database) -> int:
    with database.read() as tx:
        return sum(jobs.count_by_status(tx).values())


def test_one_key_makes_one_job_however_many_ask_at_once(desk: Desk) -> None:
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda _: desk.submit("key").id, range(20)))
    assert len(set(made)) == 1
    assert count(desk.database) == 1


def test_two_cannot_take_the_last_place(desk: Desk) -> None:
    desk.settings = desk.settings.model_copy(update={"quota_jobs": 3})

    ids = [add_dataset(desk.database).id for _ in range(20)]  # the lock of one data set would hide the lack of ours

    def submit(dataset_id: str) -> str:
        try:
            return desk.submit(dataset_id=dataset_id).status
        except QuotaExceeded as error:
            return error.code

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(submit, ids))
    assert sorted(outcomes) == ["queued"] * 3 + ["quota_exceeded"] * 17
    assert count(desk.database) == 3
    desk.dataset_id = add_dataset(desk.database, project="other").id
    assert desk.submit(project="other").project == "other"


def test_a_data_set_of_another_project_is_none(desk: Desk) -> None:
    with pytest.raises(NotFound):
        desk.submit(project="other")


def test_a_key_with_another_request_is_a_conflict(desk: Desk) -> None:
    desk.submit("key", name="one")
    with pytest.raises(Conflict):
        desk.submit("key", name="two")
    assert count(desk.database) == 1


def test_without_a_key_every_request_is_a_job(desk: Desk) -> None:
    assert desk.submit().id != desk.submit().id


def test_name_and_language_come_from_the_data_set_when_left_out(desk: Desk) -> None:
    desk.dataset_id = add_dataset(desk.database, name="obst", language="german").id
    job = desk.submit()
    assert (job.name, job.base_model) == ("obst", "benjamin/roberta-base-wechsel-german")
    assert desk.submit(language="french").base_model == "camembert-base"
    assert desk.submit(base_model="roberta-base", name="apples").name == "apples"


def test_a_language_that_nobody_knows_gets_a_warning_in_the_job_and_its_events(desk: Desk) -> None:
    """The base model would be the multilingual one, and nobody would know why."""
    job = desk.submit(language="germna")
    assert job.base_model == "xlm-roberta-base"
    (warning,) = job.warnings
    assert warning["code"] == "language_unknown"
    assert "as 'german' is" in warning["message"]
    assert "cancel the job" in warning["message"]
    with desk.database.read() as tx:
        told = [event for event in events.page(tx, "default", job.id, 10, 0).data if event.level == "warning"]
    assert [event.data for event in told] == [warning]
    assert desk.submit(language="german").warnings == desk.submit().warnings == []


def test_a_job_is_told_with_its_first_event(desk: Desk) -> None:
    job = desk.submit()
    with desk.database.read() as tx:
        assert [event.message for event in events.page(tx, "default", job.id, 10, 0).data] == ["queued"]


def test_what_does_not_exist_leaves_no_job(desk: Desk) -> None:
    with pytest.raises(NotFound):
        desk.submit(dataset_id="ds_none")
    with pytest.raises(Unacceptable):
        desk.submit(base_model="gpt2")
    assert count(desk.database) == 0


def test_cancelling_twice_is_no_error_and_unknown_jobs_are(desk: Desk) -> None:
    job = desk.submit()
    assert cancel_job("default", job.id, desk.database).status == "cancelled"
    assert cancel_job("default", job.id, desk.database).status == "cancelled"
    assert read_job(desk.database, job.id).finished_at is not None
    with pytest.raises(NotFound):
        cancel_job("default", "job_none", desk.database)
