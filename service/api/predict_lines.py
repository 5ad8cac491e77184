"""`/predict` for any number of texts: NDJSON, CSV or TSV in, a line out for each row, in constant memory."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import IO, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.routing import Match
from starlette.types import Scope

from service.api import examples
from service.api.body_limit import content_type
from service.api.context import In
from service.api.fields import MAX_WANTED, ModelName
from service.api.guard import Predictor
from service.api.negotiate import NEGOTIATED, preferred
from service.api.observe import PREDICTED_TEXTS
from service.api.predict_table import Answer, Answered, Table
from service.api.query import refuse_unknown
from service.api.text_lines import MEDIA_TYPES, NDJSON, TABLES, read_rows
from service.api.text_rows import Fault, Row
from service.errors import Detail, InferenceFailed, Overloaded, Unacceptable
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
_FORMS: dict[str, dict[str, Any]] = {  # of the options: here in the query, beside JSON in the body
    "model": {"type": "string", "maxLength": MAX_WANTED},
    "top_k": {"type": "integer", "minimum": 1},
    "threshold": {"type": "number", "minimum": 0, "maximum": 1},
}
OPTIONS = tuple(_FORMS)
_NDJSON = {"type": "string", "description": '{"text": "…"} a line', "examples": [examples.NDJSON]}
_TABLE = {"type": "string", "description": "with a header that names `text`", "examples": [examples.TABLE]}
ANSWERED: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string"}} for kind in (NDJSON[0], *TABLES)}}
}
DOCUMENTED = {  # beside the JSON body, which has the same path
    "parameters": [
        {"name": name, "in": "query", "description": "for a body of lines; a JSON body has it as a key", "schema": form}
        for name, form in _FORMS.items()
    ],
    "requestBody": {
        "content": {"application/x-ndjson": {"schema": _NDJSON}} | {kind: {"schema": _TABLE} for kind in TABLES}
    },
}


@router.post("/predict", include_in_schema=False, response_class=StreamingResponse)
async def predict_lines(
    request: Request,
    context: In,
    access: Predictor,
    model: Annotated[ModelName | None, Query()] = None,
    top_k: Annotated[int | None, Query(ge=1)] = None,
    threshold: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
) -> StreamingResponse:
    """The body is taken in whole before the first answer, for most clients read nothing while they send: were
    answers held back by that, and the body by the answers, both would wait for ever."""
    refuse_unknown(request, OPTIONS, f"the options are {', '.join(OPTIONS)}")
    kind = content_type(request.scope)
    media_type = _form_of_answer(request, kind, top_k)
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
    write = _written if media_type == NDJSON[0] else Table(found, media_type, record.task).write
    return StreamingResponse(
        _answer(body, found.rows, loaded, threshold, top_k, write),
        media_type=media_type,
        headers=NEGOTIATED | {"Model-Id": record.id, "Model-Version": str(record.version)},
    )


def _form_of_answer(request: Request, kind: str, top_k: int | None) -> str:
    """Lines of JSON, unless a table is sent and a table is asked for. Raises: Unacceptable."""
    media_type = preferred(request, [NDJSON[0], *(TABLES if kind in TABLES else ())])
    if media_type in TABLES and top_k is not None:
        message = f"bounds scores, and a table has those of a row's labels alone; leave it out, or accept {NDJSON[0]}"
        raise Unacceptable(f"the request was refused: top_k {message}", details=[Detail(message, field="top_k")])
    return media_type


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
