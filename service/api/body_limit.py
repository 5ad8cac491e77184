"""A limit on request bodies, declared or counted. (Starlette's own answers in plain text, ours in the house's form.)

A body that is compressed is refused: what it comes to would have to be limited a second time. And an answer that is
given before the body's end ends the connection: uvicorn would read on, and throw away, as long as a client sends."""

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
        large = scope["path"].rstrip("/") == f"{scope['root_path']}/datasets" or content_type(scope) in self.streamed
        body = _Body(scope, receive, send, self.uploads if large else self.others)
        await self.app(scope, body.receive, body.send)


class _Body:
    """One request's body on its way in, and what its answer says of it. `limit`: bytes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        self._declared = int(declared) if declared.isdigit() else 0
        self._encoded = headers.get(b"content-encoding", b"").strip().lower() not in (b"", b"identity")
        self._unread = self._declared > 0 or b"transfer-encoding" in headers
        self._receive, self._send, self._limit = receive, send, limit
        self._counted = 0

    async def receive(self) -> Message:
        """Raises: HTTPException, the one that FastAPI lets through while it reads a body."""
        if self._declared > self._limit:
            raise HTTPException(413)
        message = await self._receive()
        self._counted += len(message.get("body", b""))
        self._unread = self._unread and bool(message.get("more_body"))
        if self._encoded and self._counted:
            raise HTTPException(415, headers={"Accept-Encoding": "identity"})
        if self._counted > self._limit:
            raise HTTPException(413)
        return message

    async def send(self, message: Message) -> None:
        if self._unread and message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
        await self._send(message)


def content_type(scope: Scope) -> str:
    """Without its parameters, in lower case."""
    value: bytes = dict(scope["headers"]).get(b"content-type", b"")
    return value.decode("latin-1").split(";")[0].strip().lower()
