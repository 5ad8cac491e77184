"""`/health`, `/metrics`, `/info`"""

from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from service.api.context import In
from service.api.guard import REFUSALS, Anyone, Operator, Reader
from service.api.observe import REGISTRY
from service.api.problems import responses
from service.errors import Unavailable
from service.models import base_models
from service.store import jobs as job_rows
from service.store import usage as usage_rows

router = APIRouter(tags=["system"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Limits(BaseModel):
    """Bytes, rows, labels, texts and tokens that a request may have."""

    max_upload_bytes: int
    max_request_bytes: int
    max_rows: int
    max_labels: int
    max_text_bytes: int
    max_texts: int
    max_queued_tokens: int


class BaseModelView(BaseModel):
    """`available`: whether the service sees its files; a worker elsewhere may see others."""

    name: str
    available: bool


class QuotaView(BaseModel):
    """`limit`: null where there is none."""

    used: int
    limit: int | None


class UsageView(BaseModel):
    """`jobs` that are queued or running, `models`, `bytes` of data sets and models."""

    project: str
    jobs: QuotaView
    models: QuotaView
    bytes: QuotaView


class Info(BaseModel):
    name: Literal["classiglot"] = "classiglot"
    version: str
    device: str
    limits: Limits
    base_models: list[BaseModelView]
    language_models: dict[str, str]


@router.get("/health/live", response_model=Health)
async def live() -> Health:
    """200 while the process answers at all."""
    return Health()


@router.get("/health/ready", response_model=Health, responses=responses(503))
def ready(context: In) -> Health:
    """200 when requests can be served: database and model thread answer, and the service is not stopping."""
    if context.closing.is_set():
        raise Unavailable("the service is stopping; ask another, or try again in a moment", code="stopping")
    context.engine.must_get_on()
    context.database.ping()
    return Health()


@router.get("/metrics", response_class=Response, responses=REFUSALS)
def metrics(context: In, _: Operator) -> Response:
    """Prometheus text format; over all projects."""
    with context.database.read() as tx:
        counts = job_rows.count_by_status(tx)
    statuses = ("queued", "running", "succeeded", "failed", "cancelled")
    lines = [
        "# HELP classiglot_jobs Jobs by status",
        "# TYPE classiglot_jobs gauge",
        *(f'classiglot_jobs{{status="{status}"}} {counts.get(status, 0)}' for status in statuses),
        "# HELP classiglot_queued_tokens Tokens waiting or running",
        "# TYPE classiglot_queued_tokens gauge",
        f"classiglot_queued_tokens {context.engine.queued_tokens}",
        "",
    ]
    return Response(generate_latest(REGISTRY) + "\n".join(lines).encode(), media_type=CONTENT_TYPE_LATEST)


@router.get("/info", response_model=Info, responses=REFUSALS)
def info(context: In, _: Anyone) -> Info:
    """What this installation is, what it takes, and which base models it has."""
    settings = context.settings
    here = set(base_models.available(settings))
    return Info(
        version=version("classiglot"),
        device=context.runtime.device(),
        limits=Limits(**{name: getattr(settings, name) for name in Limits.model_fields}),
        base_models=[BaseModelView(name=name, available=name in here) for name in base_models.allowed(settings)],
        language_models=base_models.language_map(),
    )


@router.get("/usage", response_model=UsageView, responses=REFUSALS)
def usage(context: In, access: Reader) -> UsageView:
    """What the key's project has, and may have."""
    with context.database.read() as tx:
        used = usage_rows.count(tx, access.project)
    quotas = {
        name: QuotaView(used=getattr(used, name), limit=getattr(context.settings, f"quota_{name}"))
        for name in ("jobs", "models", "bytes")
    }
    return UsageView(project=access.project, **quotas)
