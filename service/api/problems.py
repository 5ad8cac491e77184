"""The one place where errors become HTTP. The input is never echoed, and no traceback leaves the house."""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from service.api.faults import read_faults
from service.api.negotiate import preferred
from service.datasets.ingest import dataset_not_found
from service.errors import ClassiglotError, ClientLeft, Detail, DiskFull, NotFound, Overloaded, Unavailable
from service.jobs.submit import job_not_found
from service.logs import get_logger
from service.models.versions import model_not_found
from service.store.artifacts import is_full

log = get_logger(__name__)


class ProblemDetail(BaseModel):
    split: str | None = None
    row: int | None = None
    line: int | None = None
    field: str | None = None
    message: str


class Problem(BaseModel):
    code: str
    message: str
    details: list[ProblemDetail]


class ProblemBody(BaseModel):
    """Every error looks like this. `code` is stable; `message` says what to do."""

    error: Problem


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: the errors that a route may answer with, all in the one form."""
    documented: tuple[int | str, ...] = (*statuses, "default")
    return {status: {"model": ProblemBody} for status in documented}


def install(app: FastAPI) -> None:
    app.add_exception_handler(ClassiglotError, _known)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http)  # type: ignore[arg-type]
    app.add_exception_handler(ClientDisconnect, _left)  # type: ignore[arg-type]
    app.add_exception_handler(OSError, _out_of_room)  # type: ignore[arg-type]


def problem(
    status: int, code: str, message: str, details: Iterable[Detail] = (), headers: Mapping[str, str] | None = None
) -> JSONResponse:
    listed = [ProblemDetail(**_set_fields(detail)) for detail in details]
    body = ProblemBody(error=Problem(code=code, message=message, details=listed))
    return JSONResponse(body.model_dump(exclude_unset=True), status, headers=dict(headers or {}))


def _set_fields(detail: Detail) -> dict[str, Any]:
    named = {"split": detail.split, "row": detail.row, "line": detail.line, "field": detail.field}
    return {name: value for name, value in named.items() if value is not None} | {"message": detail.message}


async def _known(request: Request, error: ClassiglotError) -> JSONResponse:
    if error.status >= 500 and not isinstance(error, Unavailable):
        log.error("request_failed", code=error.code, error=error.message)
    wait = error.retry_after or (1 if isinstance(error, Overloaded | Unavailable) else None)
    headers = {"Retry-After": str(wait)} if wait else {}
    answer = problem(error.status, error.code, error.message, error.details, headers)
    if error.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
        if request.method == "GET" and preferred(request, ("application/json", "text/html")) == "text/html":
            answer.headers.append("WWW-Authenticate", _ASK_FOR_A_PASSWORD)
    return answer


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    """422; but for an id that cannot be one of ours, what an unknown one gets."""
    faults = error.errors()
    for fault in faults:
        if fault["loc"][0] == "path":
            return await _known(request, _UNKNOWN[fault["loc"][1]]())
    details = read_faults(faults)
    first = details[0]
    row = f", row {first.row}" if first.row is not None else ""
    where = f"{first.field}{row}: " if first.field else ""
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    message = f"the request was refused: {where}{first.message}{more}"
    return problem(422, "request_invalid", message, details[:100])


# by the name of a path's part, what is said of an id that nothing has
_UNKNOWN: Mapping[str, Callable[[], NotFound]] = {
    "dataset_id": dataset_not_found,
    "job_id": job_not_found,
    "model_id": model_not_found,
}
# Makes a browser ask its user; nobody else is asked, or every script's wrong key would open a window.
_ASK_FOR_A_PASSWORD = 'Basic realm="Classiglot", charset="UTF-8"'
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_CODES = {
    400: "body_unreadable",
    404: "route_not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "media_type_unsupported",
}
_MESSAGES = {
    400: "the body could not be read; check that it is complete and in UTF-8",
    404: "there is no such route; GET /docs lists them",
    405: "this route does not know this method; GET /docs lists those it knows",
    413: "the body is larger than this route takes; GET /info lists the limits",
    415: "send the body as it is: without Content-Encoding, and not compressed",
}


async def _http(request: Request, error: HTTPException) -> Response:
    status = error.status_code
    if status == 404 and (path := _docs(request) or _without_slash(request)):
        return RedirectResponse(path)
    message = _MESSAGES.get(status, str(error.detail))
    headers = {"Allow": _methods_here(request)} if status == 405 else error.headers
    return problem(status, _CODES.get(status, f"http_{status}"), message, headers=headers)


def _docs(request: Request) -> str | None:
    """For a person who has typed no more than where the service is."""
    root = request.scope["root_path"]
    is_page = request.method == "GET" and preferred(request, ("application/json", "text/html")) == "text/html"
    return f"{root}/docs" if is_page and request.scope["path"] in (root, f"{root}/") else None


def _without_slash(request: Request) -> str | None:
    """Where a request for `/jobs/` should have gone. Starlette would send it to whatever host the request names, and
    know nothing of the scheme that a proxy was asked by: a path alone goes to the same place again."""
    scope = {**request.scope, "path": request.scope["path"].rstrip("/")}
    if scope["path"] == request.scope["path"]:
        return None
    if all(route.matches(scope)[0] is Match.NONE for route in request.app.routes):
        return None
    query = scope["query_string"].decode("latin-1")
    return quote(scope["path"]) + (f"?{query}" if query else "")


def _methods_here(request: Request) -> str:
    """Of every route with this path. The router itself names those of the first that it meets, and nothing of HEAD,
    which is answered wherever GET is."""
    scope = {name: request.scope[name] for name in ("type", "path", "root_path", "headers")}
    matches = {
        method: [route.matches(scope | {"method": method})[0] for route in request.app.routes] for method in METHODS
    }
    matches["HEAD"] = matches["GET"]
    return ", ".join(method for method in METHODS if Match.FULL in matches[method])


async def _left(request: Request, _: ClientDisconnect) -> JSONResponse:
    """In the middle of its body: no fault of ours, and nobody reads this."""
    return await _known(request, ClientLeft("the client closed the connection before its request was whole"))


async def _out_of_room(request: Request, error: OSError) -> JSONResponse:
    """Bodies that are read as files wait in the system's folder for temporary ones. Any other error is a bug's."""
    if not is_full(error):
        raise error
    log.warning("disk_full", folder=tempfile.gettempdir())
    message = "there is no room left for this body in the service's folder for temporary files; the operator frees some"
    return await _known(request, DiskFull(f"{message}, then try again", retry_after=60))


def crashed() -> JSONResponse:
    """The answer to whoever met a bug."""
    return problem(500, "internal", "something broke here; the service's log says what, under this X-Request-Id")
