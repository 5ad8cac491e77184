"""What operators watch: a request id and a log line for each request, and Prometheus figures."""

import re
import secrets
import time
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import METHODS, crashed
from service.logs import get_logger

log = get_logger(__name__)
REGISTRY = CollectorRegistry()
REQUESTS = Counter("classiglot_requests", "HTTP requests", ["method", "route", "status"], registry=REGISTRY)
SECONDS = Histogram("classiglot_request_seconds", "Time to the end of the answer", ["route"], registry=REGISTRY)
PREDICTED_TEXTS = Counter("classiglot_predicted_texts", "Texts that were answered", registry=REGISTRY)
MARKS = "classiglot.marks"  # in a scope: what the guard leaves for the way out
RATE_HEADERS = "rate headers"
_GOOD_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Observer:
    """Pure ASGI: Starlette's base class for middleware would hide from a route that its client has left."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = _request_id(scope)
        marks: dict[object, Any] = {}
        scope[MARKS] = marks
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
                message["headers"] += marks.get(RATE_HEADERS, [])
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_marked)
            except Exception as error:  # here, where its log line still has the request's id
                log.exception("request_crashed", route=_route(scope), error=type(error).__name__)
                if status:
                    raise  # the answer has begun: only a broken connection can say that it is not whole
                await crashed()(scope, receive, send_marked)
            finally:
                _note(scope, status or 500, time.perf_counter() - began)


def _request_id(scope: Scope) -> str:
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if _GOOD_ID.fullmatch(given) else secrets.token_hex(8)


def _route(scope: Scope) -> str:
    """The pattern, so that ids do not become series, and paths that a client made up are not told."""
    route: str = getattr(scope.get("route"), "path", "none")
    return route


def _note(scope: Scope, status: int, seconds: float) -> None:
    route = _route(scope)
    method = scope["method"] if scope["method"] in METHODS else "other"  # nor words that a client made up
    REQUESTS.labels(method, route, str(status)).inc()
    SECONDS.labels(route).observe(seconds)
    level = log.debug if route.startswith("/health") or route == "/metrics" else log.info
    level("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))
