"""JSON bodies, read as strictly on every route: declared as JSON, in UTF-8, and as the standard has it."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from service.api.body_limit import content_type
from service.api.guard import admit_early
from service.datasets.json_text import MOST_VALUES, parse_json
from service.errors import UnsupportedMedia
from service.settings import Settings

SMALL = 2**13  # bytes that are read in less time than it takes to hand them to a thread and wait for it


class JsonRoute(APIRoute):
    """FastAPI's own reader lets NaN, keys sent twice and other encodings pass, and tells less of what is wrong.

    A route with a body raises: UnsupportedMedia, Unreadable, TooLarge.
    """

    takes = "application/json"  # what a body of another media type is told

    def most_values(self, _settings: Settings, /) -> int:
        """In a body, its keys included; more are refused before any is read."""
        return MOST_VALUES

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read_and_handle(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            strict.takes = self.takes
            await admit_early(strict, self.dependant)  # nobody has us read a body who may not send one
            if self.body_field:
                strict.most_values = self.most_values(request.app.state.context.settings)
                await strict.json()  # here, because FastAPI would swallow what it raises
            return await handle(strict)

        return read_and_handle


class _StrictRequest(Request):
    takes = JsonRoute.takes
    most_values = MOST_VALUES

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            if content_type(self.scope) != "application/json":
                raise UnsupportedMedia(f"send the body as {self.takes}")
            body = await self.body()
            parse = partial(parse_json, body, most_values=self.most_values)
            self._json = parse() if len(body) <= SMALL else await run_in_threadpool(parse)
        return self._json
