"""What `/predict` with a body of lines or a table may be asked for in its query, and how its answer then looks."""

from typing import Any

from fastapi import Request

from service.api import examples
from service.api.fields import MAX_WANTED
from service.api.negotiate import preferred
from service.api.text_lines import NDJSON, TABLES, WORKBOOK
from service.errors import Detail, Unacceptable

_FORMS: dict[str, dict[str, Any]] = {
    "model": {"type": "string", "maxLength": MAX_WANTED},
    "top_k": {"type": "integer", "minimum": 1},
    "threshold": {"type": "number", "minimum": 0, "maximum": 1},
    "scores": {"type": "string", "enum": ["all"]},
    "delimiter": {"type": "string", "enum": [",", ";"]},
}
OPTIONS = tuple(_FORMS)
_FOR_LINES = "for a body of lines, a table or a workbook; a JSON body has its options as keys"
_MEANINGS = {
    "scores": "`all`: a table that comes back has a column for each label, with its score in every row",
    "delimiter": "between the cells of a workbook that comes back as `text/csv`: `;` where a comma begins decimals",
}
_NDJSON = {"type": "string", "description": '{"text": "…"} a line', "examples": [examples.NDJSON]}
_TABLE = {"type": "string", "description": "with a header that names `text`", "examples": [examples.TABLE]}
_WORKBOOK = {"type": "string", "format": "binary", "description": "an .xlsx, one sheet of which has a column `text`"}
ANSWERED: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string"}} for kind in (NDJSON[0], *TABLES)}}
}
DOCUMENTED = {  # beside the JSON body, which has the same path
    "parameters": [
        {"name": name, "in": "query", "description": _MEANINGS.get(name, _FOR_LINES), "schema": form}
        for name, form in _FORMS.items()
    ],
    "requestBody": {
        "content": {"application/x-ndjson": {"schema": _NDJSON}}
        | {kind: {"schema": _TABLE} for kind in TABLES}
        | {WORKBOOK: {"schema": _WORKBOOK}}
    },
}


def form_of_answer(request: Request, kind: str, top_k: int | None, scores: str | None, delimiter: str | None) -> str:
    """Lines of JSON, unless a table is sent and a table is asked for. Raises: Unacceptable."""
    media_type = preferred(request, [NDJSON[0], *(() if kind in NDJSON else TABLES)])
    if top_k is not None and scores:
        raise _refused("top_k", "bounds scores, and scores=all asks for each; leave one of the two out")
    if top_k is not None and media_type in TABLES:
        only = "bounds scores, and a table has those of a row's labels alone, or of all with scores=all"
        raise _refused("top_k", f"{only}; leave it out, or accept {NDJSON[0]}")
    if delimiter and (kind, media_type) != (WORKBOOK, "text/csv"):
        only = "is for a workbook that is answered as text/csv, and any other table has the one that it was sent with"
        raise _refused("delimiter", f"{only}; leave it out")
    return media_type


def _refused(option: str, message: str) -> Unacceptable:
    return Unacceptable(f"the request was refused: {option} {message}", details=[Detail(message, field=option)])
