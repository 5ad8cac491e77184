"""What a run says, written down while the database comes and goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from parts.rows import add_job, read_job
from service.errors import Unavailable
from service.settings import Settings
from service.store import events, jobs
from service.store.artifacts import ArtifactStore
from service.store.database import Database, Transaction
from service.store.records import Claim, DatasetRecord
from worker.record import Record


class AwayAtCommit:
    """A database that takes everything and is gone when it should keep it, once."""

    def __init__(self, database: Database) -> None:
        self._database, self._left = database, 1

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._database.write() as tx:
            yield tx
            if self._left:
                self._left -= 1
                raise Unavailable("the database is away")


def record_of_claimed_job(settings: Settings, sqlite: Database, database: Database) -> tuple[Record, str]:
    """Writes to `database`; and the job's id."""
    add_job(sqlite)
    with sqlite.write() as tx:
        job = jobs.claim_next(tx, "w1", 60)
    assert job is not None
    claim = Claim(job.id, job.attempt, "w1")
    return Record(settings, database, ArtifactStore(settings.artifacts_dir), job, claim), job.id


PLACE = {"epoch": 1, "num_epochs": 2, "step": 5, "total_steps": 10}
DATASET = cast(DatasetRecord, None)  # only a success asks for it


def test_a_message_that_was_not_kept_is_kept_whole_when_it_is_written_again(
    settings: Settings, sqlite: Database
) -> None:
    record, job_id = record_of_claimed_job(settings, sqlite, cast(Database, AwayAtCommit(sqlite)))
    message = {"kind": "progress", **PLACE, "seconds_left": 3.0, "loss": 0.5}
    with pytest.raises(Unavailable):
        record.write_down(message, DATASET)
    record.write_down(message, DATASET)
    with sqlite.read() as tx:
        told = [event.message for event in events.page(tx, "default", job_id, 100, 0).data if event.type == "progress"]
    assert told == ["step 5 of 10"]
    assert read_job(sqlite, job_id).progress == PLACE


def test_a_run_that_cannot_tell_how_long_it_takes_has_no_estimate(settings: Settings, sqlite: Database) -> None:
    record, job_id = record_of_claimed_job(settings, sqlite, sqlite)
    for seconds_left, estimated in ((3.0, True), (None, False)):
        record.write_down({"kind": "progress", **PLACE, "seconds_left": seconds_left, "loss": 0.5}, DATASET)
        assert (read_job(sqlite, job_id).estimated_finish is not None) is estimated
