"""What cannot be stored, or is deleted, leaves nothing behind."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from parts.rows import add_job
from parts.shelter import SETTINGS, Shelter, fruit, submission
from service.datasets.cutting import Cut
from service.datasets.dataset import SPLITS
from service.datasets.ingest import Submission, Upload, build_dataset, store_dataset
from service.errors import ClassiglotError, Conflict, DatasetInvalid, NotFound, Unavailable, Unreadable
from service.settings import read_settings
from service.store import jobs as job_rows
from service.store.artifacts import MANIFEST, ArtifactStore
from service.store.database import Database, Transaction


@pytest.mark.parametrize(
    ("splits", "cut", "words"),
    [
        ({"train": {"Text": [], "Labels": []}}, Cut(), "in split train: has no rows"),
        ({"train": fruit(30), "val": {"Text": [], "Labels": []}}, Cut(), "in split val: has no rows"),
        ({"train": {"Text": ["x", "y"], "Labels": ["a", "b"]}}, Cut(), "train is too small to cut val from it"),
        ({"train": fruit(30), "val": fruit(3)}, Cut(val=0.2), r"leave out split\.val"),
        ({"train": {"Text": ["x", "y"], "Labels": ["a", "a"]}}, Cut(), "at least 2 different labels"),
        ({"train": fruit(30), "test": {"Text": ["x"], "Labels": ["zebra"]}}, Cut(), "label 'zebra' does not occur in"),
        ({"train": {"Text": ["x", "y"], "Labels": ["a", ["b"]]}}, Cut(), "must be a list of strings"),
        ({"train": Upload("a.csv", b'text,label\n"open,a\n')}, Cut(), "left open"),
    ],
)
def test_a_refused_upload_leaves_nothing_behind(shelter: Shelter, splits: Any, cut: Cut, words: str) -> None:
    with pytest.raises(DatasetInvalid, match=words):
        shelter.store(submission(cut, **splits))
    assert (shelter.rows(), shelter.files()) == ([], [])


def test_an_unreadable_file_leaves_nothing_behind(shelter: Shelter) -> None:
    with pytest.raises(Unreadable):
        shelter.store(submission(train=Upload("a.json", b"{")))
    assert (shelter.rows(), shelter.files()) == ([], [])


def test_a_database_that_fails_leaves_nothing_on_disk(shelter: Shelter) -> None:
    with shelter.database.write() as tx:
        tx.execute(text("DROP TABLE datasets"))
    with pytest.raises(Unavailable):
        shelter.store(submission(train=fruit()))
    assert shelter.files() == []


class Silent(Database):
    """Commits, but does not say so: as PostgreSQL does whose answer comes too late."""

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with super().write() as tx:
            yield tx
        raise Unavailable("the database does not answer")


def test_files_stay_when_nobody_knows_whether_the_row_was_committed(shelter: Shelter) -> None:
    silent = Silent(str(shelter.database.url))
    with pytest.raises(Unavailable):
        store_dataset(submission(train=fruit()), SETTINGS, silent, shelter.artifacts, project="default", key="k")
    silent.close()
    again = store_dataset(
        submission(train=fruit()), SETTINGS, shelter.database, shelter.artifacts, project="default", key="k"
    )
    assert shelter.rows() == [again.id]
    assert shelter.read(again) == build_dataset(submission(train=fruit()), SETTINGS)


@pytest.mark.parametrize("name", ["max_rows", "max_labels"])
def test_limits_count_the_whole_upload(name: str) -> None:
    sent = submission(**{split: fruit(9) for split in SPLITS})
    enough = {"max_rows": 27, "max_labels": 3}[name]
    build_dataset(sent, read_settings(**{name: enough}))
    with pytest.raises(DatasetInvalid, match=f"the most here is {enough - 1}"):
        build_dataset(sent, read_settings(**{name: enough - 1}))


# -- deletion -----------------------------------------------------------------------------------------


def test_a_deleted_data_set_is_gone_and_others_stay(shelter: Shelter) -> None:
    first, second = (shelter.store(submission(train=fruit())) for _ in range(2))
    shelter.delete(first.id)
    assert shelter.rows() == [second.id]
    assert shelter.files() == sorted([MANIFEST, *(f"{name}.jsonl" for name in SPLITS)])
    with pytest.raises(NotFound):
        shelter.artifacts.open("datasets", first.id)
    with pytest.raises(ClassiglotError, match="no data set with this id"):
        shelter.delete(first.id)


def test_a_data_set_that_a_job_waits_for_cannot_be_deleted(shelter: Shelter) -> None:
    record = shelter.store(submission(train=fruit()))
    job = add_job(shelter.database, dataset_id=record.id)
    with pytest.raises(Conflict, match="cancel it first"):
        shelter.delete(record.id)
    assert shelter.rows() == [record.id]
    assert shelter.read(record)
    with shelter.database.write() as tx:
        job_rows.request_cancel(tx, "default", job.id)
    shelter.delete(record.id)
    assert shelter.rows() == []


def test_a_disk_that_keeps_what_was_to_go_costs_no_answer(shelter: Shelter, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left on disk is a sweep's: of a data set that is deleted, and of an upload that was sent twice."""

    def remove(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(ArtifactStore, "remove", remove)
    store = partial(store_dataset, submission(train=fruit()), SETTINGS, shelter.database, shelter.artifacts)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: store(project="default", key="k"), range(4)))
    assert len({record.id for record in made}) == 1
    shelter.delete(made[0].id)
    assert shelter.rows() == []


def test_what_is_nested_too_deeply_to_be_written_is_unreadable() -> None:
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(Unreadable, match="nested too deeply"):
        Submission("fruit", None, None, {"train": nested}).sha256()
