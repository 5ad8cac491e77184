"""A limit on request bodies, declared or counted. (Starlette's own answers in plain text, ours in the house's form.)"""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Pure ASGI: `uploads` bytes for `POST /datasets`, `others` for every other route."""

    def __init__(self, app: ASGIApp, uploads: int, others: int) -> None:
        self.app, self.uploads, self.others = app, uploads, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.uploads if scope["path"].rstrip("/") == "/datasets" else self.others
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        received = int(declared) if declared.isdigit() else 0
        counted = 0

        async def receive_counted() -> Message:
            nonlocal counted
            if received <= limit:
                message = await receive()
                counted += len(message.get("body", b""))
            if received > limit or counted > limit:
                raise HTTPException(413)  # the one exception that FastAPI lets through while it reads a body
            return message

        await self.app(scope, receive_counted, send)
