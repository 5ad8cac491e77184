"""What must be true of a deployment at any moment, read from its tables and its disk."""

from parts.deployment import Deployment
from service.store import jobs, models
from service.store.records import FINAL, JobRecord, ModelRecord


def check(deployment: Deployment) -> None:
    """At most one model a job, whole on disk; none without a job that says so; every event has its number."""
    versions = all_models(deployment)  # before the jobs, which may go on meanwhile
    rows = all_jobs(deployment)
    by_job = {model.job_id: model for model in versions}
    assert len(by_job) == len(versions)
    for job in rows:
        assert (job.status == "succeeded") == (job.model_id is not None), job
        assert (job.status == "running") == (job.lease_owner is not None) == (job.lease_until is not None), job
        assert (job.status in FINAL) == (job.finished_at is not None), job
        numbers = [event.number for event in deployment.events(job.id)]
        assert numbers[: job.last_event] == list(range(1, job.last_event + 1))
    succeeded = {job.id: job.model_id for job in rows if job.status == "succeeded"}
    for model in versions:
        assert succeeded[model.job_id] == model.id
        if model.deleted_at is None:
            deployment.artifacts.open("models", model.id)


def all_jobs(deployment: Deployment) -> list[JobRecord]:
    with deployment.database.read() as tx:
        return jobs.page(tx, deployment.project, 10_000, None).data


def all_models(deployment: Deployment) -> list[ModelRecord]:
    with deployment.database.read() as tx:
        return models.page(tx, deployment.project, 10_000, None).data
