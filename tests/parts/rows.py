"""Rows for the tables, complete but for what a test is about."""

from typing import Any

from service.jobs.spec import Hyperparameters, resolve
from service.store import datasets, jobs, models
from service.store.database import Database
from service.store.ids import new_id
from service.store.records import DEFAULT_PROJECT, Claim, DatasetRecord, JobRecord, ModelRecord


def dataset_row(**values: Any) -> dict[str, Any]:
    row = {
        "id": new_id("ds"),
        "project": DEFAULT_PROJECT,
        "bytes": 0,
        "name": "fruit",
        "task": "choosing",
        "language": None,
        "labels": ["a", "b"],
        "splits": {name: {"rows": 10, "labels": {"a": 5, "b": 5}} for name in ("train", "val", "test")},
        "warnings": [],
        "sha256": "0" * 64,
        "val_sha256": "1" * 64,
        "test_sha256": "3" * 64,
    }
    return row | values


def add_dataset(database: Database, **values: Any) -> DatasetRecord:
    with database.write() as tx:
        return datasets.add(tx, dataset_row(**values))


def add_job(database: Database, **values: Any) -> JobRecord:
    row = {
        "id": new_id("job"),
        "project": DEFAULT_PROJECT,
        "dataset_id": "ds_0",
        "test_sha256": "3" * 64,
        "name": "fruit",
        "base_model": "xlm-roberta-base",
        "hyperparameters": resolve(Hyperparameters(), train_rows=10, base_model="xlm-roberta-base").model_dump(),
        "metadata": {},
        "progress": {"epoch": 0, "num_epochs": 1, "step": 0, "total_steps": 1},
        "warnings": [],
    }
    with database.write() as tx:
        return jobs.add(tx, row | values)


def claim(database: Database, owner: str = "w", lease_seconds: float = 60) -> Claim:
    """Claims the oldest queued job, which must exist."""
    with database.write() as tx:
        job = jobs.claim_next(tx, owner, lease_seconds)
    assert job is not None
    return Claim(job.id, job.attempt, owner)


def add_model(database: Database, **values: Any) -> ModelRecord:
    row = {
        "id": new_id("mdl"),
        "project": DEFAULT_PROJECT,
        "bytes": 0,
        "name": "fruit",
        "task": "choosing",
        "labels": ["a", "b"],
        "base_model": "xlm-roberta-base",
        "dataset_id": "ds_0",
        "job_id": new_id("job"),
        "val_sha256": "1" * 64,
        "val_loss": 0.5,
        "metrics": {},
        "manifest_sha256": "2" * 64,
    }
    with database.write() as tx:
        return models.add(tx, row | values)


def read_job(database: Database, job_id: str) -> JobRecord:
    with database.read() as tx:
        job = jobs.get(tx, DEFAULT_PROJECT, job_id)
    assert job is not None
    return job
