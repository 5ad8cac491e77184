"""`/jobs/{id}/events`: what happened, by polling or as server-sent events."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from service.api.context import Context, In
from service.api.fields import DIGITS, Id, NeverNull, PageOf, Time, rfc3339
from service.api.following import News
from service.api.guard import REFUSALS, Reader, credentials_of
from service.api.jobs import find_job
from service.api.negotiate import NEGOTIATED, STREAMED, preferred
from service.api.problems import responses
from service.api.query import EmptyIs
from service.errors import ClassiglotError, Unavailable
from service.store import events as event_rows
from service.store.records import FINAL, EventRecord, Page

router = APIRouter(tags=["jobs"], responses=REFUSALS)
PING_SECONDS = 15.0
Number = Annotated[
    str | None, Query(pattern=DIGITS, description="the id of the last event seen"), NeverNull(), EmptyIs(None)
]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", pattern=DIGITS), NeverNull()]


class EventView(BaseModel):
    """`metrics`, one an epoch, carry `train_loss`, `val_loss`, `val_macro_f1`, `learning_rate`."""

    id: str
    type: Literal["message", "progress", "metrics"]
    level: str
    message: str
    data: dict[str, Any] | None
    created_at: Time | None


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
    response: Response,
    context: In,
    access: Reader,
    after: Number = None,
    limit: Annotated[int, Query(ge=1, le=1000), EmptyIs(100)] = 100,
    last_event_id: LastEventId = None,
) -> Any:
    """Oldest first. With `Accept: text/event-stream` live, until the job is final; resumable with `Last-Event-ID`."""
    job = await run_in_threadpool(find_job, access.project, job_id, context)
    start = int(last_event_id or after or 0)
    if preferred(request, ("application/json", "text/event-stream")) == "application/json":
        response.headers.update(NEGOTIATED)
        page = await run_in_threadpool(_read, context, access.project, job_id, limit, start)
        return PageOf(data=[view(event) for event in page.data], has_more=page.has_more)
    if job.status in FINAL and start >= job.last_event:
        return Response(status_code=204, headers=NEGOTIATED)  # tells an EventSource that asks again to stop asking
    return EventSourceResponse(
        _stream(context, request, access.project, job_id, start), headers=STREAMED | {"Cache-Control": "no-store"}
    )


def _read(context: Context, project: str, job_id: str, limit: int, after: int) -> Page[EventRecord]:
    with context.database.read() as tx:
        return event_rows.page(tx, project, job_id, limit, after)


async def _stream(context: Context, request: Request, project: str, job_id: str, after: int) -> AsyncIterator[bytes]:
    """Every event after number `after`, as it comes; ends once the job is final and all has been sent, when the
    service stops or the key is revoked: the client then asks again with Last-Event-ID."""
    opened_with = credentials_of(request)

    def read(project: str, job_id: str, after: int) -> News:
        # the status first: what is written before a job becomes final is then read below
        final = find_job(project, job_id, context).status in FINAL
        page = _read(context, project, job_id, 500, after)
        return News(
            b"".join(map(_sent, page.data)), max((e.number for e in page.data), default=after), page.has_more, final
        )

    while not context.closing.is_set():
        try:
            with suppress(Unavailable):  # a database that is away is waited for
                news = await context.following.read(project, job_id, after, read)
                after = news.number
                if news.sent:
                    yield news.sent
                if news.more:
                    continue
                if news.final:
                    return
            while not await context.following.wait(project, job_id, after, opened_with, PING_SECONDS):
                yield format_sse_event(comment="still here")
        except ClassiglotError:
            return  # the client comes back with Last-Event-ID, and is told then


def _sent(event: EventRecord) -> bytes:
    shown = view(event)
    return format_sse_event(data_str=shown.model_dump_json(), event=shown.type, id=shown.id)
