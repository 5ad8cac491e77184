"""From a request to a queued job: commit first, then ring."""

import hashlib
import json
from dataclasses import dataclass, field

from service.access.quotas import check_room_for_job
from service.datasets.ingest import dataset_not_found
from service.datasets.languages import OF_JOB, language_warnings
from service.errors import Conflict, NotFound
from service.jobs.queue import Doorbell
from service.jobs.spec import Hyperparameters, resolve
from service.models.base_models import allowed_name, for_language
from service.settings import Settings
from service.store import datasets as dataset_rows
from service.store import events as event_rows
from service.store import jobs as job_rows
from service.store.artifacts import ArtifactStore
from service.store.database import Database, Transaction
from service.store.idempotency import make_once
from service.store.ids import new_id
from service.store.records import FINAL, DatasetRecord, JobRecord, Json
from service.store.usage import count_to_add


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A checked request for a training run. `name`: the model's; default: the data set's."""

    dataset_id: str
    name: str | None = None
    language: str | None = None
    base_model: str | None = None
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    metadata: dict[str, str] = field(default_factory=dict)

    def sha256(self) -> str:
        """The same for two requests that ask for the same."""
        asked = [self.dataset_id, self.name, self.language, self.base_model, self.hyperparameters.model_dump()]
        return hashlib.sha256(json.dumps([*asked, self.metadata], sort_keys=True).encode()).hexdigest()


def submit_job(
    request: JobRequest,
    key: str | None,
    settings: Settings,
    database: Database,
    doorbell: Doorbell,
    *,
    project: str,
) -> JobRecord:
    """Stores the job as queued and rings for a worker.

    With an idempotency `key`, the same request again gives the same job.
    Raises: NotFound (the project has no such data set), Unacceptable, Conflict (the key was used for another request;
    quota), QuotaExceeded.
    """

    def add(tx: Transaction) -> JobRecord:
        dataset = dataset_rows.get(tx, project, request.dataset_id, lock=True)
        if dataset is None:
            raise dataset_not_found()
        check_room_for_job(count_to_add(tx, project), settings)
        job = job_rows.add(tx, _new_row(request, dataset, settings))
        event_rows.append(tx, job.id, "queued", data={"base_model": job.base_model})
        for warning in job.warnings:
            event_rows.append(tx, job.id, warning["message"], level="warning", data=warning)
        return job

    job, is_new = make_once(database, project, key, request.sha256(), add, job_rows.get)
    if is_new:
        doorbell.ring_soon(job.id)
    return job


def _new_row(request: JobRequest, dataset: DatasetRecord, settings: Settings) -> Json:
    base_model = allowed_name(request.base_model or for_language(request.language or dataset.language), settings)
    rows = dataset.splits["train"]["rows"]
    hyperparameters = resolve(request.hyperparameters, train_rows=rows, base_model=base_model)
    epochs = hyperparameters.num_epochs * hyperparameters.repeats
    steps = -(-rows // hyperparameters.batch_size) * epochs
    return {
        "id": new_id("job"),
        "project": dataset.project,
        "dataset_id": dataset.id,
        "test_sha256": dataset.test_sha256,
        "name": request.name or dataset.name,
        "base_model": base_model,
        "hyperparameters": hyperparameters.model_dump(),
        "metadata": request.metadata,
        "progress": {"epoch": 0, "num_epochs": epochs, "step": 0, "total_steps": steps},
        "warnings": [
            {"code": warning["code"], "message": warning["message"]}
            for warning in language_warnings(request.language, OF_JOB)
        ],
    }


def cancel_job(project: str, job_id: str, database: Database) -> JobRecord:
    """Asks for the end of a job. A second cancel is no error. Raises: NotFound; Conflict once it is final."""
    with database.write() as tx:
        job = job_rows.request_cancel(tx, project, job_id)
        if job is not None:
            event_rows.append(tx, job_id, "cancelled" if job.status == "cancelled" else "cancellation asked for")
            return job
        job = job_rows.get(tx, project, job_id)
    if job is None:
        raise job_not_found()
    assert job.status in FINAL
    if job.status != "cancelled":
        raise Conflict(f"the job has {job.status} already, so it cannot be cancelled", code="job_final")
    return job


def delete_job(project: str, job_id: str, database: Database, artifacts: ArtifactStore) -> None:
    """Deletes a job that has ended, with its events and its report; its model stays, and so does its data set.

    Raises: NotFound; Conflict while it is queued or running.
    """
    with database.write() as tx:
        job = job_rows.get(tx, project, job_id, lock=True)
        if job is None:
            raise job_not_found()
        if job.status not in FINAL:
            raise Conflict(f"the job is {job.status}; cancel it, then delete it", code="job_not_final")
        job_rows.remove(tx, project, job_id)
    if job.model_id is not None:
        artifacts.forget("reports", job.model_id)


def job_not_found() -> NotFound:
    return NotFound("there is no job with this id; GET /jobs lists them", code="job_not_found")
