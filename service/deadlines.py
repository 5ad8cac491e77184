"""How long the HTTP server waits for its clients; uvicorn itself waits for ever.

One clock for each thing that a client may leave half done: the head of a request, its body (longer for who sends at a
fair rate, as Apache's mod_reqtimeout has it), the pause between two requests, and reading what it asked for. What never
becomes a request for the application is refused here, in the form that every error has.
"""

import asyncio
import contextlib
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

FAIR_RATE = 16_384  # bytes of a body that buy one second more
IDLE_SECONDS = 5  # between two requests
_LATE: dict[str, object] = {
    "code": "request_timeout",
    "message": "the request did not arrive in time, so the connection was closed; send it again, all at once",
    "details": [],
}
_BROKEN: dict[str, object] = {
    "code": "body_unreadable",
    "message": "this is no well-formed HTTP/1.1 request, or its head is too long, so the connection was closed; "
    "check how it is written, and shorten its path and headers",
    "details": [],
}


class PunctualProtocol(H11Protocol):
    """HTTP/1.1 whose requests must arrive in time. (h11 and not httptools: its states are there to be asked.)"""

    head_seconds: float
    body_seconds: float
    _clock: asyncio.TimerHandle | None = None
    _until = 0.0  # by the loop's clock
    _body: object = None  # the request whose body is awaited

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._body:
            self._until += len(data) / FAIR_RATE
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is None:  # else it sits idle, for which uvicorn has a clock
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def _look(self) -> None:
        """Starts the clock of what is awaited now, unless it runs already."""
        if self.transport.is_closing() or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop()  # the request is whole
        elif self.conn.their_state is h11.SEND_BODY:
            if self._body is not self.cycle:
                self._body = self.cycle
                self._start(self.body_seconds)
        elif self._body or self._clock is None:
            self._stop()
            self._start(self.head_seconds)

    def _start(self, seconds: float) -> None:
        self._until = self.loop.time() + seconds
        if self._clock is None:
            self._clock = self.loop.call_later(seconds, self._ring)

    def _stop(self) -> None:
        self._body = None
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _ring(self) -> None:
        self._clock = None
        left = self._until - self.loop.time()
        if self._body and self.flow.read_paused:
            left = self.body_seconds  # it is we who do not read
        if left > 0:
            self._start(left)
        else:
            self._refuse()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  (uvicorn's words, for its log)
        """To what h11 cannot make sense of, in a head or a body; uvicorn's own answer is plain text."""
        self._answer(400, b"Bad Request", _BROKEN)
        self._leave()

    def _refuse(self) -> None:
        """With 408, where a request has begun."""
        if self._body or self.conn.trailing_data[0]:
            self._answer(408, b"Request Timeout", _LATE)
        self._leave()

    def _answer(self, status: int, reason: bytes, error: dict[str, object]) -> None:
        body = json.dumps({"error": error}).encode()
        length = ("content-length", str(len(body)))
        headers = [("content-type", "application/json"), length, ("connection", "close")]
        answer = h11.Response(status_code=status, headers=headers, reason=reason)
        with contextlib.suppress(h11.LocalProtocolError):  # another answer has begun, or HEAD is to have no body
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")

    def _leave(self) -> None:
        """The application hears that its client has left."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


def punctual(head: float, body: float) -> type[PunctualProtocol]:
    """The protocol with these deadlines, in seconds."""

    class Punctual(PunctualProtocol):
        head_seconds, body_seconds = head, body

    return Punctual
