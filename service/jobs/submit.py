"""From a request to a queued job: commit first, then ring."""

import hashlib
import json
from dataclasses import dataclass, field

from service.datasets.ingest import dataset_not_found
from service.errors import Conflict, NotFound
from service.jobs.queue import Doorbell
from service.jobs.spec import Hyperparameters, resolve
from service.models.base_models import check_allowed, for_language
from service.settings import Settings
from service.store import datasets as dataset_rows
from service.store import events as event_rows
from service.store import jobs as job_rows
from service.store.database import Database
from service.store.ids import new_id
from service.store.records import FINAL, DatasetRecord, JobRecord, Json


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
    request: JobRequest, key: str | None, settings: Settings, database: Database, doorbell: Doorbell
) -> JobRecord:
    """Stores the job as queued and rings for a worker.

    With an idempotency `key`, the same request again gives the same job.
    Raises: NotFound (no such data set), Unacceptable, Conflict (the key was used for another request).
    """
    try:
        with database.write() as tx:
            if key and (used := job_rows.find_key(tx, key)):
                return _replay(used, request, job_rows.get(tx, used[1]))
            dataset = dataset_rows.get(tx, request.dataset_id, lock=True)
            if dataset is None:
                raise dataset_not_found()
            job = job_rows.add(tx, _new_row(request, dataset, settings))
            event_rows.append(tx, job.id, "queued", data={"base_model": job.base_model})
            if key:
                job_rows.add_key(tx, key, request.sha256(), job.id)
    except job_rows.KeyTaken:  # now the other transaction's job can be seen
        return submit_job(request, key, settings, database, doorbell)
    doorbell.ring_soon(job.id)
    return job


def _replay(used: tuple[str, str], request: JobRequest, job: JobRecord | None) -> JobRecord:
    if job is None or used[0] != request.sha256():
        raise Conflict(
            "this Idempotency-Key was used for another request; send a new key with a new request",
            code="idempotency_key_reused",
        )
    return job


def _new_row(request: JobRequest, dataset: DatasetRecord, settings: Settings) -> Json:
    base_model = request.base_model or for_language(request.language or dataset.language)
    check_allowed(base_model, settings)
    rows = dataset.splits["train"]["rows"]
    hyperparameters = resolve(request.hyperparameters, train_rows=rows, base_model=base_model)
    steps = -(-rows // hyperparameters.batch_size) * hyperparameters.num_epochs
    return {
        "id": new_id("job"),
        "dataset_id": dataset.id,
        "test_sha256": dataset.test_sha256,
        "name": request.name or dataset.name,
        "base_model": base_model,
        "hyperparameters": hyperparameters.model_dump(),
        "metadata": request.metadata,
        "progress": {"epoch": 0, "num_epochs": hyperparameters.num_epochs, "step": 0, "total_steps": steps},
    }


def cancel_job(job_id: str, database: Database) -> JobRecord:
    """Asks for the end of a job. A second cancel is no error. Raises: NotFound; Conflict once it is final."""
    with database.write() as tx:
        job = job_rows.request_cancel(tx, job_id)
        if job is not None:
            event_rows.append(tx, job_id, "cancelled" if job.status == "cancelled" else "cancellation asked for")
            return job
        job = job_rows.get(tx, job_id)
    if job is None:
        raise job_not_found()
    assert job.status in FINAL
    if job.status != "cancelled":
        raise Conflict(f"the job has {job.status} already, so it cannot be cancelled", code="job_final")
    return job


def job_not_found() -> NotFound:
    return NotFound("there is no job with this id; GET /jobs lists them", code="job_not_found")
