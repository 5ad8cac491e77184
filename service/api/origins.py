"""Pages of other origins (CORS): which may ask, with a key of theirs. What a browser knows by itself is not sent."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from service.api.problems import problem

METHODS = ("GET", "POST", "DELETE")
HEADERS = ("Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-ID")
SHOWN = ("Location", "Model-Id", "Model-Version", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID")


class Origins(CORSMiddleware):
    """Starlette's, but that it refuses in the house's form."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        super().__init__(app, allowed, METHODS, HEADERS, allow_credentials=False, expose_headers=SHOWN)

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        message = (
            "this origin, or the method or a header that it asks for, is not allowed; the operator sets CORS_ORIGINS"
        )
        return problem(403, "origin_refused", message, headers={"Vary": "Origin"})
