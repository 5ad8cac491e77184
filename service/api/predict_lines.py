"""`/predict` for any number of texts: NDJSON, a table or a workbook in, a line out for each row, in constant memory."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import IO, Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.routing import Match
from starlette.types import Scope

from service.api.body_limit import content_type
from service.api.context import In
from service.api.fields import ModelName
from service.api.guard import Predictor
from service.api.negotiate import STREAMED
from service.api.observe import PREDICTED_TEXTS
from service.api.predict_options import OPTIONS, form_of_answer
from service.api.predict_table import Answer, Answered, Table
from service.api.query import refuse_unknown
from service.api.text_lines import MEDIA_TYPES, TABLES, read_rows
from service.api.text_rows import Fault, Row
from service.errors import InferenceFailed, Overloaded
from service.inference.predictions import Encoding, Prediction, Scores, read_predictions
from service.inference.shelf import Loaded
from service.logs import get_logger

log = get_logger(__name__)
ROWS = 512  # in work at once: enough to find texts of like length
KEPT_IN_MEMORY = 1024 * 1024  # bytes of a body; the rest waits in a temporary file


class LinesRoute(APIRoute):
    """Only for bodies of lines; JSON goes to `service.api.predict`."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and content_type(scope) not in MEDIA_TYPES:
            return Match.NONE, {}
        return super().matches(scope)


router = APIRouter(tags=["predict"], route_class=LinesRoute)


@router.post("/predict", include_in_schema=False, response_class=StreamingResponse)
async def predict_lines(
    request: Request,
    context: In,
    access: Predictor,
    model: Annotated[ModelName | None, Query()] = None,
    top_k: Annotated[int | None, Query(ge=1)] = None,
    threshold: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
    scores: Annotated[Literal["all"] | None, Query()] = None,
    delimiter: Annotated[Literal[",", ";"] | None, Query()] = None,
) -> StreamingResponse:
    """The body is taken in whole before the first answer, for most clients read nothing while they send: were
    answers held back by that, and the body by the answers, both would wait for ever."""
    refuse_unknown(request, OPTIONS, f"the options are {', '.join(OPTIONS)}")
    kind = content_type(request.scope)
    media_type = form_of_answer(request, kind, top_k, scores, delimiter)
    loaded = await context.shelf.take(access.project, model)
    body: IO[bytes] = tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY)  # noqa: SIM115  (closed with the answer)
    try:
        async for part in request.stream():
            await run_in_threadpool(body.write, part)
        body.seek(0)
        found = await run_in_threadpool(read_rows, body, kind, context.settings.max_text_bytes)
    except BaseException:
        body.close()
        raise
    record = loaded.record
    each = record.labels if scores else ()
    in_table = media_type in TABLES
    write = Table(found, media_type, record.task, each, delimiter).write if in_table else _written
    return StreamingResponse(
        _answer(body, found.rows, loaded, threshold, top_k, write),
        media_type=media_type,
        headers=STREAMED | {"Model-Id": record.id, "Model-Version": str(record.version)},
    )


async def _answer(
    body: IO[bytes],
    rows: Iterator[Row],
    loaded: Loaded,
    threshold: float | None,
    top_k: int | None,
    write: Callable[[int, list[Answered]], bytes],
) -> AsyncIterator[bytes]:
    """One piece is computed while the one before is sent: a client that reads slowly slows down its own work."""
    number = 0
    ahead = asyncio.ensure_future(_next_piece(rows, loaded, threshold, top_k))
    try:
        while piece := await ahead:
            ahead = asyncio.ensure_future(_next_piece(rows, loaded, threshold, top_k))
            yield await run_in_threadpool(write, number, piece)  # of a thousand labels, half a million scores
            number += len(piece)
    finally:
        ahead.cancel()
        body.close()


async def _next_piece(
    texts: Iterator[Row], loaded: Loaded, threshold: float | None, top_k: int | None
) -> list[Answered]:
    """The next rows with their answers, in their order; [] after the last."""
    entries: list[Row] = await run_in_threadpool(lambda: list(islice(texts, ROWS)))
    sound = [entry.text for entry in entries if not isinstance(entry.text, Fault)]
    rows = await run_in_threadpool(loaded.classifier.encoder.encode, sound) if sound else []
    try:
        scores = await _score(loaded, rows) if rows else []
    except Exception:  # the stream goes on
        log.exception("piece_failed", rows=len(rows))
        failed = InferenceFailed("could not be computed; send it again")
        return [(entry, entry.text if isinstance(entry.text, Fault) else failed) for entry in entries]
    answers = iter(await run_in_threadpool(_read, loaded, rows, scores, threshold, top_k))
    PREDICTED_TEXTS.inc(len(rows))
    return [(entry, entry.text if isinstance(entry.text, Fault) else next(answers)) for entry in entries]


def _read(
    loaded: Loaded,
    rows: list[Encoding],
    scores: list[Scores | InferenceFailed],
    threshold: float | None,
    top_k: int | None,
) -> list[Prediction | InferenceFailed]:
    read: list[Prediction | InferenceFailed] = []
    for row, answer in zip(rows, scores, strict=True):
        if isinstance(answer, InferenceFailed):
            read.append(answer)
        else:
            read += read_predictions(answer[None], [row], loaded.classifier.card, threshold, top_k)
    return read


async def _score(loaded: Loaded, rows: list[Encoding]) -> list[Scores | InferenceFailed]:
    """Waits for room: who sends a file has time."""
    while True:
        try:
            return await loaded.batcher.score_each(rows)
        except Overloaded as overloaded:
            await asyncio.sleep(overloaded.retry_after or 1)


def _written(first: int, piece: list[Answered]) -> bytes:
    return "".join(_line(row, answer) for row, (_, answer) in enumerate(piece, first)).encode()


def _line(row: int, answer: Answer) -> str:
    if isinstance(answer, Fault):
        told = {"row": row, "error": {"code": "text_invalid", "message": str(answer)}}
    elif isinstance(answer, InferenceFailed):
        told = {"row": row, "error": {"code": answer.code, "message": answer.message}}
    else:
        told = {"row": row, **asdict(answer)}
    return json.dumps(told, ensure_ascii=False) + "\n"
