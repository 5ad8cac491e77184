"""`/models`"""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from service.api.archive import stream_archive
from service.api.context import In
from service.api.fields import AfterModel, Id, Limit, PageOf, Time, WithName, rfc3339
from service.api.guard import REFUSALS, Reader, Trainer
from service.api.problems import responses
from service.store.artifacts import must_be_stored
from service.store.records import ModelRecord, Task

router = APIRouter(tags=["models"], responses=REFUSALS)


class ModelView(BaseModel):
    """One immutable version. `best`: whether it answers for its name; `pinned`: because it was promoted to that."""

    id: str
    name: str
    version: int
    task: Task
    labels: list[str]
    base_model: str
    dataset_id: str
    job_id: str
    best: bool
    pinned: bool
    metrics: dict[str, Any]
    created_at: Time | None


def view(record: ModelRecord, best: bool) -> ModelView:
    plain = ("id", "name", "version", "task", "labels", "base_model", "dataset_id", "job_id", "metrics")
    parts: dict[str, Any] = {name: getattr(record, name) for name in plain}
    pinned = record.pinned_at is not None
    return ModelView(best=best, pinned=pinned, created_at=rfc3339(record.created_at), **parts)


@router.get("/models", response_model=PageOf[ModelView], responses=responses(422))
def list_models(
    context: In, access: Reader, limit: Limit = 20, after: AfterModel = None, name: WithName = None
) -> PageOf[ModelView]:
    page = context.catalog.page(access.project, limit, after, name=name)
    return PageOf(data=[view(record, best) for record, best in page.data], has_more=page.has_more)


@router.get("/models/{model_id}", response_model=ModelView, responses=responses(404))
def get_model(model_id: Id, context: In, access: Reader) -> ModelView:
    return view(*context.catalog.get(access.project, model_id))


@router.post("/models/{model_id}/promote", response_model=ModelView, responses=responses(404))
def promote_model(model_id: Id, context: In, access: Trainer) -> ModelView:
    """Makes this version answer for its name, whatever its validation loss, until another is promoted."""
    record = context.catalog.promote(access.project, model_id)
    context.shelf.look_again()
    return view(record, best=True)


@router.delete("/models/{model_id}/promote", response_model=ModelView, responses=responses(404))
def demote_model(model_id: Id, context: In, access: Trainer) -> ModelView:
    """Takes a promotion back: the lowest validation loss answers for the name again. Without one, nothing changes."""
    context.catalog.demote(access.project, model_id)
    context.shelf.look_again()
    return view(*context.catalog.get(access.project, model_id))


@router.delete("/models/{model_id}", status_code=204, responses=responses(404))
async def delete_model(model_id: Id, context: In, access: Trainer) -> None:
    """Deletes a version for good. Requests under way end in peace; its number is not given out again."""
    await run_in_threadpool(context.catalog.delete, access.project, model_id)
    context.shelf.forget(model_id)


@router.get(
    "/models/{model_id}/archive",
    response_class=StreamingResponse,
    responses=responses(404) | {200: {"content": {"application/gzip": {}}}},
)
def get_archive(model_id: Id, context: In, access: Reader) -> StreamingResponse:
    """The checkpoint as a normal `transformers` folder, in a tar.gz."""
    record, _ = context.catalog.get(access.project, model_id)
    with must_be_stored(lambda: context.catalog.get(access.project, model_id)):
        folder = context.artifacts.open("models", model_id, manifest_sha256=record.manifest_sha256)
    name = f"{record.id}-v{record.version}"
    headers = {"Content-Disposition": f'attachment; filename="{name}.tar.gz"'}
    return StreamingResponse(
        stream_archive(folder, name, record.created_at), media_type="application/gzip", headers=headers
    )
