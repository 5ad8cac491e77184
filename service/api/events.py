"""`/jobs/{id}/events`: what happened, by polling or as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from service.api.context import Context, In
from service.api.fields import Id, NeverNull, PageOf, rfc3339
from service.api.guard import REFUSALS, Reader, still_admitted
from service.api.jobs import find_job
from service.api.problems import responses
from service.errors import ClassiglotError
from service.store import events as event_rows
from service.store.records import FINAL, EventRecord, Page

router = APIRouter(tags=["jobs"], responses=REFUSALS)
POLL_SECONDS = 0.5
PING_SECONDS = 15.0
DIGITS = r"^[0-9]{1,15}$"
Number = Annotated[str | None, Query(pattern=DIGITS, description="the id of the last event seen"), NeverNull()]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", pattern=DIGITS), NeverNull()]


class EventView(BaseModel):
    """`metrics`, one an epoch, carry `train_loss`, `val_loss`, `val_macro_f1`, `learning_rate`."""

    id: str
    type: Literal["message", "progress", "metrics"]
    level: str
    message: str
    data: dict[str, Any] | None
    created_at: str | None


def view(event: EventRecord) -> EventView:
    return EventView(
        id=f"{event.number:09d}",
        type=event.type,  # type: ignore[arg-type]  # one of the three, by what the worker writes; pydantic checks
        level=event.level,
        message=event.message,
        data=event.data,
        created_at=rfc3339(event.created_at),
    )


@router.get(
    "/jobs/{job_id}/events",
    response_model=PageOf[EventView],
    responses=responses(404, 422) | {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def list_events(
    job_id: Id,
    request: Request,
    context: In,
    access: Reader,
    after: Number = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    last_event_id: LastEventId = None,
) -> Any:
    """Oldest first. With `Accept: text/event-stream` live, until the job is final; resumable with `Last-Event-ID`."""
    job = await run_in_threadpool(find_job, access.project, job_id, context)
    start = int(last_event_id or after or 0)
    if "text/event-stream" not in request.headers.get("accept", ""):
        page = await run_in_threadpool(_read, context, access.project, job_id, limit, start)
        return PageOf(data=[view(event) for event in page.data], has_more=page.has_more)
    if job.status in FINAL and start >= job.last_event:
        return Response(status_code=204)  # tells an EventSource that asks again to stop asking
    return EventSourceResponse(
        _stream(context, request, access.project, job_id, start), headers={"Cache-Control": "no-store"}
    )


def _read(context: Context, project: str, job_id: str, limit: int, after: int) -> Page[EventRecord]:
    with context.database.read() as tx:
        return event_rows.page(tx, project, job_id, limit, after)


async def _stream(context: Context, request: Request, project: str, job_id: str, after: int) -> AsyncIterator[bytes]:
    """Every event after number `after`, as it comes; ends once the job is final and all has been sent, when the
    service stops or the key is revoked: the client then asks again with Last-Event-ID."""
    silent = 0.0
    while not context.closing.is_set():
        try:
            await still_admitted(request, context)
            # the status first: what is written before a job becomes final is then read below
            job = await run_in_threadpool(find_job, project, job_id, context)
            page = await run_in_threadpool(_read, context, project, job_id, 500, after)
        except ClassiglotError:
            return  # the client comes back with Last-Event-ID, and is told then
        for event in page.data:
            after, silent = event.number, 0.0
            shown = view(event)
            yield format_sse_event(data_str=shown.model_dump_json(), event=shown.type, id=shown.id)
        if not page.data:
            if job.status in FINAL:
                return
            await asyncio.sleep(POLL_SECONDS)
            silent += POLL_SECONDS
            if silent >= PING_SECONDS:
                silent = 0.0
                yield format_sse_event(comment="still here")
