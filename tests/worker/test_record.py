"""What a run says, written down while the database comes and goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from parts.rows import add_job
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


def test_a_message_that_was_not_kept_is_kept_whole_when_it_is_written_again(
    settings: Settings, sqlite: Database
) -> None:
    add_job(sqlite)
    with sqlite.write() as tx:
        job = jobs.claim_next(tx, "w1", 60)
    assert job is not None
    away = cast(Database, AwayAtCommit(sqlite))
    record = Record(settings, away, ArtifactStore(settings.artifacts_dir), job, Claim(job.id, job.attempt, "w1"))
    place = {"epoch": 1, "num_epochs": 2, "step": 5, "total_steps": 10}
    message = {"kind": "progress", **place, "seconds_left": 3.0, "loss": 0.5}
    dataset = cast(DatasetRecord, None)  # only a success asks for it
    with pytest.raises(Unavailable):
        record.write_down(message, dataset)
    record.write_down(message, dataset)
    with sqlite.read() as tx:
        told = [event.message for event in events.page(tx, "default", job.id, 100, 0).data if event.type == "progress"]
        stored = jobs.get(tx, "default", job.id)
    assert told == ["step 5 of 10"]
    assert stored is not None
    assert stored.progress == place
