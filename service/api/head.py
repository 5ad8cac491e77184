"""HEAD, with which load balancers and `curl -I` probe: answered on every route as GET is, up to its body."""

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RANGES = (b"range", b"if-range")  # mean something with GET alone (RFC 9110, section 14.2)


class HeadAsGet:
    """Pure ASGI. The routes know nothing of HEAD, so it is not in the OpenAPI document, and their guards ask for what
    GET asks for. What would be sent after the headers, such as events without end, is not even made."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in RANGES]
        asked = {**scope, "method": "GET", "headers": headers}  # a copy: the server goes by the method in its own
        with anyio.CancelScope() as rest:

            async def send_head(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await send(message)
                    await send({"type": "http.response.body", "body": b""})
                    rest.cancel()

            try:
                await self.app(asked, receive, send_head)
            finally:
                scope.update({name: asked[name] for name in ("route",) if name in asked})  # for the log's line
