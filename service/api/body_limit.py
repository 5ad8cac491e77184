"""A limit on request bodies, declared or counted. (Starlette's own answers in plain text, ours in the house's form.)

A body that is compressed is refused: what it comes to would have to be limited a second time."""

from collections.abc import Container

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Pure ASGI: `uploads` bytes for `POST /datasets` and bodies of the `streamed` types, `others` for all else."""

    def __init__(self, app: ASGIApp, uploads: int, others: int, streamed: Container[str]) -> None:
        self.app, self.uploads, self.others, self.streamed = app, uploads, others, streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        large = scope["path"].rstrip("/") == "/datasets" or content_type(scope) in self.streamed
        limit = self.uploads if large else self.others
        headers = dict(scope["headers"])
        encoded = headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity")
        declared = headers.get(b"content-length", b"0")
        received = int(declared) if declared.isdigit() else 0
        counted = 0

        async def receive_counted() -> Message:
            """Raises: HTTPException, the one that FastAPI lets through while it reads a body."""
            nonlocal counted
            if received > limit:
                raise HTTPException(413)
            message = await receive()
            counted += len(message.get("body", b""))
            if encoded and counted:
                raise HTTPException(415, headers={"Accept-Encoding": "identity"})
            if counted > limit:
                raise HTTPException(413)
            return message

        await self.app(scope, receive_counted, send)


def content_type(scope: Scope) -> str:
    """Without its parameters, in lower case."""
    value: bytes = dict(scope["headers"]).get(b"content-type", b"")
    return value.decode("latin-1").split(";")[0].strip().lower()
