"""Databases that hold many jobs, written straight into the tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import insert

from service.jobs.spec import Hyperparameters, resolve
from service.store import datasets
from service.store.database import Database
from service.store.ids import new_id
from service.store.migrate import migrate
from service.store.records import Json
from service.store.tables import jobs, now

BASE_MODEL = "xlm-roberta-base"
AT_ONCE = 5_000
DIGEST = "0" * 64


@contextmanager
def empty_database(server: str | None, folder: Path, name: str) -> Iterator[Database]:
    """With the newest schema: a file in `folder`, or a database of its own on a PostgreSQL server, by its URL."""
    if server is None:
        database = Database(f"sqlite:///{folder}/{name}.sqlite3")
        migrate(database)
        yield database
        database.close()
        return
    with psycopg.connect(server.replace("+psycopg", "", 1), autocommit=True) as admin:
        own = f"classiglot_benchmark_{name}"
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(own))
        admin.execute(drop)
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(own)))
        database = Database(server)
        database = Database(database.url.set(database=own).render_as_string(hide_password=False))
        try:
            migrate(database)
            yield database
        finally:
            database.close()
            admin.execute(drop)


def add_dataset(database: Database) -> str:
    """A row alone, which is all that the submission of a job looks at. Returns its id."""
    dataset_id = new_id("ds")
    columns = {"project": "default", "name": "set", "task": "choosing", "language": None, "labels": ["a", "b"]}
    splits = {split: {"rows": 200, "labels": {"a": 100, "b": 100}} for split in ("train", "val", "test")}
    digests = {"sha256": DIGEST, "val_sha256": DIGEST, "test_sha256": DIGEST}
    with database.write() as tx:
        datasets.add(tx, {"id": dataset_id, "splits": splits, "warnings": [], **columns, **digests})
    return dataset_id


def fill(database: Database, dataset_id: str, count: int, status: str) -> None:
    """Adds so many jobs in that state, as they stand in the table when each was made after the other."""
    hyperparameters = resolve(Hyperparameters(), train_rows=200, base_model=BASE_MODEL).model_dump()
    common: Json = {
        "project": "default",
        "status": status,
        "dataset_id": dataset_id,
        "test_sha256": DIGEST,
        "name": "set",
        "base_model": BASE_MODEL,
        "hyperparameters": hyperparameters,
        "metadata": {},
        "progress": {"epoch": 0, "num_epochs": 10, "step": 0, "total_steps": 130},
        "warnings": [],
    }
    with database.write() as tx:
        for first in range(0, count, AT_ONCE):
            rows = [common | {"id": new_id("job")} for _ in range(min(AT_ONCE, count - first))]
            tx.execute(insert(jobs).values(created_at=now()), rows)
