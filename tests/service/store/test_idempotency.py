"""One request makes one thing, on both databases, however many send it at once."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update

from parts.rows import dataset_row
from service.errors import Conflict, QuotaExceeded
from service.store import datasets
from service.store.database import Database
from service.store.idempotency import KEPT_SECONDS, forget_old_keys, make_once
from service.store.tables import idempotency_keys
from service.store.usage import count_to_add


def make(database: Database, key: str | None, request: str = "0" * 64, project: str = "default") -> tuple[str, bool]:
    def add(tx: Any) -> Any:
        return datasets.add(tx, dataset_row(project=project))

    record, is_new = make_once(database, project, key, request, add, datasets.get)
    return record.id, is_new


def count(database: Database, project: str = "default") -> int:
    with database.read() as tx:
        return len(datasets.page(tx, project, 100, None).data)


def test_twenty_at_once_make_one_and_one_alone_is_told_that_it_is_new(database: Database) -> None:
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda _: make(database, "k"), range(20)))
    assert len({made_id for made_id, _ in made}) == 1
    assert sum(is_new for _, is_new in made) == 1
    assert count(database) == 1


def test_who_waits_for_the_last_place_with_the_key_of_whom_takes_it_gets_what_that_one_made(
    database: Database,
) -> None:
    def add(tx: Any) -> Any:
        if count_to_add(tx, "default").bytes:
            raise QuotaExceeded("the last place is taken")
        record = datasets.add(tx, dataset_row(bytes=1))
        time.sleep(0.3)  # all others have asked by now
        return record

    def ask(_: int) -> tuple[Any, bool]:
        return make_once(database, "default", "k", "0" * 64, add, datasets.get)

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(ask, range(4)))
    assert len({record.id for record, _ in made}) == 1
    assert sum(is_new for _, is_new in made) == 1


def test_a_key_is_its_projects_own(database: Database) -> None:
    ids = {make(database, "k", project=project)[0] for project in ("a", "b")}
    assert len(ids) == 2
    assert make(database, "k", project="a")[0] in ids
    with pytest.raises(Conflict):
        make(database, "k", "1" * 64, project="a")
    assert make(database, "k", "1" * 64, project="c")[1]


def test_what_was_deleted_since_is_not_made_again(database: Database) -> None:
    made_id, _ = make(database, "k")
    with database.write() as tx:
        datasets.remove(tx, "default", made_id)
    with pytest.raises(Conflict, match="deleted since"):
        make(database, "k")
    assert count(database) == 0


def test_what_fails_does_not_use_the_key_up(database: Database) -> None:
    def fail(_: Any) -> Any:
        raise LookupError

    with pytest.raises(LookupError):
        make_once(database, "default", "k", "0" * 64, fail, datasets.get)
    assert make(database, "k")[1]


def test_a_key_is_forgotten_after_its_time_and_not_before(database: Database) -> None:
    old, _ = make(database, "old")
    young, _ = make(database, "young")
    aged = update(idempotency_keys).values(created_at=idempotency_keys.c.created_at - KEPT_SECONDS + 60)
    with database.write() as tx:
        tx.execute(aged)
        assert forget_old_keys(tx) == 0
        tx.execute(aged.where(idempotency_keys.c.key == "old"))
        assert forget_old_keys(tx) == 1
    assert make(database, "young") == (young, False)
    assert make(database, "old", "1" * 64) != (old, False)
