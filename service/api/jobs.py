"""`/jobs`"""

import hashlib
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from service.api import examples
from service.api.context import Context, In
from service.api.fields import (
    ID,
    AfterJob,
    Body,
    Id,
    IdempotencyKey,
    Language,
    Limit,
    Name,
    NeverNull,
    PageOf,
    SafeText,
    Time,
    WithName,
    rfc3339,
)
from service.api.guard import REFUSALS, Reader, Trainer
from service.api.json_route import JsonRoute
from service.api.negotiate import NEGOTIATED, preferred, unless_known
from service.api.problems import responses
from service.errors import Conflict
from service.jobs.report import REPORT_JSON, REPORT_PAGE, REPORT_TEXT, Report
from service.jobs.report_page import PAGE_POLICY
from service.jobs.spec import Hyperparameters, ResolvedHyperparameters
from service.jobs.submit import JobRequest, cancel_job, delete_job, job_not_found, submit_job
from service.store import jobs as job_rows
from service.store.artifacts import must_be_stored
from service.store.records import JobRecord, Status

router = APIRouter(tags=["jobs"], route_class=JsonRoute, responses=REFUSALS)
_TEXT = {"schema": {"type": "string"}}
_REPORTS = {"application/json": REPORT_JSON, "text/plain": REPORT_TEXT, "text/html": REPORT_PAGE}
MetadataKey = Annotated[SafeText, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[SafeText, StringConstraints(max_length=512)]


class JobBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [examples.JOB]})

    dataset_id: Annotated[str, StringConstraints(max_length=60, pattern=ID)]
    name: Name | None = Field(default=None, description="the model's name; default: the data set's")
    language: Language | None = Field(default=None, description="chooses the base model; default: the data set's")
    base_model: SafeText | None = Field(default=None, min_length=1, max_length=200, description="instead of language")
    hyperparameters: Hyperparameters = Hyperparameters()
    metadata: dict[MetadataKey, MetadataValue] = Field(default={}, max_length=16)

    @model_validator(mode="after")
    def _one_choice(self) -> "JobBody":
        if self.language and self.base_model:
            raise ValueError("give language or base_model, not both")
        return self


class ProgressView(BaseModel):
    epoch: int
    num_epochs: int
    step: int
    total_steps: int


class BestView(BaseModel):
    epoch: int
    val_loss: float
    val_macro_f1: float


class ErrorView(BaseModel):
    code: str
    message: str


class JobWarningView(BaseModel):
    code: str
    message: str


class JobView(BaseModel):
    """`warnings`: what a reader of the figures must know, such as a baseline that the model does not beat."""

    id: str
    status: Status
    phase: Literal["loading", "training", "evaluating", "publishing"] | None
    dataset_id: str
    name: str
    base_model: str
    hyperparameters: ResolvedHyperparameters
    progress: ProgressView
    attempt: int
    best: BestView | None
    model_id: str | None
    error: ErrorView | None
    warnings: list[JobWarningView]
    created_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    estimated_finish: Time | None
    metadata: dict[str, str]


def view(job: JobRecord) -> JobView:
    times = ("created_at", "started_at", "finished_at", "estimated_finish")
    plain = ("id", "status", "phase", "dataset_id", "name", "base_model", "attempt", "model_id", "metadata")
    parts: dict[str, Any] = {name: getattr(job, name) for name in plain}
    parts |= {name: rfc3339(getattr(job, name)) for name in times}
    return JobView(
        hyperparameters=ResolvedHyperparameters(**job.hyperparameters),
        progress=ProgressView(**job.progress),
        best=BestView(**job.best) if job.best else None,
        error=ErrorView(**job.error) if job.error else None,
        warnings=[JobWarningView(**warning) for warning in job.warnings],
        **parts,
    )


def find_job(project: str, job_id: str, context: Context) -> JobRecord:
    """Raises: NotFound."""
    with context.database.read() as tx:
        job = job_rows.get(tx, project, job_id)
    if job is None:
        raise job_not_found()
    return job


@router.post("/jobs", status_code=202, response_model=JobView, responses=responses(400, 404, 409, 413, 415, 422, 503))
def create_job(
    body: JobBody, response: Response, context: In, access: Trainer, idempotency_key: IdempotencyKey = None
) -> JobView:
    """Queues a training run. The same `Idempotency-Key` with the same body gives the same job."""
    request = JobRequest(**{name: getattr(body, name) for name in type(body).model_fields})
    parts = (context.settings, context.database, context.doorbell)
    job = submit_job(request, idempotency_key, *parts, project=access.project)
    response.headers["Location"] = f"{context.settings.root_path}/jobs/{job.id}"
    return view(job)


@router.get("/jobs", response_model=PageOf[JobView], responses=responses(422))
def list_jobs(
    context: In,
    access: Reader,
    limit: Limit = 20,
    after: AfterJob = None,
    status: Annotated[Status | None, Query(description="only those in this state"), NeverNull()] = None,
    name: WithName = None,
    dataset_id: Annotated[
        str | None, Query(max_length=60, pattern=ID, description="only those of this data set"), NeverNull()
    ] = None,
) -> PageOf[JobView]:
    with context.database.read() as tx:
        page = job_rows.page(tx, access.project, limit, after, status=status, name=name, dataset_id=dataset_id)
    return PageOf(data=[view(job) for job in page.data], has_more=page.has_more)


@router.get("/jobs/{job_id}", response_model=JobView, responses=responses(404))
def get_job(job_id: Id, context: In, access: Reader) -> JobView:
    return view(find_job(access.project, job_id, context))


@router.post("/jobs/{job_id}/cancel", response_model=JobView, responses=responses(404, 409))
def cancel(job_id: Id, context: In, access: Trainer) -> JobView:
    """Ends a job: at once while it is queued, within seconds while it runs."""
    return view(cancel_job(access.project, job_id, context.database))


@router.delete("/jobs/{job_id}", status_code=204, responses=responses(404, 409))
def remove_job(job_id: Id, context: In, access: Trainer) -> None:
    """Deletes a job that has ended, with its events and its report, which holds texts; its model stays."""
    delete_job(access.project, job_id, context.database, context.artifacts)


@router.get(
    "/jobs/{job_id}/report",
    response_model=Report,
    responses=responses(404, 409) | {200: {"content": {"text/html": _TEXT, "text/plain": _TEXT}}},
)
def get_report(job_id: Id, request: Request, context: In, access: Reader) -> Response:
    """The test report; with `Accept: text/html` as a page for people, with `Accept: text/plain` scikit-learn's
    classification report."""
    job = find_job(access.project, job_id, context)
    if job.model_id is None:
        raise Conflict(f"the job is {job.status}; only a job that succeeded has a report", code="report_not_ready")
    media_type = preferred(request, list(_REPORTS))
    with must_be_stored(lambda: find_job(access.project, job_id, context)):
        # as a whole: with its job, it may be deleted meanwhile
        content = context.artifacts.read(
            "reports", job.model_id, lambda folder: (folder / _REPORTS[media_type]).read_bytes()
        )
    headers = NEGOTIATED | {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
    if media_type == "text/html":
        headers["Content-Security-Policy"] = PAGE_POLICY
    return unless_known(request, Response(content, media_type=media_type, headers=headers))
